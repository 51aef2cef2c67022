"""HDR videos for the tests: pictures on a screen whose white is the reference white of 203 cd/m2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.video.stream import VideoStream

from dfer_data.types import Floats, Image

_TO_BT2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
_TRANSFER = {"PQ": 16, "HLG": 18}
_BT2020 = 9


def _light(image: Image) -> Floats:
    values = image / 255.0
    return np.asarray(np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4))


def _pq(nits: Floats) -> Floats:
    power = (np.clip(nits, 0, 10_000) / 10_000) ** (2610 / 16384)
    return np.asarray(((3424 + 2413 * 32 * power) / (4096 + 2392 * 32 * power)) ** (2523 / 32))


def _hlg(nits: Floats) -> Floats:
    """As a screen with a peak of 1000 cd/m2 shows it."""
    screen = np.clip(nits, 0, 1000) / 1000
    luminance = screen @ np.array([0.2627, 0.6780, 0.0593])
    scene = screen * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
    curve = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), curve))


def write_hdr(
    path: Path, images: Sequence[Image], *, kind: Literal["PQ", "HLG"], codec: str = "libx265", gain: float = 1.0
) -> Path:
    """Encode sRGB pictures as 10-bit BT.2020; `gain` makes their light brighter than the reference white."""
    # libx265 leaves the time of a video's only frame unset where it may reorder frames.
    quiet = {"x265-params": "log-level=none:bframes=0"} if codec == "libx265" else {}
    options = {"crf": "4", "preset": "ultrafast"} | quiet
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p10le"
        decoder = stream.codec_context
        decoder.thread_count = 1
        decoder.color_trc, decoder.color_primaries, decoder.colorspace = _TRANSFER[kind], _BT2020, _BT2020
        decoder.color_range = 1
        for index, image in enumerate(images):
            nits = 203 * gain * (_light(image) @ _TO_BT2020.T)
            signal = _pq(nits) if kind == "PQ" else _hlg(nits)
            rgb = av.VideoFrame.from_ndarray((signal * 65535).round().astype(np.uint16), format="rgb48le")
            frame = rgb.reformat(format="yuv420p10le", dst_colorspace=_BT2020)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
