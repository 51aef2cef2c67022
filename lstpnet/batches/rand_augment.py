"""RandAugment over whole clips, on their device: every frame of a clip changes alike.

Cubuk et al., NeurIPS 2020, as timm names and scales it: `rand-m7-n4-mstd0.5-inc1` is 4 operations of magnitude 7 with
a standard deviation of 0.5, from the set whose strength grows with the magnitude. Each operation drawn is applied with
probability 1/2. Pixels are those of PIL: levels are cut to whole numbers after each operation, geometric ones are
bicubic and fill with grey 128, which is what the fine-tuning of VideoMAE and MAE-DFER uses.

The draws of a clip are a function of (seed, epoch, clip id), independent of those of augment.py.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

_STREAM = 6  # independent of the streams of augment.py, frame sampling and clip order
_PROBABILITY = 0.5
_GREATEST_LEVEL = 10.0
_FILL = 128
_GRAY = (19595, 38470, 7471)  # PIL's weights of red, green and blue, in 65536ths
_Matrix = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class RandAugmentPolicy:
    """How many operations are drawn for a clip, and how strong they are."""

    num_operations: int
    """Drawn independently, so one may come twice."""
    magnitude: float
    """Mean strength, 0 to 10."""
    deviation: float
    """Standard deviation of the strength, which is then limited to 0 to 10."""


def rand_augmented(
    frames: Tensor, clip_ids: Sequence[str], policy: RandAugmentPolicy, *, seed: int, epoch: int
) -> Tensor:
    """Return clips (B, T, 3, H, W) uint8 changed by their drawn operations; does not modify `frames`."""
    changed = frames.clone()
    for clip, clip_id in zip(changed, clip_ids, strict=True):
        out = clip
        for name, argument in drawn_operations(clip_id, policy, seed=seed, epoch=epoch):
            out = OPERATIONS[name].change(out, argument)
        if out is not clip:
            clip.copy_(out)
    return changed


def drawn_operations(clip_id: str, policy: RandAugmentPolicy, *, seed: int, epoch: int) -> list[tuple[str, float]]:
    """Return the operations that are applied to a clip in this epoch, in order, each with its argument."""
    rng = np.random.default_rng((seed, epoch, zlib.crc32(clip_id.encode("utf-8")), _STREAM))
    names, drawn = list(OPERATIONS), []
    for _ in range(policy.num_operations):
        name = names[int(rng.integers(len(names)))]
        is_applied, is_negative = rng.random(2) < _PROBABILITY
        level = min(_GREATEST_LEVEL, max(0.0, float(rng.normal(policy.magnitude, policy.deviation))))
        if is_applied:
            drawn.append((name, OPERATIONS[name].argument(level / _GREATEST_LEVEL, -1 if is_negative else 1)))
    return drawn


def _autocontrast(clip: Tensor, _: float) -> Tensor:
    """Stretch each channel of each frame from its darkest and brightest level to 0 and 255."""
    low, high = (limit.to(_exact(clip)) for limit in torch.aminmax(clip.flatten(2), dim=2))
    low, high = low[..., None], high[..., None]  # (T, 3, 1)
    levels = torch.arange(256, device=clip.device, dtype=low.dtype)
    scale = torch.full_like(low, 255) / (high - low).clamp_min(1)  # 255 / x would be the rounded 1 / x, times 255
    table = (levels * scale + -low * scale).clamp(0, 255)
    return _looked_up(clip, torch.where(high > low, table, levels))


def _equalize(clip: Tensor, _: float) -> Tensor:
    """Give each channel of each frame a level histogram that is as flat as it can be."""
    index = clip.flatten(2).long()
    counts = torch.zeros(*index.shape[:2], 256, dtype=torch.long, device=clip.device)
    counts.scatter_add_(2, index, torch.ones_like(index))
    brightest = clip.flatten(2).amax(dim=2, keepdim=True).long()
    step = (index.shape[2] - counts.gather(2, brightest)) // 255  # of all pixels but those of the brightest level
    before = counts.cumsum(dim=2) - counts + step // 2
    table = (before // step.clamp_min(1)).clamp_max(255)
    return _looked_up(clip, torch.where(step > 0, table, torch.arange(256, device=clip.device)))


def _invert(clip: Tensor, _: float) -> Tensor:
    return torch.bitwise_not(clip)


def _posterize(clip: Tensor, num_bits: float) -> Tensor:
    """Keep the first bits of each level."""
    return torch.bitwise_and(clip, 256 - 2 ** (8 - int(num_bits)))


def _solarize(clip: Tensor, threshold: float) -> Tensor:
    """Invert levels from the threshold on, 0 to 256."""
    return clip if threshold > 255 else torch.where(clip >= int(threshold), 255 - clip, clip)


def _solarize_add(clip: Tensor, added: float) -> Tensor:
    """Brighten the darker half of the levels."""
    return torch.where(clip < 128, clip + int(added), clip)


def _color(clip: Tensor, factor: float) -> Tensor:
    return _blended(_gray(clip).expand_as(clip), clip, factor)


def _contrast(clip: Tensor, factor: float) -> Tensor:
    """Scale the difference from each frame's mean grey."""
    mean = (_gray(clip).to(_exact(clip)).mean(dim=(1, 2, 3), keepdim=True) + 0.5).floor()
    return _blended(mean.float().expand_as(clip), clip, factor)


