"""LSTPNet: a clip of a face to logits of emotions.

Paper: Lu, Jiang, Fu, Zhao, Yang, "Long Short-Term Perception Network for Dynamic Facial Expression Recognition",
PRCV 2023, LNCS 14429, doi 10.1007/978-981-99-8469-5_14; longer in Image and Vision Computing 142 (2024) 104915.
Written anew to give the numbers of the authors' code (LLFabiann/LSTPNet, commit 6d8364d), whose checkpoints
`lstpnet.checkpoints.reference` reads. 24,619,686 parameters and 29.6 GMAC for a clip of 16 frames at 224 px.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from lstpnet.models.lstformer import LSTformer
from lstpnet.models.resnet import CHANNEL_ATTENTIONS, TemporalResNet18
from lstpnet.models.temporal_heads import HEADS

MIN_SIZE_PX = 32


DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "width_multiplier": 1.0,
        "attention": "tce",
        "temporal": "lstformer",
        "num_layers": 2,
        "num_heads": 8,
        "hidden_multiplier": 8,
        "near_conv": True,
        "ffn_conv": True,
    }
)
"""The paper's network, by the names of LSTPNet's arguments."""


class LSTPNet(nn.Module):
    """ResNet-18 with temporal channel excitation, then LSTformer, the mean over time, and a linear classifier.

    Any number of frames and any picture of at least 32 x 32 px; the paper uses 16 frames of 224 px. Pictures are RGB
    divided by 255 and nothing else: no mean is taken off. The backbone works in channels_last by itself.

    Everything scales with `width_multiplier` w, a multiple of 1/8: stages of 64w, 128w, 256w and 512w channels; a TCE
    has an eighth of its channels as maps (rounded to multiples of 8, at least 8) and a kernel from their logarithm;
    the LSTformer has D = 512w dimensions, hidden width 8D, and 8 heads, so of 64w dimensions each. Parameters:
    24.6 M at 1, 6.2 M at 0.5, 1.6 M at 0.25.

    Weights start as follows. 2-D convolutions: Kaiming's normal distribution (fan out), biases 0; norms: the identity;
    all else (TCE, LSTformer, classifier): PyTorch's defaults. The authors state none.

    Args:
        num_classes: number of logits.
        width_multiplier: w.
        attention: at the places of the TCE: `tce`, `eca`, `se`, `cbam` (channel_attention.py) or `none`.
        temporal: over the frames' vectors: `lstformer`, `transformer`, `lstm`, `gru` (temporal_heads.py) or `mean`.
        num_layers: of the temporal part.
        num_heads: of its attention; must divide D.
        hidden_multiplier: its hidden width over D.
        near_conv: LSTformer's shared convolution over neighbouring frames (the paper's TC).
        ffn_conv: LSTformer's convolution over time inside its feed-forward parts.

    Raises:
        ValueError: a number below 1, a name that is not known, heads that do not divide D, or `width_multiplier` no
            multiple of 1/8.
    """

    def __init__(
        self,
        num_classes: int = 7,
        *,
        width_multiplier: float = 1.0,
        attention: str = "tce",
        temporal: str = "lstformer",
        num_layers: int = 2,
        num_heads: int = 8,
        hidden_multiplier: int = 8,
        near_conv: bool = True,
        ffn_conv: bool = True,
    ) -> None:
        super().__init__()
        numbers = {"num_classes": num_classes, "num_layers": num_layers, "num_heads": num_heads}
        numbers |= {"hidden_multiplier": hidden_multiplier}
        faults = [f"{name} is {value}: at least 1 is needed" for name, value in numbers.items() if value < 1]
        for name, value, known in (("attention", attention, CHANNEL_ATTENTIONS), ("temporal", temporal, HEADS)):
            faults += [] if value in known else [f"{name} is {value!r}: one of {', '.join(known)} is needed"]
        if faults:
            raise ValueError("; ".join(faults))
        self.settings: dict[str, Any] = {
            "width_multiplier": width_multiplier,
            "attention": attention,
            "temporal": temporal,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "hidden_multiplier": hidden_multiplier,
            "near_conv": near_conv,
            "ffn_conv": ffn_conv,
        }
        self.num_classes = num_classes
        self.backbone = TemporalResNet18(width_multiplier, attention=attention)
        self.dim = self.backbone.dim
        self.head = HEADS[temporal](
            self.dim,
            num_layers=num_layers,
            num_heads=num_heads,
            hidden_dim=hidden_multiplier * self.dim,
            near_conv=near_conv,
            ffn_conv=ffn_conv,
        )
        self.fc = nn.Linear(self.dim, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of clips.

        Args:
            x: (B, T, 3, H, W) float RGB in 0..1, H and W at least 32.

        Returns:
            (B, num_classes) float.

        Raises:
            ValueError: `x` has another shape, or is not floating-point.
        """
        _check_clips(x)
        return self.logits(x)

    def logits(self, x: Tensor) -> Tensor:
        """Do what `forward` does without looking at the shape of `x` first, as an exported graph must."""
        batch, num_frames = x.shape[:2]
        vectors: Tensor = self.backbone(x.flatten(0, 1), num_frames)  # (B*T, dim)
        return self.logits_of_frames(vectors.reshape(batch, num_frames, self.dim))

    def logits_of_frames(self, vectors: Tensor) -> Tensor:
        """Return the logits (B, num_classes) of `frame_features` (B, T, dim)."""
        out: Tensor = self.head(vectors)
        logits: Tensor = self.fc(out.mean(dim=1))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Return what the classifier sees, the mean over time, (B, dim) float; `x` as in `forward`."""
        out: Tensor = self.head(self.frame_features(x))
        return out.mean(dim=1)

    def attention_maps(self, x: Tensor) -> Tensor:
        """Return (layers, B, heads, T, T): how much each frame (row) looks at each (column); `x` as in `forward`.

        Raises ValueError for another temporal part than the LSTformer.
        """
        return self.maps_of_frames(self.frame_features(x))

    def maps_of_frames(self, vectors: Tensor) -> Tensor:
        """Return what `attention_maps` does of `frame_features` (B, T, dim)."""
        if not isinstance(self.head, LSTformer):
            raise ValueError(f"a model with temporal {self.settings['temporal']!r} has no attention maps")
        return self.head.attention_maps(vectors)

    def frame_features(self, x: Tensor) -> Tensor:
        """Return the backbone's vector of each frame, (B, T, dim) float; `x` as in `forward`."""
        _check_clips(x)
        batch, num_frames = x.shape[:2]
        vectors: Tensor = self.backbone(x.flatten(0, 1), num_frames)  # (B*T, dim)
        return vectors.reshape(batch, num_frames, self.dim)


def _check_clips(x: Tensor) -> None:
    """Refuse what would run and mean nothing, or fail far from its cause."""
    if x.ndim != 5 or x.shape[2] != 3 or 0 in x.shape or min(x.shape[3:]) < MIN_SIZE_PX:
        raise ValueError(
            f"clips have shape {tuple(x.shape)}; wanted (batch, frames, 3, height, width) "
            f"with pictures of at least {MIN_SIZE_PX} px"
        )
    if not x.is_floating_point():
        raise ValueError(f"clips are {x.dtype}; convert to float and divide by 255")
