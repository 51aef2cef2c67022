"""Tiny videos and tiny prepared folders for the tests, and what tests ask about a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import simplejpeg
from av.video.stream import VideoStream

from dfer_data.config import PrepareConfig
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.types import Detection, Floats, Frame, Image
from dfer_data.video.reader import open_video

CONFIG = PrepareConfig(
    dataset="folder", detector="retinaface", backbone="mobilenet0.25", weights_sha256="", det_size_px=160
)
"""Settings for pictures of about 160 x 90 pixels."""


@dataclass(frozen=True)
class Prepared:
    """A source folder and what was made of it."""

    source: Path
    out: Path
    resolved: ResolvedRequest


def pictures(num_frames: int, *, width_px: int = 96, height_px: int = 96) -> list[Image]:
    """Smooth colours that move slowly to the left, so that every frame differs from the one before."""
    y, x = np.mgrid[:height_px, :width_px]
    channels = [np.stack([x * 2 + 2 * i, y * 2, (x + y + i)], axis=-1) for i in range(num_frames)]
    return [(128 + 100 * np.sin(channel / 23)).astype(np.uint8) for channel in channels]


def real_pictures(path: Path, *, start: int = 0, stop: int, width_px: int = 160) -> list[Image]:
    """Frames of a video, shrunk to a width."""
    shrunk: list[Image] = []
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1  # older PyAV hangs on threads left half done
        for index, frame in enumerate(container.decode(video=0)):
            if index >= stop:
                break
            if index >= start:
                size = (width_px, round(frame.height * width_px / frame.width / 2) * 2)
                rgb = frame.to_ndarray(format="rgb24")
                shrunk.append(np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8))
    return shrunk


def write_video(
    path: Path,
    images: Sequence[Image],
    *,
    codec: str = "mpeg4",
    pix_fmt: str = "yuv420p",
    frames_per_second: int = 25,
    pts: Sequence[int] | None = None,
    sample_aspect_ratio: Fraction | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Encode pictures; `pts` counts in 1/1000 s, without it the frames follow each other evenly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=dict(options or {})) as container:
        stream = container.add_stream(codec, rate=frames_per_second)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.thread_count = 1
        if codec == "mpeg4":
            stream.codec_context.qmin, stream.codec_context.qmax = 1, 4  # near to lossless
        if sample_aspect_ratio is not None:
            stream.codec_context.sample_aspect_ratio = sample_aspect_ratio
        if pts is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if pts is not None:
                frame.pts, frame.time_base = pts[index], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_faces(folder: Path, real_videos: Mapping[str, Path]) -> Path:
    """Six small videos below two label folders (one a face that appears, one cut, one without a face), junk, a note."""
    single = real_pictures(real_videos["single_face.mp4"], stop=24)
    write_video(folder / "happy" / "single.mp4", single[:20])
    write_video(folder / "happy" / "short.mp4", single[20:23])
    write_video(folder / "happy" / "passenger.mp4", real_pictures(real_videos["carphone_pristine.mp4"], stop=18))
    appears = real_pictures(real_videos["noface_face.mov"], start=88, stop=108)
    write_video(folder / "sad" / "appears.mp4", appears)
    write_video(folder / "sad" / "none.mp4", real_pictures(real_videos["no_face.mp4"], stop=8))
    cut = write_video(folder / "sad" / "cut.mkv", single, frames_per_second=10)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    (folder / "sad" / "junk.mp4").write_text("<!doctype html><title>Please log in</title>")
    (folder / "notes.txt").write_text("not a video")
    return folder


def tree(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file that a prepared folder promises to make the same again."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.suffix != ".log" and not path.name.startswith((".lock", "summary"))
    }


def face(left: float, top: float, *, side: float = 20.0, score: float = 0.9) -> Detection:
    """A square detection whose landmarks are points of its box."""
    box = np.array([left, top, left + side, top + side], np.float32)
    shares = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    landmarks: Floats = (np.array([left, top]) + shares * side).astype(np.float32)
    return Detection(box, score, landmarks)


def write_jpegs(folder: Path, images: Sequence[Image], *, names: Sequence[str]) -> list[bytes]:
    """Write pictures as JPEGs, as datasets ship face crops; return their bytes."""
    folder.mkdir(parents=True)
    encoded = [bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=90)) for image in images]
    for name, jpeg in zip(names, encoded, strict=True):
        (folder / name).write_bytes(jpeg)
    return encoded


def touch(root: Path, *names: str, text: str = "x") -> Path:
    """Write files with their folders."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def document(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "dataset.json").read_bytes())
    return found


def decoded(path: Path, **options: Any) -> list[Frame]:
    """Return all frames of a video without damage."""
    with open_video(path, **options) as reader:
        frames = list(reader.frames())
        assert reader.decode_error is None
        assert not reader.is_partial
        return frames
