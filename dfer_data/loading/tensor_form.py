"""The form in which a dataset gives the frames of a clip: transformed, normalised, in a type and a layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch

from dfer_data.errors import UsageError

TensorLayout = Literal["TCHW", "CTHW", "THWC"]
_ORDER = {"TCHW": (0, 1, 2, 3), "CTHW": (1, 0, 2, 3), "THWC": (0, 2, 3, 1)}


class TensorForm:
    """Turns stored frames into those of an item.

    Args:
        layout: order of the dimensions of an item.
        mean: three numbers for values in 0..1; with `std`, items are float32, (x / 255 - mean) / std; else uint8.
        std: three numbers above 0.
        transform: applied to the uint8 frames before layout, mean and std.
        dtype: a floating-point type instead of uint8 or float32; without mean and std, values are then x / 255.

    Raises UsageError for an unknown layout, another number of means or deviations, and a type that does not fit.
    """

    def __init__(
        self,
        layout: TensorLayout,
        *,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        transform: Callable[[torch.Tensor], torch.Tensor] | None,
        dtype: torch.dtype | None,
    ) -> None:
        if layout not in get_args(TensorLayout):
            raise UsageError(f"layout {layout!r}: one of {', '.join(get_args(TensorLayout))} is needed")
        self._layout, self._transform, self._norm = layout, transform, _normalisation(mean, std)
        self._dtype = _checked_dtype(dtype, is_normalised=self._norm is not None)

    @property
    def is_plain(self) -> bool:
        """Whether items are the stored pixels: no transform, mean or std, uint8, and layout (T, C, H, W)."""
        return self._transform is None and self._dtype == torch.uint8 and self._layout == "TCHW"

    def of(self, frames: torch.Tensor) -> torch.Tensor:
        """Return frames (T, 3, H, W) uint8 transformed, normalised, and in the requested type and layout."""
        if self._transform is not None:
            frames = self._transform(frames)
        if self._norm is not None:
            mean, std = self._norm
            frames = (frames.float() / 255 - mean) / std
        elif self._dtype.is_floating_point and not frames.is_floating_point():
            frames = frames.float() / 255
        return (frames if self._dtype == torch.uint8 else frames.to(self._dtype)).permute(*_ORDER[self._layout])


def _normalisation(
    mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return mean and std as (3, 1, 1) float32; None without them. UsageError unless there are three of each."""
    if mean is None and std is None:
        return None
    tensors = [torch.tensor(values if values is not None else [], dtype=torch.float32) for values in (mean, std)]
    if any(tensor.shape != (3,) for tensor in tensors) or not bool((tensors[1] > 0).all()):
        raise UsageError(f"mean {mean}, std {std}: three numbers each are needed, std above 0")
    return tensors[0][:, None, None], tensors[1][:, None, None]


def _checked_dtype(dtype: torch.dtype | None, *, is_normalised: bool) -> torch.dtype:
    """Return the type of items. UsageError for integers other than uint8, and for uint8 with mean and std."""
    default = torch.float32 if is_normalised else torch.uint8
    chosen = default if dtype is None else dtype
    if not chosen.is_floating_point and chosen != default:
        raise UsageError(f"dtype {dtype}: a floating-point type is needed, or torch.uint8 without mean and std")
    return chosen
