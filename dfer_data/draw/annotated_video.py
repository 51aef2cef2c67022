"""Write a video with faces drawn into it, keeping times and sound: H.264 and AAC in mp4, which browsers play."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from math import inf
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from dfer_data.draw.faces import Mark, draw_marks, draw_text, with_strip
from dfer_data.draw.origin_mark import origin_text
from dfer_data.errors import VideoError
from dfer_data.storage.files import atomic_file
from dfer_data.types import Frame, Image
from dfer_data.video.container import open_container
from dfer_data.video.reader import open_video

_CLOCK = Fraction(1, 90_000)
_COPIED_SOUND = frozenset({"aac", "mp3", "ac3", "eac3", "alac"})  # codecs that mp4 and players support
_OPTIONS = {"preset": "veryfast", "crf": "20"}
_UNKNOWN_FPS = 25

Marks = Mapping[int, Sequence[Mark]]
"""Frame number in the source -> its faces."""


def write_annotated(
    source: Path,
    out: Path,
    marks: Marks,
    *,
    frames: range | None = None,
    caption: Callable[[Frame], str] | None = None,
    warning: str = "",
    origin: str | None = None,
    on_progress: Callable[[int], None] = lambda number: None,
) -> int:
    """Write `source` with faces drawn into its frames to the mp4 `out`; return the number of frames.

    Args:
        source: a video, or a folder of pictures.
        out: written atomically: it appears complete or not at all.
        marks: faces to draw.
        frames: numbers of the frames to write; None: all.
        caption: returns the text for the lower left corner of a frame.
        warning: text of a strip above every frame.
        origin: what the video's mark names (origin_mark.py); None: the path `source`.
        on_progress: called with the number of frames written.

    Raises VideoError when the source cannot be decoded or has none of `frames`, OSError when the disk fails.
    """
    with atomic_file(out) as file:
        with open_video(source) as reader, av.open(file, "w", format="mp4") as container:
            reader.first_wanted = frames.start if frames else 0
            container.metadata["comment"] = origin_text(str(source) if origin is None else origin)
            pictures = _drawn(_frames_in(reader.frames(), frames), marks, caption=caption, warning=warning)
            num_frames = _write(source, pictures, container, fps=reader.info.fps, on_progress=on_progress)
        if not num_frames:
            raise VideoError(
                "NO_FRAMES", f"{source.name}: none of the requested frames could be decoded", hint="convert it again"
            )
    return num_frames


def _frames_in(frames: Iterator[Frame], numbers: range | None) -> Iterator[Frame]:
    for frame in frames:
        if numbers is not None and frame.index >= numbers.stop:
            return
        yield frame


def _drawn(
    frames: Iterable[Frame], marks: Marks, *, caption: Callable[[Frame], str] | None, warning: str
) -> Iterator[tuple[float, Image]]:
    for frame in frames:
        picture = np.ascontiguousarray(frame.image)
        draw_marks(picture, marks.get(frame.index, ()))
        if caption is not None:
            draw_text(picture, caption(frame), at=(0, len(picture)))
        yield frame.pts_seconds, with_strip(picture, warning) if warning else picture


def _write(
    source: Path,
    pictures: Iterator[tuple[float, Image]],
    container: OutputContainer,
    *,
    fps: float,
    on_progress: Callable[[int], None],
) -> int:
    first = next(pictures, None)
    if first is None:
        return 0
    start_seconds, picture = first
    stream = _video_stream(container, picture, fps=fps)
    sound = _Sound(source, container, start_seconds)
    clock, number = -1, 0
    for seconds, picture in _chained(first, pictures):
        clock = max(
            clock + 1, round((seconds - start_seconds) / _CLOCK)
        )  # times must increase, even where the source's do not
        sound.write_until(seconds)
        frame = av.VideoFrame.from_ndarray(_even(picture), format="rgb24")
        frame.pts, frame.time_base = clock, _CLOCK
        container.mux(stream.encode(frame))
        number += 1
        on_progress(number)
    container.mux(stream.encode(None))
    sound.write_until(seconds + 1 / (fps or _UNKNOWN_FPS))
    sound.close()
    return number


def _chained(first: tuple[float, Image], pictures: Iterator[tuple[float, Image]]) -> Iterator[tuple[float, Image]]:
    yield first
    yield from pictures


def _video_stream(container: OutputContainer, picture: Image, *, fps: float) -> VideoStream:
    rate = Fraction(fps).limit_denominator(1001) if fps else Fraction(_UNKNOWN_FPS)
    stream = container.add_stream("libx264", rate=rate, options=_OPTIONS)
    stream.height, stream.width = _even(picture).shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _CLOCK
    return stream


def _even(picture: Image) -> Image:
    """Return a picture with even sides, as yuv420p requires, by repeating its last row and column."""
    down, right = picture.shape[0] % 2, picture.shape[1] % 2
    if not (down or right):
        return picture
    return np.asarray(cv2.copyMakeBorder(picture, 0, down, 0, right, cv2.BORDER_REPLICATE), np.uint8)


def _seconds(packet: Packet[AudioStream], *, default: float) -> float:
    """Return a packet's time, or `default` if it has none. An unknown time base is None, or 0 from PyAV 19 on."""
    return float(packet.pts * packet.time_base) if packet.pts is not None and packet.time_base else default


class _Sound:
    """Writes the sound of the source from a start time: copied where mp4 supports its codec, else encoded as AAC."""

    def __init__(self, source: Path, container: OutputContainer, start_seconds: float) -> None:
        """Add an audio stream, unless the source has none or none that can be decoded."""
        self._container, self._start = container, start_seconds
        self._input: InputContainer | None = None
        self._packets: Iterator[Packet[AudioStream]] = iter(())
        self._pending: Packet[AudioStream] | None = None
        self._encoded: AudioStream | None = None
        if source.is_dir():
            return
        self._input = open_container(source)
        streams = [stream for stream in self._input.streams.audio if stream.codec_context is not None]
        if not streams:
            return
        self._packets = self._input.demux(streams[0])
        if streams[0].codec_context.codec.canonical_name in _COPIED_SOUND:
            self._stream = container.add_stream_from_template(streams[0])
        else:
            rate = streams[0].codec_context.sample_rate
            self._encoded = self._stream = container.add_stream("aac", rate=rate)

    def write_until(self, seconds: float) -> None:
        """Write the sound that is not written yet, up to a time of the source."""
        while True:
            packet, self._pending = self._pending or self._next(), None
            if packet is None:
                return
            if _seconds(packet, default=0.0) > seconds:
                self._pending = packet
                return
            self._write(packet)

    def close(self) -> None:
        """Flush the encoder and close the source."""
        if self._encoded is not None:
            self._container.mux(self._encoded.encode(None))
        if self._input is not None:
            self._input.close()

    def _next(self) -> Packet[AudioStream] | None:
        try:
            return next(self._packets, None)
        except av.error.FFmpegError:  # damaged sound ends here; the pictures continue
            return None

    def _write(self, packet: Packet[AudioStream]) -> None:
        if packet.pts is None or _seconds(packet, default=-inf) < self._start:
            return
        if self._encoded is None:
            shift = round(self._start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, (packet.dts or packet.pts) - shift
            packet.stream = self._stream
            self._container.mux(packet)
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            if frame.pts is not None and frame.time_base:
                frame.pts -= round(self._start / frame.time_base)
            self._container.mux(self._encoded.encode(frame))
