"""Decode a video safely with PyAV, as a stream of upright, square-pixel RGB frames with their times."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from dfer_data.errors import VideoError
from dfer_data.types import Frame, Image
from dfer_data.video.image_folder import picture_files, read_picture

VIDEO_EXTENSIONS = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"}
    | {".ts", ".webm", ".wmv"}
)
"""File extensions that `prepare folder` treats as videos, in lower case."""

# Playlist formats (hls, concat, dash...) would open other files by name, so only plain containers are allowed.
_FORMATS = "3g2,3gp,asf,avi,flv,gif,m4a,m4v,matroska,mj2,mov,mp4,mpeg,mpegts,mpegvideo,ogg,webm"
MAX_PIXELS = 8192 * 4320
"""Largest picture that is decoded (8K); larger ones are refused before memory is allocated."""
_UNKNOWN_STEP_SECONDS = 0.04
# PyAV 19 decodes any bytes in metadata by itself; older versions raise an error by default.
_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if hasattr(InputContainer, "metadata_errors") else {}
_MIN_DECODED_SHARE = 0.8  # of the declared duration; a file with less is truncated


@dataclass(frozen=True)
class VideoInfo:
    """What the container declares; counts from decoding take precedence."""

    width_px: int
    """Width of the upright, square-pixel picture before rotation metadata (which frames carry) is applied."""
    height_px: int
    """Height of the same picture."""
    fps: float
    """Average frame rate; 0 when unknown."""
    duration_seconds: float
    """Declared duration; 0 when unknown."""


class VideoReader:
    """An open video; use as `with open_video(path) as reader`."""

    def __init__(self, container: InputContainer, stream: VideoStream, path: Path) -> None:
        """Use `open_video`."""
        self._container = container
        self._stream = stream
        self._path = path
        sar = stream.sample_aspect_ratio
        self._sar = float(sar) if sar else 1.0
        width = max(1, round(stream.width * self._sar))
        self.info = VideoInfo(
            width, stream.height, _as_float(stream.average_rate), _declared_seconds(container, stream)
        )
        self.decode_error: str | None = None
        self.num_frames = 0
        self.first_wanted = 0
        self._first_seconds = self._last_seconds = 0.0

    def frames(self) -> Iterator[Frame]:
        """Yield every frame in order. A decoder error ends the stream; `decode_error` then holds its text.

        Frames before number `first_wanted`, which may be raised between two frames, are decoded but not yielded.
        Raises MemoryError.
        """
        step = 1.0 / self.info.fps if self.info.fps > 0 else _UNKNOWN_STEP_SECONDS
        try:
            for picture in self._container.decode(self._stream):
                pts_seconds = picture.time
                seconds = (
                    pts_seconds if pts_seconds is not None else self._last_seconds + (step if self.num_frames else 0.0)
                )
                if not self.num_frames:
                    self._first_seconds = seconds
                self._last_seconds = seconds
                self.num_frames += 1
                if self.num_frames > self.first_wanted:
                    yield Frame(self.num_frames - 1, seconds, self._picture(picture), bool(picture.is_corrupt))
        except (av.error.FFmpegError, ValueError, LookupError) as error:  # LookupError: an undeclared stream
            self.decode_error = _reason(error)

    def _picture(self, picture: av.VideoFrame) -> Image:
        """Convert a decoded picture; raise ValueError if it has grown beyond MAX_PIXELS since the file was opened."""
        if round(picture.width * self._sar) * picture.height > MAX_PIXELS:
            raise ValueError(
                f"a picture of {picture.width} x {picture.height} in the middle of the stream is too large"
            )
        pixels = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
        return _upright(pixels, sar=self._sar, rotation_degrees=picture.rotation)

    @property
    def is_partial(self) -> bool:
        """Whether decoding ended early: by an error, or well short of the declared duration."""
        if self.decode_error is not None:
            return True
        step = 1.0 / self.info.fps if self.info.fps > 0 else 0.0
        start = 0.0 if "matroska" in self._container.format.name else self._first_seconds  # its duration counts from 0
        decoded = self._last_seconds - start + step
        return decoded < _MIN_DECODED_SHARE * self.info.duration_seconds


class PictureReader(VideoReader):
    """Reads a folder of pictures like a video of 25 frames per second whose declared frame rate is unknown."""

    def __init__(self, paths: list[Path]) -> None:
        """Take pictures in frame order; raise VideoError BAD_PICTURE if the first is unreadable."""
        self._paths = paths
        height, width = read_picture(self._paths[0], 0)[1].shape[:2]
        self.info = VideoInfo(width, height, 0.0, 0.0)
        self.decode_error: str | None = None
        self.num_frames = 0
        self.first_wanted = 0

    def frames(self) -> Iterator[Frame]:
        """Yield every picture in order; an unreadable picture, or one of another size, ends the stream."""
        for path in self._paths:
            try:
                _, image = read_picture(path, self.num_frames)
            except VideoError as error:
                self.decode_error = error.message
                return
            if image.shape[:2] != (self.info.height_px, self.info.width_px):
                self.decode_error = f"{path.name} differs in size from the pictures before it"
                return
            self.num_frames += 1
            if self.num_frames > self.first_wanted:
                yield Frame(self.num_frames - 1, (self.num_frames - 1) * _UNKNOWN_STEP_SECONDS, image)

    @property
    def is_partial(self) -> bool:
        """Whether a picture could not be read."""
        return self.decode_error is not None


@contextlib.contextmanager
def open_video(path: Path) -> Iterator[VideoReader]:
    """Open a local video file for decoding in one thread, or a folder of pictures.

    Raises VideoError: MISSING_VIDEO, UNREADABLE, NO_VIDEO_STREAM or TOO_LARGE; BAD_PICTURE for a folder.
    """
    if path.is_dir() and (paths := picture_files(path)):
        yield PictureReader(paths)
        return
    with open_container(path) as container:
        stream = _largest_stream(container)
        if stream is None:
            raise VideoError("NO_VIDEO_STREAM", f"{path.name} has no video stream", hint="it may be audio only")
        if stream.codec_context is None:
            raise VideoError("UNREADABLE", f"{path.name}: no decoder for its codec", hint="convert it to H.264")
        reader = VideoReader(container, stream, path)
        info = reader.info
        if max(stream.width, info.width_px) * info.height_px > MAX_PIXELS:
            raise VideoError(
                "TOO_LARGE",
                f"{path.name} has {info.width_px} x {info.height_px} square pixels, more than {MAX_PIXELS}",
                hint="scale it down first",
            )
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {
            "max_pixels": str(MAX_PIXELS)
        }  # the decoder's own check, before it allocates memory
        yield reader


def open_container(path: Path) -> InputContainer:
    """Open a local file of a plain format, which cannot open others. Raises VideoError MISSING_VIDEO, UNREADABLE."""
    # Only container options: PyAV before 17.1 frees stream options wrongly where a demuxer adds streams.
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        container: InputContainer = av.open(str(path.absolute()), container_options=options, **_METADATA)
        return container
    except FileNotFoundError as error:
        raise VideoError("MISSING_VIDEO", f"{path.name} does not exist", hint="restore the file") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            "UNREADABLE",
            f"{path.name} ({_size_bytes(path)} bytes) is not a readable video: {_reason(error)}",
            hint="download or convert it again; it may be a web page or a Git LFS pointer with a video's name",
        ) from error


def _largest_stream(container: InputContainer) -> VideoStream | None:
    """Return the video stream with the largest pictures, as the ffmpeg program does; cover art is ignored."""
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & stream.disposition.__class__.attached_pic
    ]
    return max(streams, key=lambda stream: (_num_pixels(stream), -stream.index), default=None)


def _num_pixels(stream: VideoStream) -> int:
    return stream.width * stream.height if stream.codec_context is not None else 0  # None: a codec without a decoder


def _upright(image: Image, *, sar: float, rotation_degrees: int) -> Image:
    """Make pixels square, then apply the rotation that the container asks of a player (PyAV does not)."""
    height, width = image.shape[:2]
    square_width = max(1, round(width * sar))
    if square_width != width:
        image = np.asarray(cv2.resize(image, (square_width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    quarter_turns = rotation_degrees // 90 % 4
    return np.ascontiguousarray(np.rot90(image, quarter_turns)) if quarter_turns else image


def _declared_seconds(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration is not None else 0.0


def _as_float(rate: Fraction | None) -> float:
    return float(rate) if rate else 0.0


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
