"""Files that are opened or refused, and the film that is chosen among their streams."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.stream import Disposition
from av.video.stream import VideoStream

from dfer_data.errors import VideoError
from dfer_data.types import Frame, Image
from dfer_data.video.reader import open_video
from tests.dfer_data.tiny import pictures, write_video


def frames_of(path: Path) -> list[Frame]:
    with open_video(path) as reader:
        return list(reader.frames())


def failure(path: Path) -> VideoError:
    with pytest.raises(VideoError) as caught, open_video(path) as reader:
        list(reader.frames())
    return caught.value


def test_the_best_of_two_video_streams_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "two.mkv"
    small, large = pictures(4, width_px=32, height_px=32), pictures(4, width_px=128, height_px=96)
    with av.open(str(path), "w") as container:
        streams = []
        for images in (small, large):
            stream = container.add_stream("mpeg4", rate=25)
            assert isinstance(stream, VideoStream)
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            streams.append(stream)
        for pair in zip(small, large, strict=True):
            for stream, image in zip(streams, pair, strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for stream in streams:
            container.mux(stream.encode())
    assert [frame.image.shape for frame in frames_of(path)] == [(96, 128, 3)] * 4


def test_an_mp4_cut_before_its_index_is_unreadable(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert failure(path).code == "UNREADABLE"
    assert "its end may be missing" in failure(path).hint
    path.write_bytes(b"")
    assert failure(path).hint == "the file is empty: copy or download it again"


def write_audio(path: Path, *, cover: Image | None = None) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        assert isinstance(stream, AudioStream)
        picture = container.add_stream("mjpeg", rate=1) if cover is not None else None
        if picture is not None and cover is not None:
            assert isinstance(picture, VideoStream)
            picture.height, picture.width = cover.shape[:2]
            picture.pix_fmt = "yuvj420p"
            picture.disposition = Disposition.attached_pic.value  # type: ignore[assignment]  # PyAV before 18
            container.mux(picture.encode(av.VideoFrame.from_ndarray(cover, format="rgb24")))
            container.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def no_decoder(path: Path) -> None:
    avi = write_video(path.with_suffix(".avi"), pictures(3))
    path.write_bytes(avi.read_bytes().replace(b"FMP4", b"ZZZZ"))


def huge_picture(path: Path) -> None:
    """A header of more pixels than 8K has, on a file of a few kilobytes."""
    avi = write_video(path.with_suffix(".avi"), pictures(1), codec="rawvideo", pix_fmt="bgr24")
    data = bytearray(avi.read_bytes())
    start = data.index(b"strf") + 12  # width and height of its BITMAPINFOHEADER
    assert struct.unpack_from("<i", data, start) == (96,)
    struct.pack_into("<ii", data, start, 8192, 4400)
    path.write_bytes(data)


def huge_once_square(path: Path) -> None:
    write_video(path, pictures(1), sample_aspect_ratio=Fraction(2, 1))
    data = path.read_bytes()
    assert b"pasp" + struct.pack(">2I", 2, 1) in data
    path.write_bytes(data.replace(b"pasp" + struct.pack(">2I", 2, 1), b"pasp" + struct.pack(">2I", 60000, 1)))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: path.touch(), "UNREADABLE"),
    "a login page": (lambda path: path.write_text("<!doctype html>\n<html>Please log in</html>"), "UNREADABLE"),
    "a Git LFS pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "UNREADABLE",
    ),
    "a folder": (lambda path: path.mkdir(), "UNREADABLE"),
    "no file": (lambda path: None, "MISSING_VIDEO"),
    "sound alone": (lambda path: write_audio(path), "NO_VIDEO_STREAM"),
    "sound with a cover": (lambda path: write_audio(path, cover=pictures(1)[0]), "NO_VIDEO_STREAM"),
    "an unknown codec": (no_decoder, "UNREADABLE"),
    "a huge picture": (huge_picture, "TOO_LARGE"),
    "a picture that is huge once square": (huge_once_square, "TOO_LARGE"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_what_is_no_video_has_a_code(tmp_path: Path, kind: str) -> None:
    make, code = FAULTS[kind]
    path = tmp_path / "clip.mp4"
    make(path)
    error = failure(path)
    assert error.code == code
    assert error.hint
    assert "clip.mp4" in error.message
    assert str(tmp_path) not in error.message + error.hint  # it goes into files that are the same on every machine
    assert "\n" not in error.message


@pytest.mark.parametrize("name", ["list.m3u8", "list.mp4", "list.ffconcat", "list.avi"])
@pytest.mark.parametrize("kind", ["m3u8", "ffconcat"])
def test_a_playlist_is_not_followed(tmp_path: Path, name: str, kind: str) -> None:
    secret = write_video(tmp_path / "secret.mp4", pictures(3))
    lists = {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret.name}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile {secret.name}\n",
    }
    path = tmp_path / name
    path.write_text(lists[kind])
    if kind == "ffconcat":
        with av.open(str(path), format="concat") as container:
            assert len(list(container.decode(video=0))) == 3  # the list does lead there
    assert failure(path).code == "UNREADABLE"


def test_tags_that_are_not_utf8_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Enttaeuscht"
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width, stream.pix_fmt = 96, 96, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pictures(1)[0], format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert b"Enttaeuscht" in data
    path.write_bytes(data.replace(b"Enttaeuscht", b"Entt\xe4uscht!"))
    assert len(frames_of(path)) == 1


@pytest.mark.parametrize("ending", ["mkv", "webm"])
def test_the_first_bytes_of_a_matroska_file_are_damage_and_no_fault_of_the_disk(tmp_path: Path, ending: str) -> None:
    """FFmpeg reports EIO for some of them."""
    codec = "libx264" if ending == "mkv" else "libvpx"
    content = write_video(tmp_path / f"a.{ending}", pictures(4), codec=codec).read_bytes()
    errors = set()
    for num_bytes in range(40, 640, 20):
        path = tmp_path / f"cut.{ending}"
        path.write_bytes(content[:num_bytes])
        try:
            with open_video(path):
                pass
        except VideoError as error:
            errors.add(error.code)
    assert errors in ({"UNREADABLE"}, {"UNREADABLE", "NO_VIDEO_STREAM"})