def _brightness(clip: Tensor, factor: float) -> Tensor:
    return _blended(torch.zeros_like(clip), clip, factor)


def _sharpness(clip: Tensor, factor: float) -> Tensor:
    """Scale the difference from the frame smoothed by a kernel of 3 x 3 px; the outermost pixels stay."""
    smooth = clip.int()
    height, width = clip.shape[-2:]
    rows = [smooth[..., top : height - 2 + top, :] for top in range(3)]
    windows = [row[..., left : width - 2 + left] for row in rows for left in range(3)]
    total = torch.stack(windows).sum(dim=0) + 4 * windows[4]  # the middle counts five times, of 13
    smooth[..., 1:-1, 1:-1] = (2 * total + 13) // 26
    return _blended(smooth, clip, factor)


def _rotate(clip: Tensor, degrees: float) -> Tensor:
    """Rotate about the centre, counter-clockwise."""
    angle = -math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = clip.shape[-1] / 2, clip.shape[-2] / 2
    return _moved(clip, (cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y))


def _shear_x(clip: Tensor, factor: float) -> Tensor:
    return _moved(clip, (1, factor, 0, 0, 1, 0))


def _shear_y(clip: Tensor, factor: float) -> Tensor:
    return _moved(clip, (1, 0, 0, factor, 1, 0))


def _translate_x(clip: Tensor, share: float) -> Tensor:
    return _moved(clip, (1, 0, share * clip.shape[-1], 0, 1, 0))


def _translate_y(clip: Tensor, share: float) -> Tensor:
    return _moved(clip, (1, 0, 0, 0, 1, share * clip.shape[-2]))


def _exact(clip: Tensor) -> torch.dtype:
    """Return float64, or float32 on a device that lacks it."""
    return torch.float32 if clip.device.type == "mps" else torch.float64


def _looked_up(clip: Tensor, table: Tensor) -> Tensor:
    """Replace the levels of each channel of each frame by those of a table (T, 3, 256), cut to whole numbers."""
    return table.to(torch.uint8).gather(2, clip.flatten(2).long()).reshape(clip.shape)


def _gray(clip: Tensor) -> Tensor:
    """Return the grey levels of a clip as PIL rounds them, (T, 1, H, W) int32."""
    red, green, blue = (channel * weight for channel, weight in zip(clip.int().unbind(1), _GRAY, strict=True))
    return (red + green + blue + 32768)[:, None] >> 16


def _blended(base: Tensor, clip: Tensor, factor: float) -> Tensor:
    """Return base + factor * (clip - base), limited to levels."""
    start = base.float()
    return clip.float().sub_(start).mul_(factor).add_(start).clamp_(0, 255).to(torch.uint8)


