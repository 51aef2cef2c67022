from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from dfer_data.types import Frame
from dfer_data.video.reader import open_video
from tests.dfer_data.tiny import pictures, write_video


def decode(path: Path) -> tuple[list[Frame], float]:
    with open_video(path) as reader:
        frames = list(reader.frames())
        assert reader.decode_error is None
        assert not reader.is_partial
        return frames, reader.fps


@pytest.mark.parametrize("num_frames", [2, 8, 24])
@pytest.mark.parametrize(("codec", "has_b_frames"), [("libx264", True), ("mpeg4", True), ("mpeg4", False)])
def test_times_of_an_avi_rise_whatever_the_order_of_coding(
    tmp_path: Path, codec: str, has_b_frames: bool, num_frames: int
) -> None:
    """AVI stores decoding times alone; with B-frames, FFmpeg's presentation times come in another order."""
    path = tmp_path / "a.avi"
    images = pictures(num_frames)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = 96, 96, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.max_b_frames = 3 if has_b_frames else 0
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    frames, fps = decode(path)
    assert (len(frames), fps) == (num_frames, 25)
    times = np.array([frame.pts_seconds for frame in frames])
    np.testing.assert_allclose(np.diff(times), 1 / 25, atol=1e-6)
    for frame, image in zip(frames, images, strict=True):
        assert np.abs(frame.image.astype(float) - image).mean() < 10


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.flv"])
def test_times_rise_in_a_copy_of_an_avi(tmp_path: Path, name: str) -> None:
    """Programs that copy packets from an AVI take its decoding times for presentation times."""
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = 96, 96, "yuv420p"
        stream.codec_context.thread_count = 1
        frames_in = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in pictures(24)]
        packets = [packet for frame in (*frames_in, None) for packet in stream.encode(frame)]
        for number, packet in enumerate(packets):
            packet.pts = packet.dts = number
            container.mux(packet)
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
        assert times != sorted(times)
    frames, fps = decode(path)
    assert (len(frames), fps) == (24, 25)
    np.testing.assert_allclose(np.diff([frame.pts_seconds for frame in frames]), 1 / 25, atol=2e-3)


def test_uneven_times_are_exact_where_frames_could_be_reordered(tmp_path: Path) -> None:
    pts = np.cumsum([0, *[30, 50, 20, 90, 40] * 4]).tolist()
    path = write_video(tmp_path / "a.mkv", pictures(21), codec="libx264", pts=pts)
    frames, _ = decode(path)
    assert [round(frame.pts_seconds * 1000) for frame in frames] == pts


def jumping(steps: dict[int, int], *, num_frames: int = 24) -> list[int]:
    """Times in 1/1000 s of 25 frames per second, with other steps before some frames."""
    return list(accumulate((steps.get(index, 40) for index in range(1, num_frames)), initial=0))


JUMPS = {
    "after the first frame": {1: 100_040},
    "in the middle": {12: 5_000},
    "before the last frame": {23: 70_000},
    "twice": {2: 90_000, 20: 90_000},
    "of every fifth frame": dict.fromkeys(range(5, 24, 5), 3_000),
}


@pytest.mark.parametrize("kind", JUMPS)
def test_a_jump_of_the_time_stamps_counts_as_one_step(tmp_path: Path, kind: str) -> None:
    pts = jumping(JUMPS[kind])
    frames, fps = decode(write_video(tmp_path / "a.mkv", pictures(24), pts=pts))
    assert [round(frame.pts_seconds * 1000) for frame in frames] == pts  # stored times stay those of the file
    np.testing.assert_allclose([frame.steady_seconds for frame in frames], np.arange(24) / 25, atol=1e-3)
    assert fps == pytest.approx(25)


@pytest.mark.parametrize(
    "pts",
    [
        jumping({}),
        jumping(dict.fromkeys(range(1, 24, 2), 120)),
        jumping(dict.fromkeys(range(1, 24), 10_000)),
        jumping({12: 300}),
        [0, 1, 2, *range(40, 40 * 22, 40)],
    ],
    ids=["even", "two rates", "one frame in ten seconds", "a dropped few", "a burst"],
)
def test_uneven_times_without_a_jump_are_kept(tmp_path: Path, pts: list[int]) -> None:
    frames, _ = decode(write_video(tmp_path / "a.mkv", pictures(len(pts)), pts=pts))
    assert [round(frame.steady_seconds * 1000) for frame in frames] == pts


@pytest.mark.parametrize("starts", [(500, 0), (0, 500, 0)], ids=["back", "on and back"])
def test_recordings_joined_end_to_end_are_one_whole_video(tmp_path: Path, starts: tuple[int, ...]) -> None:
    """MPEG-TS files can be joined by `cat`; FFmpeg then guesses a duration of hours."""
    data = b""
    for start in starts:
        part = tmp_path / "part.ts"
        with av.open(str(part), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width, stream.pix_fmt = 96, 96, "yuv420p"
            stream.codec_context.time_base = Fraction(1, 25)
            stream.codec_context.thread_count = 1
            for index, image in enumerate(pictures(20)):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = index + 25 * start, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        data += part.read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(data)
    frames, _ = decode(path)
    steady = np.array([frame.steady_seconds for frame in frames])
    assert len(frames) == 20 * len(starts)
    assert np.all(np.diff(steady) > 0)
    assert steady[-1] == pytest.approx((len(frames) - 1) / 25, abs=0.2)
