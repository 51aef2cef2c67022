"""Means and standard deviations per channel with which networks were trained on other data."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_Channels = tuple[float, float, float]
CHANNEL_NORMS: Mapping[str, tuple[_Channels, _Channels]] = MappingProxyType(
    {
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        "kinetics": ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)),
        "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    }
)
"""`input_norm` -> mean and standard deviation of red, green and blue, of pixels in 0..1.

imagenet: VideoMAE, MAE-DFER; kinetics: torchvision's 3-D ResNets; clip: OpenAI's CLIP.
"""
