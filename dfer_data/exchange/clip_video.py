"""Encode the frames of a clip as a video that is close to them: H.264 in mp4."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from dfer_data.types import Image

MIN_PSNR_DB = 40.5
"""Of every frame against its picture; a video that misses it is encoded again, more closely."""
_ATTEMPTS = (("yuv420p", 10), ("yuv444p", 10), ("yuv444p", 0))
"""Pixel format and quality. Half the colour resolution plays everywhere, and is too little for some pictures."""
_X264_PARAMS = "mbtree=0"
"""x264 165 gives other bytes for equal pictures in every second call with its macroblock tree, in one thread too."""
_UNKNOWN_FPS = 25
_SHARE_OF_JPEGS = 0.5  # bytes of the video, of those of the JPEGs: measured 0.3 to 0.7


def clip_video(pictures: Sequence[Image], *, fps: float) -> bytes:
    """Return an mp4 with one frame per picture, (H, W, 3) uint8 RGB, at a constant rate.

    Every frame is within MIN_PSNR_DB of its picture. Pictures of another size than the first are resized to it. The
    bytes depend on the pictures and on the version of FFmpeg alone.
    """
    height, width = pictures[0].shape[:2]
    alike = [
        picture if picture.shape == pictures[0].shape else np.asarray(cv2.resize(picture, (width, height)), np.uint8)
        for picture in pictures
    ]
    is_odd = bool(height % 2 or width % 2)  # half the colour resolution needs even sides
    attempts = [attempt for attempt in _ATTEMPTS if not (is_odd and attempt[0] == "yuv420p")]
    content = b""
    for pixel_format, crf in attempts:
        content = _encoded(alike, fps=fps, pixel_format=pixel_format, crf=crf)
        if min(map(_psnr, alike, _decoded(content))) >= MIN_PSNR_DB:
            break
    return content


def estimated_bytes(num_jpeg_bytes: int) -> int:
    """Return about how large the video of JPEGs will be."""
    return int(num_jpeg_bytes * _SHARE_OF_JPEGS)


def _encoded(pictures: Sequence[Image], *, fps: float, pixel_format: str, crf: int) -> bytes:
    buffer = io.BytesIO()
    rate = Fraction(fps).limit_denominator(1001) if fps > 0 else Fraction(_UNKNOWN_FPS)
    with av.open(buffer, "w", format="mp4", container_options={"fflags": "+bitexact"}) as container:
        options = {"crf": str(crf), "preset": "fast", "x264-params": _X264_PARAMS}
        stream = container.add_stream("libx264", rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixel_format
        stream.codec_context.thread_count = 1  # clips are encoded in parallel instead
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def _decoded(content: bytes) -> Iterator[Image]:
    with av.open(io.BytesIO(content), "r") as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _psnr(picture: Image, decoded: Image) -> float:
    """Return the peak signal-to-noise ratio in dB."""
    squared = float(np.mean(np.square(picture.astype(np.float32) - decoded)))
    return float(10 * np.log10(255**2 / max(squared, 1e-9)))
