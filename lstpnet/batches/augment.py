"""Augment a training batch on its device, with the same change to all frames of a clip.

The random parameters of a clip are a function of (seed, epoch, clip id), so they do not depend on batches, threads or
devices. Mixing is the exception, because it combines the clips of one batch. Rotation and crop share one resampling;
brightness, contrast and saturation are one linear map. RandAugment comes before all of them (rand_augment.py).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.nn import functional

from lstpnet.batches.device_prefetch import sent
from lstpnet.batches.rand_augment import RandAugmentPolicy, rand_augmented
from lstpnet.recipe import Recipe

_CLIP_STREAM, _BATCH_STREAM = 1, 5  # independent of the streams for frame sampling and clip order
_GRAY = (0.299, 0.587, 0.114)
_CROP_ASPECT = (3 / 4, 4 / 3)
_ERASED_AREA, _ERASED_ASPECT = (0.02, 0.33), (0.3, 3.3)


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Settings of the augmentation; the defaults change nothing."""

    flip: float = 0.0
    """Probability of a horizontal flip."""
    crop: float = 1.0
    """Minimum share of the area that a crop keeps before it is resized to full size; its aspect ratio is 3:4 to 4:3."""
    rotation_degrees: float = 0.0
    """Maximum rotation about the centre, in either direction; corners are filled with black."""
    brightness: float = 0.0
    """The brightness factor is between 1 - x and 1 + x."""
    contrast: float = 0.0
    """The same for the difference from the clip's mean grey."""
    saturation: float = 0.0
    """The same for the difference from each pixel's grey."""
    erasing: float = 0.0
    """Probability of blackening a rectangle of 2 to 33 % of the frame area (Zhong et al., AAAI 2020)."""
    randaugment_ops: int = 0
    """RandAugment: operations drawn for each clip; 0: none."""
    randaugment_magnitude: float = 7.0
    """Their mean strength, 0 to 10."""
    randaugment_deviation: float = 0.5
    """Its standard deviation."""
    mixup: float = 0.0
    """Alpha of mixup (Zhang et al., ICLR 2018); 0: no mixup."""
    cutmix: float = 0.0
    """Alpha of CutMix (Yun et al., ICCV 2019); 0: no CutMix. With mixup too, each batch gets one of them at random."""

    @property
    def is_warped(self) -> bool:
        """Whether frames are resampled."""
        return self.crop < 1 or self.rotation_degrees > 0

    @property
    def is_coloured(self) -> bool:
        """Whether values of pixels change."""
        return self.brightness > 0 or self.contrast > 0 or self.saturation > 0

    @property
    def is_more_than_flips(self) -> bool:
        """Whether a clip needs other draws than its flip."""
        return self.is_warped or self.is_coloured or self.erasing > 0

    @classmethod
    def of(cls, recipe: Recipe) -> Augmentation:
        """Take these settings from the recipe fields of the same names."""
        return cls(**{field.name: getattr(recipe, field.name) for field in fields(cls)})


@dataclass(frozen=True)
class _Draws:
    """Random parameters of the clips of a batch; a list has one item per clip, or none where nothing needs it."""

    is_mirrored: list[bool]
    crops: list[tuple[float, float, float, float]]
    """Width, height, and centre x, y of the crop, as shares of the frame."""
    radians: list[float]
    colours: list[tuple[float, float, float]]
    """Factors of brightness, contrast, saturation."""
    erased: list[tuple[float, float, float, float] | None]
    """Left, top, right, bottom as shares of the frame."""


def augmented(
    frames: torch.Tensor, clip_ids: Sequence[str], changes: Augmentation, *, seed: int, epoch: int
) -> torch.Tensor:
    """Augment clips (B, T, 3, H, W) uint8; return uint8 after flips and RandAugment alone, else float32 in 0..1.

    Does not modify `frames`. `mixed` does the mixing.
    """
    if changes.randaugment_ops > 0:
        policy = RandAugmentPolicy(
            num_operations=changes.randaugment_ops,
            magnitude=changes.randaugment_magnitude,
            deviation=changes.randaugment_deviation,
        )
        frames = rand_augmented(frames, clip_ids, policy, seed=seed, epoch=epoch)
    draws = _draw(clip_ids, changes, seed=seed, epoch=epoch)
    frames = _mirrored(frames, draws.is_mirrored)
    if not changes.is_more_than_flips:
        return frames
    pixels = frames.float().div_(255)
    if changes.is_warped:
        pixels = _warped(pixels, draws)
    if changes.is_coloured:
        pixels = _coloured(pixels, draws)
    for clip, box in zip(pixels, draws.erased, strict=True):
        if box is not None:
            _patch(clip, box).zero_()
    return pixels


