from __future__ import annotations

import contextlib
import struct
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dfer_data.errors import VideoError
from dfer_data.types import Image
from dfer_data.video.reader import open_video
from tests.dfer_data.tiny import decoded, pictures, write_video

FASTSTART = {"movflags": "faststart"}


def assert_close(found: Image, wanted: Image, *, mean: float = 7.0) -> None:
    assert found.shape == wanted.shape
    assert found.dtype == np.uint8
    assert np.abs(found.astype(float) - wanted).mean() < mean


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "mpeg4", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.mov", "mjpeg", "yuvj420p"),
        ("a.mkv", "ffv1", "gray"),
        ("a.mkv", "ffv1", "yuv420p10le"),
        ("a.mkv", "ffv1", "bgra"),
        ("a.flv", "flv", "yuv420p"),
        ("a.webm", "libvpx", "yuv420p"),
        ("wrong-extension.gif", "", ""),
    ],
)
def test_frames_come_as_rgb_with_their_times(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    images = pictures(7)
    if codec:
        path = write_video(tmp_path / name, images, codec=codec, pix_fmt=pix_fmt)
    else:
        path = write_video(tmp_path / "a.mp4", images).rename(tmp_path / name)
    frames = decoded(path)
    assert [frame.index for frame in frames] == list(range(7))
    np.testing.assert_allclose([frame.pts_seconds for frame in frames], np.arange(7) / 25, atol=1e-3)
    assert not any(frame.is_damaged for frame in frames)
    for frame, image in zip(frames, images, strict=True):
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[:, :, None]
        assert_close(frame.image, np.repeat(grey, 3, axis=2) if pix_fmt == "gray" else image)


@pytest.mark.parametrize("size", [(97, 63), (1, 1), (16, 121)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    images = pictures(3, width_px=size[0], height_px=size[1])
    path = write_video(tmp_path / "odd.mkv", images, codec="ffv1", pix_fmt="yuv444p")
    for frame, image in zip(decoded(path), images, strict=True):
        assert_close(frame.image, image)


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a rotation into the track header of an MP4, as telephones do."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    a, b, c, d = matrix
    data[start : start + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    target = path.with_name("turned.mp4")
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("matrix", "quarter_turns_left"),
    [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1), ((1, 0, 0, 1), 0)],
    ids=["90 clockwise", "180", "90 counterclockwise", "none"],
)
def test_rotation_metadata_is_applied(
    tmp_path: Path, matrix: tuple[int, int, int, int], quarter_turns_left: int
) -> None:
    plain = write_video(tmp_path / "plain.mp4", pictures(3, width_px=96, height_px=64))
    for upright, stored in zip(decoded(turned(plain, matrix)), decoded(plain), strict=True):
        np.testing.assert_array_equal(upright.image, np.rot90(stored.image, quarter_turns_left))
        assert upright.image.flags.c_contiguous


def test_pixels_become_square(tmp_path: Path) -> None:
    images = pictures(3, width_px=96, height_px=64)
    plain = decoded(write_video(tmp_path / "plain.mp4", images))
    wide = write_video(tmp_path / "wide.mp4", images, sample_aspect_ratio=Fraction(2, 1))
    with open_video(wide) as reader:
        assert (reader.info.width_px, reader.info.height_px) == (192, 64)
        for frame, stored in zip(reader.frames(), plain, strict=True):
            np.testing.assert_array_equal(frame.image, cv2.resize(stored.image, (192, 64)))


def test_pixels_are_made_square_before_they_are_turned(tmp_path: Path) -> None:
    wide = write_video(tmp_path / "w.mp4", pictures(2, width_px=96, height_px=64), sample_aspect_ratio=Fraction(2))
    assert {frame.image.shape for frame in decoded(turned(wide, (0, 1, -1, 0)))} == {(192, 64, 3)}


def test_uneven_times_are_kept(tmp_path: Path) -> None:
    pts = [0, 40, 100, 101, 500, 1500]
    path = write_video(tmp_path / "uneven.mkv", pictures(6), pts=pts)
    assert [round(frame.pts_seconds * 1000) for frame in decoded(path)] == pts


@pytest.mark.parametrize(
    "pts",
    [[0, 40, 40, 40, 80], [-80, -40, 0, 40, 80], [5000, 5040, 9000, 9040, 9080]],
    ids=["repeated", "below 0", "late"],
)
def test_times_that_are_missing_or_repeated_do_no_harm(tmp_path: Path, pts: list[int]) -> None:
    """Frames are counted by decoding; times that a container refuses to hold may come back shifted, never missing."""
    path = tmp_path / "a.avi" if len(set(pts)) < len(pts) else tmp_path / "a.mkv"
    write_video(path, pictures(5), pts=None if path.suffix == ".avi" else pts)
    if path.suffix == ".avi":
        data = path.read_bytes()
        path.write_bytes(data.replace(b"idx1", b"JUNK"))  # no index: times must be guessed
    frames = decoded(path)
    assert len(frames) == 5
    times = [frame.pts_seconds for frame in frames]
    assert times == sorted(times)
    assert np.isfinite(times).all()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("a.mp4", "mpeg4", FASTSTART), ("a.mkv", "mpeg4", {}), ("a.avi", "mpeg4", {}), ("a.flv", "flv", {})],
)
def test_a_file_cut_in_half_is_partial_and_keeps_its_frames(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    # each frame quite another than the one before: no first frame that is half of the file
    images = [np.roll(image, 9 * i, axis=1) for i, image in enumerate(pictures(40))]
    path = write_video(tmp_path / name, images, codec=codec, options=options)
    assert len(decoded(path)) == 40
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_video(path) as reader:
        frames = list(reader.frames())
        assert reader.is_partial
    assert 1 <= len(frames) < 32
    assert_close(frames[0].image, images[0])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_flipped_bytes_never_raise_anything_but_video_error(tmp_path: Path, name: str) -> None:
    """Whatever a file holds, it becomes frames, a partial clip or a ledger row; nothing ends the run of the others."""
    intact = write_video(tmp_path / name, pictures(6)).read_bytes()
    path = tmp_path / f"flipped{Path(name).suffix}"

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.tuples(st.integers(0, len(intact) - 1), st.integers(0, 255)), min_size=1, max_size=12))
    def check(flips: list[tuple[int, int]]) -> None:
        data = bytearray(intact)
        for position, value in flips:
            data[position] = value
        path.write_bytes(data)
        with contextlib.suppress(VideoError), open_video(path) as reader:
            frames = list(reader.frames())
            assert str(tmp_path) not in (reader.decode_error or "")
            assert all(frame.image.dtype == np.uint8 and frame.image.shape[2] == 3 for frame in frames)

    check()


