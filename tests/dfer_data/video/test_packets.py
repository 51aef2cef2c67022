from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from dfer_data.types import Image
from dfer_data.video.reader import open_video
from tests.dfer_data.tiny import pictures, write_video


def write_with_sound(path: Path, *, seconds: float, sound_seconds: float, codec: str, sound: str) -> int:
    """Write pictures with sound of another length; return the number of pictures."""
    images = [np.roll(image, 9 * i, axis=1) for i, image in enumerate(pictures(round(25 * seconds)))]
    rate = 48000 if sound == "libopus" else 44100
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        assert isinstance(video, VideoStream)
        video.height, video.width, video.pix_fmt = 96, 96, "yuv420p"
        video.codec_context.thread_count = 1
        audio = container.add_stream(sound, rate=rate)
        assert isinstance(audio, AudioStream)
        audio.codec_context.bit_rate, audio.codec_context.layout = 64_000, "mono"
        packets = [packet for image in images for packet in video.encode(av.VideoFrame.from_ndarray(image))]
        packets += video.encode()
        for number in range(round(sound_seconds * rate / 1024)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, number * 1024
            packets += audio.encode(frame)
        packets += audio.encode()
        for packet in packets:
            container.mux(packet)
    return len(images)


FORMATS = [
    ("a.mkv", "mpeg4", "aac"),
    ("a.webm", "libvpx", "libopus"),
    ("a.flv", "flv", "aac"),
    ("a.wmv", "wmv2", "wmav2"),
    ("a.avi", "mpeg4", "mp2"),
    ("a.mp4", "mpeg4", "aac"),
    ("a.ts", "mpeg2video", "mp2"),
]


@pytest.mark.parametrize(("name", "codec", "sound"), FORMATS)
@pytest.mark.parametrize("sound_seconds", [4.0, 0.5], ids=["longer sound", "shorter sound"])
def test_an_intact_file_is_whole_whatever_the_length_of_its_sound(
    tmp_path: Path, name: str, codec: str, sound: str, sound_seconds: float
) -> None:
    path = tmp_path / name
    num_frames = write_with_sound(path, seconds=1.5, sound_seconds=sound_seconds, codec=codec, sound=sound)
    with open_video(path) as reader:
        assert len(list(reader.frames())) == num_frames
        assert not reader.is_partial


@pytest.mark.parametrize(("name", "codec", "sound"), [row for row in FORMATS if row[0] in {"a.mkv", "a.webm", "a.flv"}])
def test_a_file_cut_in_half_is_partial_with_sound_too(tmp_path: Path, name: str, codec: str, sound: str) -> None:
    path = tmp_path / name
    num_frames = write_with_sound(path, seconds=3, sound_seconds=4, codec=codec, sound=sound)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with open_video(path) as reader:
        assert 1 <= len(list(reader.frames())) < num_frames
        assert reader.is_partial


def test_a_last_picture_that_is_held_long_belongs_to_the_video(tmp_path: Path) -> None:
    plain, path = write_video(tmp_path / "plain.mp4", pictures(10)), tmp_path / "held.mp4"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        assert stream.time_base is not None
        packets[-1].duration = round(3 / stream.time_base)
        for packet in packets:
            packet.stream = copy
            target.mux(packet)
    with open_video(path) as reader:
        assert reader.info.duration_seconds > 3
        assert len(list(reader.frames())) == 10
        assert not reader.is_partial


@pytest.mark.parametrize(("num_frames", "codec"), [(10, "mpeg4"), (100, "mpeg4"), (100, "libx264")])
def test_the_number_of_frames_to_come_is_known_near_the_end(tmp_path: Path, num_frames: int, codec: str) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(num_frames), codec=codec)
    with open_video(path) as reader:
        following = [frame.num_following for frame in reader.frames()]
    for index, number in enumerate(following[-26:], start=max(0, num_frames - 26)):
        assert number == num_frames - 1 - index
    assert num_frames < 64 or following[0] is None


def write_two(path: Path, first: list[Image], second: list[Image], *, every: int = 1) -> None:
    """Write two video streams; the first has a picture for every `every` pictures of the second."""
    with av.open(str(path), "w") as container:
        streams = []
        for images, codec in ((first, "mjpeg"), (second, "mpeg4")):
            stream = container.add_stream(codec, rate=25)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            streams.append(stream)
        for index, image in enumerate(second):
            for stream, one in ((streams[0], first[index // every % len(first)]), (streams[1], image)):
                if stream is streams[1] or (index % every == 0 and index // every < len(first)):
                    frame = av.VideoFrame.from_ndarray(one, format="rgb24")
                    frame.pts = index
                    container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
@pytest.mark.parametrize(("num_previews", "every"), [(1, 1), (3, 8)])
def test_a_preview_of_larger_pictures_is_no_film(tmp_path: Path, name: str, num_previews: int, every: int) -> None:
    path = tmp_path / name
    previews, film = pictures(num_previews, width_px=256, height_px=192), pictures(24, width_px=128, height_px=96)
    write_two(path, previews, film, every=every)
    with open_video(path) as reader:
        frames = list(reader.frames())
        assert not reader.is_partial
    assert [frame.image.shape for frame in frames] == [(96, 128, 3)] * 24


def test_of_two_films_the_larger_one_is_taken_at_half_the_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_two(path, pictures(12, width_px=256, height_px=192), pictures(24, width_px=128, height_px=96), every=2)
    with open_video(path) as reader:
        assert [frame.image.shape for frame in reader.frames()] == [(192, 256, 3)] * 12


def test_a_rate_that_is_not_declared_is_measured(tmp_path: Path) -> None:
    """FFmpeg has no average rate for Ogg."""
    path = write_video(tmp_path / "a.ogv", pictures(12), codec="libvpx")
    with open_video(path) as reader:
        assert (reader.info.fps, len(list(reader.frames()))) == (0, 12)
        assert reader.fps == 25
