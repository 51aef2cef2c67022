"""CLIP's vision tower on each frame, adapted by LoRA, and one transformer layer over the frames.

Papers: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021; Hu et al.,
"LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022. The design is that of the visual half of CLAIP-Emo
(2026): LoRA on all linear layers of the tower, its pooled vector per frame, one layer over a class token and the
frames. The tower is transformers' `CLIPVisionModel`, the adapters are peft's (the extra `frontier`). Neither loads
anything: the tower's weights come with `--init FOLDER`, else they are random. It is no network of a published table.
ViT-B/16: 90,297,095 parameters, of which 4,497,671 are trained, and 285.2 GMAC; ViT-L/14: 310,945,799, 7,766,023 and
1,310.8 GMAC.

Shapes: B clips, T = 16 frames, H x W pixels, D = 768 (ViT-B/16) or 1024 (ViT-L/14) dimensions. Trained are the
adapters, the temporal layer and the classifier; all else keeps CLIP's values. Frames of another side than 224 px get
interpolated position codes; a side that the patches do not divide loses its last pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from lstpnet.models.clip_network import FrameNetwork, scaled
from lstpnet.models.former_dfer import TemporalFormer

HEAD_DIM = 64
_HIDDEN = 1024
_SIZE_PX = 224
_ALPHA_PER_RANK = 4
_LORA_DROPOUT = 0.1
_ADAPTED = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
TOWERS: Mapping[str, tuple[int, int, int]] = MappingProxyType({"b16": (768, 12, 16), "l14": (1024, 24, 14)})
"""Setting `clip_tower` -> dimensions, layers, and side of a patch in pixels."""


def tower_config(clip_tower: str, *, width_multiplier: float = 1.0, depth: int = 0) -> dict[str, Any]:
    """Return the settings of a tower by the names of CLIP's config.json, as OpenAI's files have them."""
    full_dim, layers, patch_px = TOWERS[clip_tower]
    dim = scaled(full_dim, width_multiplier)
    return {
        "hidden_size": dim,
        "intermediate_size": 4 * dim,
        "num_hidden_layers": depth or layers,
        "num_attention_heads": max(1, dim // HEAD_DIM),
        "image_size": _SIZE_PX,
        "patch_size": patch_px,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    }


class ClipViT(FrameNetwork):
    """The tower per frame, a transformer layer over a class token and the frames, and a linear classifier.

    Initial weights: adapters the identity (their second matrix is 0), tokens and position codes normal, all others
    PyTorch's default; of the tower those of `--init`, else transformers' random ones.

    Args:
        num_classes: number of logits.
        width_multiplier: factor on the tower's dimensions, for tests: no published file fits another than 1.
        depth: layers of the tower; 0: CLIP's 12 or 24.
        clip_tower: `b16` or `l14`.
        adapter_rank: rank of the adapters; their scale is 4, as with rank 8 and alpha 32.
    """

    def __init__(
        self,
        num_classes: int = 7,
        *,
        width_multiplier: float = 1.0,
        depth: int = 0,
        clip_tower: str = "b16",
        adapter_rank: int = 8,
    ) -> None:
        settings = {"width_multiplier": width_multiplier, "depth": depth}
        super().__init__("clip-vit", num_classes, settings | {"clip_tower": clip_tower, "adapter_rank": adapter_rank})
        self.config = tower_config(clip_tower, width_multiplier=width_multiplier, depth=depth)
        self.tower = _adapted_tower(self.config, rank=adapter_rank)
        dim = self.config["hidden_size"]
        self.temporal = TemporalFormer(dim, depth=1, head_dim=HEAD_DIM, hidden_dim=_HIDDEN)
        self.fc = nn.Linear(dim, num_classes)

    def features_of_frames(self, vectors: Tensor) -> Tensor:
        """Return the features (B, D) of `frame_features` (B, T, D)."""
        out: Tensor = self.temporal(vectors)
        return out

    def frame_vectors(self, x: Tensor) -> Tensor:
        """Return the tower's pooled vector of each frame, (B, T, D), of clips (B, 16, 3, H, W)."""
        is_other_size = x.shape[3:] != (_SIZE_PX, _SIZE_PX)
        outputs = self.tower(pixel_values=x.flatten(0, 1), interpolate_pos_encoding=is_other_size)
        vectors: Tensor = outputs.pooler_output.unflatten(0, (x.shape[0], -1))  # (B, T, D)
        return vectors


def _adapted_tower(config: Mapping[str, Any], *, rank: int) -> nn.Module:
    """Return a `CLIPVisionModel` with random weights, of which only the adapters in it are trained."""
    from peft import LoraConfig, inject_adapter_in_model  # take seconds, and belong to the extra `frontier`
    from transformers import CLIPVisionConfig, CLIPVisionModel

    tower = CLIPVisionModel(CLIPVisionConfig(**config))
    lora = LoraConfig(
        r=rank, lora_alpha=_ALPHA_PER_RANK * rank, lora_dropout=_LORA_DROPOUT, target_modules=list(_ADAPTED)
    )
    adapted: nn.Module = inject_adapter_in_model(lora, tower)
    return adapted
