"""AugmentationConfig: how a recipe changes the pixels and labels of training clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from dfer_data.settings import setting

_AUGMENTATION = "Augmentation"


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Random changes of training clips, drawn once per clip and epoch; Recipe checks them."""

    flip: Annotated[float, Interval(ge=0, le=1)] = setting(
        0.5, "Probability of mirroring a training clip.", panel=_AUGMENTATION, is_rare=True
    )
    crop: Annotated[float, Interval(gt=0, le=1)] = setting(
        1.0,
        "Minimum share of the area that a random crop of a training clip keeps; 1: no crop.",
        panel=_AUGMENTATION,
        is_rare=True,
    )
    rotation_degrees: Annotated[float, Interval(ge=0, le=180)] = setting(
        0.0, "Maximum random rotation of a training clip, in either direction.", panel=_AUGMENTATION, is_rare=True
    )
    brightness: Annotated[float, Interval(ge=0, le=1)] = setting(
        0.0,
        "x: a random factor between 1 - x and 1 + x changes the brightness of a training clip.",
        panel=_AUGMENTATION,
        is_rare=True,
    )
    contrast: Annotated[float, Interval(ge=0, le=1)] = setting(
        0.0, "The same for contrast.", panel=_AUGMENTATION, is_rare=True
    )
    saturation: Annotated[float, Interval(ge=0, le=1)] = setting(
        0.0, "The same for saturation.", panel=_AUGMENTATION, is_rare=True
    )
    randaugment_ops: Annotated[int, Interval(ge=0)] = setting(
        0,
        "RandAugment: operations drawn per training clip, each applied with probability 1/2; 0: none. VideoMAE, "
        "MAE-DFER: 4 (timm's rand-m7-n4-mstd0.5-inc1).",
        panel=_AUGMENTATION,
        is_rare=True,
    )
    randaugment_magnitude: Annotated[float, Interval(ge=0, le=10)] = setting(
        7.0, "Mean strength of these operations (timm's m).", panel=_AUGMENTATION, is_rare=True
    )
    randaugment_deviation: Annotated[float, Interval(ge=0)] = setting(
        0.5, "Standard deviation of their strength (timm's mstd).", panel=_AUGMENTATION, is_rare=True
    )
    erasing: Annotated[float, Interval(ge=0, le=1)] = setting(
        0.0, "Probability of blackening a random rectangle of a training clip.", panel=_AUGMENTATION, is_rare=True
    )
    mixup: Annotated[float, Interval(ge=0)] = setting(
        0.0, "Alpha of mixup; 0: none.", panel=_AUGMENTATION, is_rare=True
    )
    cutmix: Annotated[float, Interval(ge=0)] = setting(
        0.0, "Alpha of CutMix; 0: none.", panel=_AUGMENTATION, is_rare=True
    )
