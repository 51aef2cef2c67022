"""Interlaced videos for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
from av.video.stream import VideoStream

from dfer_data.types import Image


def write_interlaced(path: Path, fields: Sequence[Image], *, codec: str) -> Path:
    """Weave each pair of pictures into one frame, as cameras for television do."""
    options = {"x264-params": "tff=1"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = fields[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.bit_rate = 4_000_000
        if codec == "mpeg2video":
            stream.codec_context.flags |= 0x00040000 | 0x20000000  # FFmpeg's ILDCT and ILME
        for upper, lower in zip(fields[::2], fields[1::2], strict=True):
            woven = upper.copy()
            woven[1::2] = lower[1::2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(woven, format="rgb24")))
        container.mux(stream.encode())
    return path