def _moved(clip: Tensor, matrix: _Matrix) -> Tensor:
    """Take each pixel from where the matrix (a, b, c, d, e, f) maps it: (a x + b y + c, d x + e y + f), bicubic.

    Coordinates are in pixels, centres at halves. Points outside the frame are grey.
    """
    a, b, c, d, e, f = matrix
    height, width = clip.shape[-2:]
    x = torch.arange(width, device=clip.device, dtype=_exact(clip)) + 0.5
    y = (torch.arange(height, device=clip.device, dtype=_exact(clip)) + 0.5)[:, None]
    source_x, source_y = a * x + b * y + c, d * x + e * y + f  # (H, W)
    is_inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    columns, right = _taps(source_x, size=width, is_whole=(a, b) == (1, 0) and float(c).is_integer())
    rows, down = _taps(source_y, size=height, is_whole=(d, e) == (0, 1) and float(f).is_integer())
    pixels = clip.permute(0, 2, 3, 1).reshape(len(clip), height * width, 3)  # no copy of stored clips

    def row_values(row: Tensor) -> Tensor:
        values = [pixels.index_select(1, row * width + column).float() for column in columns]
        return values[0] if len(values) == 1 else _cubic(values, right)

    lines = [row_values(row) for row in rows]
    out = lines[0] if len(lines) == 1 else _cubic(lines, down)
    out = torch.where(is_inside.flatten()[:, None], out.clamp_(0, 255), float(_FILL)).to(torch.uint8)
    return out.reshape(len(clip), height, width, 3).permute(0, 3, 1, 2)


def _taps(source: Tensor, *, size: int, is_whole: bool) -> tuple[list[Tensor], Tensor]:
    """Return the four pixels around each point, (H * W,) int64 each, and its share (H * W, 1) of the way between two.

    `is_whole`: every point is a pixel's centre; then only that pixel. Those beyond the edge are the outermost ones.
    """
    first = (source - 0.5).floor()
    share = (source - 0.5 - first).flatten()[:, None].float()
    offsets = (0,) if is_whole else (-1, 0, 1, 2)
    return [(first.long() + offset).clamp_(0, size - 1).flatten() for offset in offsets], share


def _cubic(values: Sequence[Tensor], share: Tensor) -> Tensor:
    """Interpolate between the second and the third of four values by PIL's cubic, whose parameter is -1."""
    one, two, three, four = values
    cubed = two - one + four - three
    squared = 2 * (one - two) + three - four
    return two + share * (three - one + share * (squared + share * cubed))


@dataclass(frozen=True)
class _Operation:
    change: Callable[[Tensor, float], Tensor]
    """(clip (T, 3, H, W) uint8, argument) -> clip."""
    argument: Callable[[float, int], float] = lambda share, sign: 0.0
    """(strength as a share of the greatest, sign drawn) -> argument."""


def _factor(share: float, sign: int) -> float:
    return max(0.1, 1 + sign * 0.9 * share)


OPERATIONS: Mapping[str, _Operation] = MappingProxyType(
    {
        "AutoContrast": _Operation(_autocontrast),
        "Equalize": _Operation(_equalize),
        "Invert": _Operation(_invert),
        "Rotate": _Operation(_rotate, lambda share, sign: sign * 30 * share),
        "PosterizeIncreasing": _Operation(_posterize, lambda share, sign: 4 - int(share * 4)),
        "SolarizeIncreasing": _Operation(_solarize, lambda share, sign: 256 - int(share * 256)),
        "SolarizeAdd": _Operation(_solarize_add, lambda share, sign: int(share * 110)),
        "ColorIncreasing": _Operation(_color, _factor),
        "ContrastIncreasing": _Operation(_contrast, _factor),
        "BrightnessIncreasing": _Operation(_brightness, _factor),
        "SharpnessIncreasing": _Operation(_sharpness, _factor),
        "ShearX": _Operation(_shear_x, lambda share, sign: sign * 0.3 * share),
        "ShearY": _Operation(_shear_y, lambda share, sign: sign * 0.3 * share),
        "TranslateXRel": _Operation(_translate_x, lambda share, sign: sign * 0.45 * share),
        "TranslateYRel": _Operation(_translate_y, lambda share, sign: sign * 0.45 * share),
    }
)
"""timm's operations of `inc1` by their names there."""
