"""LSTPNet: maps a clip of a face to expression logits.

Paper: Lu, Jiang, Fu, Zhao, Yang, "Long Short-Term Perception Network for Dynamic Facial Expression Recognition", Image
and Vision Computing 142 (2024) 104915, to which the authors' code and figures belong; first version PRCV 2023, LNCS
14429, doi 10.1007/978-981-99-8469-5_14. Reimplemented to reproduce the outputs of that code (LLFabiann/LSTPNet, commit
6d8364d; float64: 1e-12, float32: rounding); `lstpnet.checkpoints.reference` reads its checkpoints. 24,619,686
parameters; 29.6 GMAC for a clip of 16 frames at 224 px.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from lstpnet.models.catalogue import DEFAULT_MODEL
from lstpnet.models.clip_network import FrameNetwork
from lstpnet.models.lstformer import LSTformer
from lstpnet.models.network_config import NetworkConfig
from lstpnet.models.resnet import TemporalResNet18
from lstpnet.models.temporal_heads import HEADS


class LSTPNet(FrameNetwork):
    """ResNet-18 with temporal channel excitation, then LSTformer, the mean over time, and a linear classifier.

    Clips may have any number of frames and any frame size of at least 32 x 32 px; the paper uses 16 frames of 224 px.
    Frames are RGB divided by 255; no mean is subtracted. The backbone converts to channels_last itself.

    Everything scales with `width_multiplier` w, a multiple of 1/8: the stages have 64w, 128w, 256w and 512w channels;
    a TCE has an eighth of its channels as maps (rounded to multiples of 8, at least 8) and a kernel size from their
    logarithm; the LSTformer has D = 512w dimensions, hidden width 8D, and 8 heads of 64w dimensions each. Parameters:
    24.6 M at 1, 6.2 M at 0.5, 1.6 M at 0.25.

    Initial weights: 2-D convolutions: Kaiming normal (fan out), biases 0; norms: the identity; all other layers (TCE,
    LSTformer, classifier): PyTorch's defaults. The authors do not state theirs.

    Args:
        num_classes: number of logits.
        **settings: fields of NetworkConfig, such as `width_multiplier=0.5` or `attention="eca"`.

    Raises:
        UsageError: a setting has a wrong value.
        TypeError: a setting is unknown.
    """

    def __init__(self, num_classes: int = 7, **settings: Any) -> None:
        self.config = config = NetworkConfig(**settings)
        super().__init__(DEFAULT_MODEL, num_classes, config.network)
        self.backbone = TemporalResNet18(config.width_multiplier, attention=config.attention)
        self.dim = self.backbone.dim
        self.head = HEADS[config.temporal](
            self.dim,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            hidden_dim=config.hidden_multiplier * self.dim,
            near_conv=config.near_conv,
            ffn_conv=config.ffn_conv,
        )
        self.fc = nn.Linear(self.dim, num_classes)

    def logits_of_frames(self, vectors: Tensor) -> Tensor:
        """Return the logits (B, num_classes) of `frame_features` (B, T, dim)."""
        return self.classify(self.features_of_frames(vectors))

    def features_of_frames(self, vectors: Tensor) -> Tensor:
        """Return the features (B, dim) of `frame_features` (B, T, dim)."""
        out: Tensor = self.head(vectors)
        return out.mean(dim=1)

    def attention_maps(self, x: Tensor) -> Tensor:
        """Return the attention of each frame (row) to each (column), (layers, B, heads, T, T); `x` as in `forward`.

        Raises ValueError if the temporal head is not the LSTformer.
        """
        return self.maps_of_frames(self.frame_features(x))

    def maps_of_frames(self, vectors: Tensor) -> Tensor:
        """Return the `attention_maps` of `frame_features` (B, T, dim)."""
        if not isinstance(self.head, LSTformer):
            raise ValueError(f"a model with temporal {self.config.temporal!r} has no attention maps")
        return self.head.attention_maps(vectors)

    def frame_vectors(self, x: Tensor) -> Tensor:
        """Return the backbone's vector of each frame, (B, T, dim) float, of clips (B, T, 3, H, W)."""
        batch, num_frames = x.shape[:2]
        vectors: Tensor = self.backbone(x.flatten(0, 1), num_frames)  # (B*T, dim)
        return vectors.reshape(batch, num_frames, self.dim)
