"""Convert parts of a decoded picture to RGB, with the very values that converting all of it gives.

FFmpeg converts plain 8-bit 4:2:0 pictures pixel by pixel: each takes its own luma and the chroma of its block of 2 x 2
pixels. So a part, or every n-th pixel, can be converted alone. `is_planar` says of which pictures this is true; it
tests the installed FFmpeg on noise, once per process and colour space.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from dfer_data.types import Image

LEAST_PIXELS = 1600 * 900
"""With smaller pictures nothing is gained: at 1280 x 720 choosing the parts takes the time that it saves."""
_SIZE_STEP = 64  # sizes are rounded up, so that memory and FFmpeg's tables serve again
_MOST_SIZES = 4
_Colours = tuple[int, int, int, int]


class PartConverter:
    """Converts planes (H, W), (H/2, W/2), (H/2, W/2) to RGB; keeps memory and FFmpeg's tables of the last sizes."""

    def __init__(self) -> None:
        self._tools: dict[tuple[int, int], tuple[VideoReformatter, Any]] = {}

    def converted(self, planes: list[Image], colours: _Colours) -> Image:
        """Return (H, W, 3) RGB of planes with even sides; `colours` are those of the picture that they are of."""
        height, width = planes[0].shape
        sides = (-(-width // _SIZE_STEP) * _SIZE_STEP, -(-height // _SIZE_STEP) * _SIZE_STEP)
        if sides not in self._tools:
            if len(self._tools) == _MOST_SIZES:
                self._tools.clear()
            self._tools[sides] = VideoReformatter(), av.VideoFrame(*sides, format="yuv420p")
        reformatter, frame = self._tools[sides]
        frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc = colours
        for target, plane in zip(planes_of(frame), planes, strict=True):
            target[: plane.shape[0], : plane.shape[1]] = plane
        rgb = reformatter.reformat(frame, format="rgb24", threads=1).planes[0]
        return _rows(rgb)[:height, : 3 * width].reshape(height, width, 3)


class PlanarPicture:
    """A decoded picture for which `is_planar` holds, converted where and when it is needed."""

    def __init__(self, picture: av.VideoFrame, converter: PartConverter) -> None:
        """`converter` may serve all pictures of a video."""
        self.shape = (picture.height, picture.width, 3)
        self._picture: av.VideoFrame | None = picture
        self._converter = converter
        self._rgb: Image | None = None

    def whole(self) -> Image:
        """Return the picture, (H, W, 3) uint8 RGB; it is converted once."""
        if self._picture is not None:
            self._rgb, self._picture = rgb_of(self._picture), None
        assert self._rgb is not None
        return self._rgb

    def part(self, left: int, top: int, right: int, bottom: int) -> Image:
        """Return `whole()[top:bottom, left:right]`, for numbers within the picture."""
        if self._picture is None:
            return self.whole()[top:bottom, left:right]
        x, y, x_end, y_end = left // 2, top // 2, -(-right // 2), -(-bottom // 2)
        luma, *chroma = planes_of(self._picture)
        planes = [luma[2 * y : 2 * y_end, 2 * x : 2 * x_end], *(plane[y:y_end, x:x_end] for plane in chroma)]
        rgb = self._converter.converted(planes, colours_of(self._picture))
        return rgb[top - 2 * y : bottom - 2 * y, left - 2 * x : right - 2 * x]

    def sampled(self, row_step: int, column_step: int) -> Image:
        """Return `whole()[::row_step, ::column_step]`."""
        if self._picture is None:
            return self.whole()[::row_step, ::column_step]
        luma, *chroma = planes_of(self._picture)
        rows, columns = (
            np.arange(0, side, step) for side, step in zip(luma.shape, (row_step, column_step), strict=True)
        )
        blocks = np.empty(
            (2 * len(rows), 2 * len(columns)), np.uint8
        )  # one of 2 x 2 pixels per sample, which is the first
        blocks[::2, ::2] = luma[::row_step, ::column_step]
        block_chroma = [plane[rows // 2][:, columns // 2] for plane in chroma]
        return self._converter.converted([blocks, *block_chroma], colours_of(self._picture))[::2, ::2]


def rgb_of(picture: av.VideoFrame) -> Image:
    """Return a decoded picture as (H, W, 3) uint8 RGB."""
    # FFmpeg would start a thread per core for each picture, which takes CPU time from the other workers.
    return np.asarray(picture.to_ndarray(format="rgb24", threads=1), np.uint8)


def planes_of(picture: av.VideoFrame) -> list[Image]:
    """Return the planes of a 4:2:0 picture with even sides, as views of its memory."""
    return [_rows(plane)[: plane.height, : plane.width] for plane in picture.planes]


def _rows(plane: Any) -> Image:
    """Return the memory of a plane, with the bytes that pad its rows."""
    memory: Image = np.frombuffer(plane, np.uint8)
    return memory.reshape(-1, plane.line_size)


def colours_of(picture: av.VideoFrame) -> _Colours:
    """Return the colour space, range, primaries and transfer characteristic of a picture."""
    return int(picture.colorspace), int(picture.color_range), int(picture.color_primaries), int(picture.color_trc)


def is_planar(picture: av.VideoFrame) -> bool:
    """Whether parts of a picture can be converted alone, and the picture is so large that this saves time."""
    width, height = picture.width, picture.height
    return (
        picture.format.name == "yuv420p"
        and not (picture.interlaced_frame or width % 2 or height % 2)
        and width * height >= LEAST_PIXELS
        and min(plane.line_size - plane.width for plane in picture.planes) >= 0
        and _converts_pixel_by_pixel(colours_of(picture))
    )


@lru_cache(maxsize=64)
def _converts_pixel_by_pixel(colours: _Colours) -> bool:
    """Whether parts of a picture of noise have the values that they have in all of it."""
    rng = np.random.default_rng(0)
    noise = av.VideoFrame(200, 100, "yuv420p")
    noise.colorspace, noise.color_range, noise.color_primaries, noise.color_trc = colours
    for plane in planes_of(noise):
        plane[:] = rng.integers(0, 256, plane.shape)
    whole, picture = rgb_of(noise), PlanarPicture(noise, PartConverter())
    boxes = ((0, 0, 200, 100), (31, 17, 170, 90), (2, 3, 63, 94))
    return np.array_equal(picture.sampled(7, 3), whole[::7, ::3]) and all(
        np.array_equal(picture.part(*box), whole[box[1] : box[3], box[0] : box[2]]) for box in boxes
    )