def mixed(
    pixels: torch.Tensor,
    labels: torch.Tensor,
    clip_ids: Sequence[str],
    changes: Augmentation,
    *,
    num_classes: int,
    seed: int,
    epoch: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix clips (B, T, 3, H, W) float with each other by mixup or CutMix; return the clips and their targets.

    `labels` are (B,) int64, or (B, num_classes) float32. The targets are `labels` if nothing is
    mixed, else rows of the second kind.
    """
    if changes.mixup == 0 and changes.cutmix == 0:
        return pixels, labels
    rng = np.random.default_rng((seed, epoch, zlib.crc32("\n".join(clip_ids).encode("utf-8")), _BATCH_STREAM))
    partner = sent(torch.from_numpy(rng.permutation(len(clip_ids))), pixels.device)
    is_cutmix = changes.cutmix > 0 and (changes.mixup == 0 or rng.random() < 0.5)
    alpha = changes.cutmix if is_cutmix else changes.mixup
    share = float(rng.beta(alpha, alpha))
    if is_cutmix:
        side = math.sqrt(1 - share)
        x, y = rng.random(2)
        box = (max(0.0, x - side / 2), max(0.0, y - side / 2), min(1.0, x + side / 2), min(1.0, y + side / 2))
        partner_patch = _patch(pixels[partner], box)  # a copy, because the next lines write into the clips
        patch = _patch(pixels, box)
        share = 1 - patch[0, 0, 0].numel() / pixels[0, 0, 0].numel()
        patch.copy_(partner_patch)
    else:
        pixels = torch.lerp(pixels[partner], pixels, share)
    rows = functional.one_hot(labels, num_classes).float() if labels.ndim == 1 else labels
    return pixels, share * rows + (1 - share) * rows[partner]


def _draw(clip_ids: Sequence[str], changes: Augmentation, *, seed: int, epoch: int) -> _Draws:
    draws = _Draws([], [], [], [], [])
    for clip_id in clip_ids:
        rng = np.random.default_rng((seed, epoch, zlib.crc32(clip_id.encode("utf-8")), _CLIP_STREAM))
        draws.is_mirrored.append(bool(rng.random() < changes.flip))
        if not changes.is_more_than_flips:
            continue
        draws.crops.append(_crop(rng, least=changes.crop))
        draws.radians.append(math.radians(changes.rotation_degrees) * rng.uniform(-1, 1))
        strengths = (changes.brightness, changes.contrast, changes.saturation)
        brightness, contrast, saturation = (1 + strength * rng.uniform(-1, 1) for strength in strengths)
        draws.colours.append((brightness, contrast, saturation))
        is_erased = rng.random() < changes.erasing
        width, height, x, y = _box(rng, area=_ERASED_AREA, aspect=_ERASED_ASPECT)
        draws.erased.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2) if is_erased else None)
    return draws


def _crop(rng: np.random.Generator, *, least: float) -> tuple[float, float, float, float]:
    box = _box(rng, area=(least, 1.0), aspect=_CROP_ASPECT)
    return box if least < 1 else (1.0, 1.0, 0.5, 0.5)


def _box(
    rng: np.random.Generator, *, area: tuple[float, float], aspect: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Draw width, height, centre x, y of a box inside the unit square; a side that does not fit is shortened."""
    size = rng.uniform(*area)
    ratio = math.exp(rng.uniform(math.log(aspect[0]), math.log(aspect[1])))
    width, height = min(1.0, math.sqrt(size * ratio)), min(1.0, math.sqrt(size / ratio))
    return width, height, width / 2 + (1 - width) * rng.random(), height / 2 + (1 - height) * rng.random()


def _mirrored(frames: torch.Tensor, is_mirrored: Sequence[bool]) -> torch.Tensor:
    if not any(is_mirrored):
        return frames
    if frames.device.type == "cpu":  # a clip at a time stays in the cache, and only mirrored ones are computed
        return torch.stack(
            [clip.flip(-1) if mirror else clip for clip, mirror in zip(frames, is_mirrored, strict=True)]
        )
    mask = sent(torch.tensor(is_mirrored), frames.device)
    return torch.where(mask[:, None, None, None, None], frames.flip(-1), frames)


def _warped(pixels: torch.Tensor, draws: _Draws) -> torch.Tensor:
    """Rotate about the centre, then crop: one bilinear resampling with one grid per clip."""
    batch, num_frames, channels, height_px, width_px = pixels.shape
    matrices = []
    for (width, height, x, y), angle in zip(draws.crops, draws.radians, strict=True):
        cos, sin = math.cos(angle), math.sin(angle)
        crop = torch.tensor([[width, 0, 2 * x - 1], [0, height, 2 * y - 1]], dtype=torch.float64)
        aspect = width_px / height_px  # coordinates run from -1 to 1 at any frame size
        rotation = torch.tensor([[cos, -sin / aspect], [sin * aspect, cos]], dtype=torch.float64)
        matrices.append(rotation @ crop)
    theta = sent(torch.stack(matrices).to(pixels.dtype), pixels.device)
    grid = functional.affine_grid(theta, [batch, 1, height_px, width_px], align_corners=False)
    flat = pixels.reshape(batch, num_frames * channels, height_px, width_px)
    return functional.grid_sample(flat, grid, align_corners=False).reshape(pixels.shape)


def _coloured(pixels: torch.Tensor, draws: _Draws) -> torch.Tensor:
    """Apply brightness, contrast, saturation, in this order, and clamp to 0..1; writes into `pixels`."""
    factors = sent(torch.tensor(draws.colours), pixels.device)  # (B, 3)
    brightness, contrast, saturation = factors[:, :, None, None, None, None].unbind(1)
    weights = sent(torch.tensor(_GRAY), pixels.device)[:, None, None]
    gray = (pixels * weights).sum(dim=2, keepdim=True)  # (B, T, 1, H, W)
    mean = gray.mean(dim=(1, 2, 3, 4), keepdim=True)
    offset = gray.mul_((1 - saturation) * contrast * brightness).add_((1 - contrast) * brightness * mean)
    return pixels.mul_(saturation * contrast * brightness).add_(offset).clamp_(0, 1)


def _patch(pixels: torch.Tensor, box: tuple[float, float, float, float]) -> torch.Tensor:
    """Return the view of (..., H, W) inside left, top, right, bottom, given as shares."""
    height_px, width_px = pixels.shape[-2:]
    left, right = (round(share * width_px) for share in (box[0], box[2]))
    top, bottom = (round(share * height_px) for share in (box[1], box[3]))
    return pixels[..., top:bottom, left:right]
