"""Open a video file safely with PyAV, choose its film, and read what it declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from dfer_data.errors import VideoError
from dfer_data.video.packets import packet_counts

# Playlist formats (hls, concat, dash...) would open other files by name, so only plain containers are allowed.
_FORMATS = "3g2,3gp,asf,avi,flv,gif,m4a,m4v,matroska,mj2,mov,mp4,mpeg,mpegts,mpegvideo,ogg,webm"
# PyAV 19 decodes any bytes in metadata by itself; older versions raise an error by default.
_METADATA: dict[str, Any] = {"metadata_errors": "replace"} if hasattr(InputContainer, "metadata_errors") else {}
_BLOCK_BYTES = 1 << 20
_ENOUGH_PACKETS = 250
_PREVIEW_SHARE = 0.25  # of the packets of the longest video stream; a preview has fewer


def open_container(path: Path) -> InputContainer:
    """Open a local file of a plain format, which cannot open others.

    Raises VideoError MISSING_VIDEO, READ_ERROR or UNREADABLE.
    """
    # Only container options: PyAV before 17.1 frees stream options wrongly where a demuxer adds streams.
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    try:
        container: InputContainer = av.open(str(path.absolute()), container_options=options, **_METADATA)
        return container
    except FileNotFoundError as error:
        raise VideoError("MISSING_VIDEO", f"{path.name} does not exist", hint="restore the file") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        if (read_error := _read_error(path)) is not None:
            hint = "make it readable, then `--retry-code READ_ERROR`"
            raise VideoError("READ_ERROR", f"{path.name} cannot be read: {reason_of(read_error)}", hint=hint) from error
        raise VideoError(
            "UNREADABLE",
            f"{path.name} ({size_bytes(path)} bytes) is not a readable video: {reason_of(error)}",
            hint=_unreadable_hint(path),
        ) from error


def _unreadable_hint(path: Path) -> str:
    """Return the next step for a file that FFmpeg does not open as a video."""
    if path.is_file() and not path.stat().st_size:
        return "the file is empty: copy or download it again"
    return (
        "copy or download it again: its end may be missing, or it may be a web page or a Git LFS pointer with a "
        "video's name; or convert it"
    )


def _read_error(path: Path) -> OSError | None:
    """Return why the bytes of a file cannot be read; None if they can, whatever FFmpeg says of them.

    FFmpeg also reports damage as an error of the disk, such as EIO for the first bytes of a Matroska file.
    """
    if path.exists() and not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            while file.read(_BLOCK_BYTES):
                pass
    except OSError as error:
        return error
    return None


def film_stream(container: InputContainer, path: Path) -> VideoStream | None:
    """Return the video stream with the largest pictures; cover art and previews of few pictures are ignored."""
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & stream.disposition.__class__.attached_pic
    ]
    if len(streams) > 1:
        with open_container(path) as again:
            counts = packet_counts(again, enough=_ENOUGH_PACKETS)
        most = max(counts[stream.index] for stream in streams)
        streams = [stream for stream in streams if counts[stream.index] >= most * _PREVIEW_SHARE]
    return max(streams, key=lambda stream: (_num_pixels(stream), -stream.index), default=None)


def _num_pixels(stream: VideoStream) -> int:
    return stream.width * stream.height if stream.codec_context is not None else 0  # None: a codec without a decoder


def declared_seconds(container: InputContainer, stream: VideoStream) -> float:
    """Return the declared duration of a stream, else that of its file; 0 when unknown."""
    return stream_seconds(stream) or container_seconds(container)


def stream_seconds(stream: VideoStream) -> float:
    """Return the duration that a stream declares; 0 when unknown."""
    return float(stream.duration * stream.time_base) if stream.duration is not None and stream.time_base else 0.0


def container_seconds(container: InputContainer) -> float:
    """Return the duration that a file declares for all its streams; 0 when unknown."""
    return container.duration / av.time_base if container.duration is not None else 0.0


def size_bytes(path: Path) -> int:
    """Return the size of a file; 0 when it cannot be read."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def reason_of(error: Exception) -> str:
    """Return why FFmpeg or the system failed, without a number or a file name."""
    return getattr(error, "strerror", None) or str(error)
