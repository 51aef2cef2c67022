"""Frames that a damaged file has lost make it partial; gaps of cameras and screen recorders do not."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from dfer_data.types import Image
from dfer_data.video.reader import open_video
from tests.dfer_data.tiny import pictures, write_video

NUM_FRAMES = 60


@functools.cache
def moving_pictures() -> tuple[Image, ...]:
    """A soft pattern that moves under the frame, so that no frame is a copy of another."""
    pattern = np.random.default_rng(1).integers(60, 200, (18, 32, 3)).astype(np.uint8)
    wide = cv2.resize(pattern, (640, 360), interpolation=cv2.INTER_CUBIC)
    starts = [(int(60 + 50 * np.sin(i / 9)), int(60 + 40 * np.cos(i / 7))) for i in range(NUM_FRAMES)]
    return tuple(np.ascontiguousarray(wide[y : y + 96, x : x + 160]) for x, y in starts)


def write_long(
    path: Path,
    codec: str,
    *,
    sound: str = "",
    options: Mapping[str, str] | None = None,
    places: Sequence[int] = range(NUM_FRAMES),
) -> bytes:
    """Write moving pictures in groups of twelve, with noise as sound; `places`: when each is shown, in 1/25 s."""
    with av.open(str(path), "w", options=dict(options or {})) as container:
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = 160, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.thread_count = 12, 1
        stream.codec_context.bit_rate = 600_000
        packets = []
        for place, image in zip(places, moving_pictures(), strict=True):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = place, Fraction(1, 25)
            packets += stream.encode(picture)
        packets += stream.encode()
        if sound:
            audio = container.add_stream(sound, rate=48_000)
            assert isinstance(audio, AudioStream)
            audio.codec_context.layout = "mono"
            num_samples = (places[-1] + 1) * 1920
            noise = np.random.default_rng(2).normal(0, 0.1, (1, num_samples)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, 0
            name, size = audio.codec_context.format.name, audio.codec_context.frame_size
            for part in av.AudioResampler(format=name, layout="mono", rate=48_000, frame_size=size).resample(frame):
                packets += audio.encode(part)
            packets += audio.encode()
        timed = [packet for packet in packets if packet.dts is not None]
        for packet in sorted(timed, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            container.mux(packet)
    return path.read_bytes()


class Reading(NamedTuple):
    """What a reader says after its last frame."""

    num_frames: int
    num_damaged: int
    is_partial: bool
    end_reason: str
    decode_error: str | None


def read(path: Path) -> Reading:
    with open_video(path) as reader:
        damaged = [frame.is_damaged for frame in reader.frames()]
        assert reader.is_partial == (reader.num_missing > 0 or reader.end_reason != "")
        return Reading(len(damaged), sum(damaged), reader.is_partial, reader.end_reason, reader.decode_error)


FORMATS = [
    ("a.mp4", "libx264", "aac"),
    ("a.ts", "libx264", "aac"),
    ("a.ts", "mpeg2video", "mp2"),
    ("a.mkv", "libx264", "aac"),
    ("a.webm", "libvpx", "libopus"),
    ("a.avi", "mjpeg", ""),
    ("a.avi", "libx264", "mp2"),
    ("a.flv", "libx264", "aac"),
    ("a.mpg", "mpeg1video", "mp2"),
    ("a.ogv", "libvpx", ""),
    ("fragments.mp4", "libx264", "aac"),
]


@pytest.mark.parametrize(("name", "codec", "sound"), FORMATS)
def test_a_file_with_damage_in_the_middle_is_not_whole(tmp_path: Path, name: str, codec: str, sound: str) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"} if name == "fragments.mp4" else {}
    intact = write_long(tmp_path / name, codec, sound=sound, options=options)
    whole = read(tmp_path / name)
    assert (whole.num_frames, whole.num_damaged, whole.is_partial) == (NUM_FRAMES, 0, False)
    num_lossy = 0
    for share in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        data = bytearray(intact)
        for position in range(int(share * len(data)), int((share + 0.05) * len(data))):
            data[position] = (data[position] * 7 + 13) & 255
        (tmp_path / name).write_bytes(data)
        reading = read(tmp_path / name)
        num_lossy += reading.num_frames < NUM_FRAMES
        assert reading.num_frames == NUM_FRAMES or reading.is_partial or reading.num_damaged, share
    assert num_lossy > 0


def test_the_number_and_the_place_of_lost_frames_are_exact(tmp_path: Path) -> None:
    """The bytes of three frames become zeros; no later frame refers to them."""
    path = write_video(tmp_path / "a.mkv", moving_pictures(), codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        places = [(packet.pos or 0, packet.size) for packet in container.demux() if packet.size]
    data = bytearray(path.read_bytes())
    start, stop = places[20][0] - 4, sum(places[22])
    data[start:stop] = bytes(stop - start)
    path.write_bytes(data)
    with open_video(path) as reader:
        missing = {frame.index: frame.num_missing_before for frame in reader.frames() if frame.num_missing_before}
        assert reader.is_partial
    ((index, number),) = missing.items()
    assert index == 20
    assert index + number + (reader.num_frames - index) == NUM_FRAMES


def test_decoding_goes_on_after_damage_in_an_mp4(tmp_path: Path) -> None:
    intact = write_long(tmp_path / "a.mp4", "libx264")
    data = bytearray(intact)
    start = int(0.4 * len(data))
    data[start : start + len(data) // 20] = bytes(len(data) // 20)
    (tmp_path / "a.mp4").write_bytes(data)
    reading = read(tmp_path / "a.mp4")
    assert reading.num_frames >= 0.8 * NUM_FRAMES
    assert reading.decode_error is None
    assert reading.is_partial


def test_decoding_ends_where_nothing_more_can_be_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfer_data.video.reader._MOST_ERRORS_IN_A_ROW", 5)
    path = write_video(tmp_path / "a.mkv", moving_pictures(), codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux() if packet.size]
    data = bytearray(path.read_bytes())
    place = 0
    for number, size in enumerate(sizes):
        place = data.index(b"\xff\xd8", place)  # the start of a picture
        if number >= 10:
            data[place : place + size] = bytes(size)
        place += size
    path.write_bytes(data)
    reading = read(path)
    assert reading.num_frames == 10
    assert reading.decode_error
    assert reading.end_reason.startswith("decoding stopped after frame 9: ")


def test_a_track_header_without_a_unit_of_time_is_partial(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(26))
    data = bytearray(path.read_bytes())
    place = data.index(b"mdhd") + 16
    data[place : place + 4] = bytes(4)
    path.write_bytes(data)
    reading = read(path)
    assert reading.num_frames < 26
    assert reading.end_reason == f"the file ends early: {reading.num_frames} frames could be decoded"


IRREGULAR = {
    "a phone in the dark": [40 * i + 40 * (i // 7) for i in range(NUM_FRAMES)],
    "a screen recording": np.cumsum([0, *[16, 17, 16, 400, 33, 1200] * 9, *[16] * 5]).tolist(),
    "a pause": [40 * i + 700 * (i >= 30) for i in range(NUM_FRAMES)],
    "one frame left out": [40 * i + 40 * (i >= 30) for i in range(NUM_FRAMES)],
    "a jump of an hour": [40 * i + 3_600_000 * (i >= 30) for i in range(NUM_FRAMES)],
}


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts", "a.flv", "a.webm"])
@pytest.mark.parametrize("kind", IRREGULAR)
def test_irregular_times_of_an_intact_video_are_no_loss(tmp_path: Path, name: str, kind: str) -> None:
    codec = "libvpx" if name == "a.webm" else "libx264"
    path = write_video(tmp_path / name, moving_pictures(), codec=codec, pts=IRREGULAR[kind])
    reading = read(path)
    assert (reading.num_frames, reading.num_damaged) == (NUM_FRAMES, 0)
    assert not reading.is_partial


GAPS = {
    "a.mkv": ("libx264", "aac"),
    "a.webm": ("libvpx", "libopus"),
    "a.flv": ("libx264", "aac"),
    "a.avi": ("mpeg4", "mp2"),
    "fragments.mp4": ("libx264", "aac"),
}


@pytest.mark.parametrize("name", GAPS)
@pytest.mark.parametrize("num_left_out", [3, 8, 14])
def test_a_gap_of_the_pictures_in_which_the_sound_goes_on_is_no_loss(
    tmp_path: Path, name: str, num_left_out: int
) -> None:
    codec, sound = GAPS[name]
    places = [i + num_left_out * (i // 20) for i in range(NUM_FRAMES)]
    options = {"movflags": "frag_keyframe+empty_moov"} if name == "fragments.mp4" else {}
    write_long(tmp_path / name, codec, sound=sound, options=options, places=places)
    reading = read(tmp_path / name)
    assert (reading.num_frames, reading.num_damaged, reading.end_reason) == (NUM_FRAMES, 0, "")
    assert not reading.is_partial


def test_damage_in_the_sound_is_no_loss(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    data = bytearray(write_long(path, "libx264", sound="aac"))
    with av.open(str(path)) as container:
        sound = [(packet.size, packet.pos or 0) for packet in container.demux(container.streams.audio[0])]
    _, place = max(sound)
    data[place + 20 : place + 60] = bytes(40)
    path.write_bytes(data)
    reading = read(path)
    assert reading.num_frames == NUM_FRAMES
    assert not reading.is_partial
