"""Every frame arrives once, in its order and at its time: the pictures of these videos carry their numbers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from dfer_data.types import Image
from dfer_data.video.reader import open_video
from tests.dfer_data.tiny import decoded

_NUM_BITS, _BAR_PX = 8, 24
_STEP = Fraction(1, 25)


def numbered(number: int) -> Image:
    """A picture of eight bars, each of them light where the bit of the number is 1."""
    bits = [number >> bit & 1 for bit in range(_NUM_BITS)]
    bars = np.repeat(np.where(bits, 220, 90), _BAR_PX).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(bars[None, :, None], (96, bars.size, 3)))


def number_of(image: Image) -> int:
    means = image.reshape(96, _NUM_BITS, _BAR_PX, 3)[20:-20, :, 6:-6].mean(axis=(0, 2, 3))
    return sum(int(mean > 155) << bit for bit, mean in enumerate(means))


def encode(
    target: Path | io.BytesIO,
    numbers: Sequence[int],
    *,
    format: str | None = None,
    codec: str = "libx264",
    codec_options: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> None:
    """Encode the pictures of these numbers, each at 1/25 s times its number."""
    file = str(target) if isinstance(target, Path) else target
    with av.open(file, "w", format=format, options=dict(options or {})) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = numbered(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.options = dict(codec_options or {})
        for number in numbers:
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = number, _STEP
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def decode(path: Path) -> tuple[list[int], list[float]]:
    """Return the numbers of the frames, and their times."""
    frames = decoded(path)
    return [number_of(frame.image) for frame in frames], [frame.pts_seconds for frame in frames]


@pytest.mark.parametrize(
    ("name", "coding"),
    [("a.mp4", "bframes=8:b-adapt=0:b-pyramid=2:keyint=50"), ("a.mkv", "open-gop=1:bframes=5:keyint=20:scenecut=0")],
)
def test_frames_of_many_b_frames_are_in_the_order_of_time(tmp_path: Path, name: str, coding: str) -> None:
    encode(tmp_path / name, range(100), codec_options={"x264-params": coding})
    numbers, times = decode(tmp_path / name)
    assert numbers == list(range(100))
    np.testing.assert_allclose(np.diff(times), float(_STEP), atol=2e-3)


@pytest.mark.parametrize("start", [10, 70])
def test_a_copy_trimmed_by_an_edit_list_begins_where_the_list_says(tmp_path: Path, start: int) -> None:
    """Phones trim without coding anew: the frames since the last keyframe are kept, and the edit list hides them."""
    whole, trimmed = tmp_path / "whole.mp4", tmp_path / "trimmed.mp4"
    encode(whole, range(120), codec_options={"x264-params": "keyint=60:min-keyint=60:scenecut=0:bframes=3"})
    with av.open(str(whole)) as source, av.open(str(trimmed), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = source.streams.video[0]
        assert stream.time_base is not None
        copy = target.add_stream_from_template(stream)
        shift, keyframe = (round(number * _STEP / stream.time_base) for number in (start, start // 60 * 60))
        for packet in source.demux(stream):
            if packet.pts is not None and packet.dts is not None and packet.pts >= keyframe:
                packet.stream = copy
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                target.mux(packet)
    numbers, times = decode(trimmed)
    assert numbers == list(range(start, 120))
    np.testing.assert_allclose(times, np.arange(120 - start) / 25, atol=1e-3)


@pytest.mark.parametrize(("codec", "num_b_frames"), [("mpeg4", 0), ("mpeg4", 2), ("libx264", 3)])
def test_frames_that_an_avi_leaves_out_leave_a_gap_in_the_times(tmp_path: Path, codec: str, num_b_frames: int) -> None:
    """AVI has a fixed rate: a missing frame is an empty packet, which is no picture."""
    shown = [*range(20), *range(30, 50)]
    encode(tmp_path / "a.avi", shown, codec=codec, codec_options={"bf": str(num_b_frames)})
    numbers, times = decode(tmp_path / "a.avi")
    assert numbers == shown
    np.testing.assert_allclose(np.subtract(times, times[0]), np.array(shown) / 25, atol=1e-6)


def test_a_live_recording_without_a_duration_is_whole(tmp_path: Path) -> None:
    """Browsers record WebM as a stream: neither a duration nor a number of frames is declared."""
    written = io.BytesIO()
    encode(written, range(60), format="webm", codec="libvpx", options={"live": "1"})
    (tmp_path / "a.webm").write_bytes(written.getvalue())
    with open_video(tmp_path / "a.webm") as reader:
        assert reader.info.duration_seconds == 0
    numbers, times = decode(tmp_path / "a.webm")
    assert numbers == list(range(60))
    np.testing.assert_allclose(np.diff(times), float(_STEP), atol=2e-3)