def test_a_stream_that_appears_late_costs_its_packet_at_most(tmp_path: Path) -> None:
    """FFmpeg adds streams to an MPEG-TS while it reads; PyAV 18 then raises IndexError, others pass the packet over."""
    images = pictures(6)
    path = write_video(tmp_path / "late.ts", images)
    data = bytearray(path.read_bytes())
    data[-188 + 2] = 0x25  # the last packet, which starts a picture, now belongs to a stream of another number
    path.write_bytes(data)
    with open_video(path) as reader:
        frames = list(reader.frames())
        assert reader.decode_error is None or reader.is_partial
    assert 3 <= len(frames) < len(images)
    assert_close(frames[0].image, images[0])


def test_an_error_in_the_middle_keeps_the_frames_before_it_and_names_no_folder(tmp_path: Path) -> None:
    """The reason goes into files that are the same on every machine."""
    path = write_video(tmp_path / "clip.mp4", pictures(30))
    data = bytearray(path.read_bytes())
    data[data.index(b"stsz") + 16 + 4 * 20] = 0x28  # frame 20 is said to be very large
    path.write_bytes(data)
    with open_video(path) as reader:
        assert 15 <= len(list(reader.frames())) <= 22
        assert reader.is_partial
        assert str(tmp_path) not in (reader.decode_error or "")
