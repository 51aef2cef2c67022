"""Decode a video safely with PyAV, as a stream of upright, square-pixel RGB frames with their times."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from dfer_data.errors import VideoError
from dfer_data.types import Frame, Image, LazyPicture
from dfer_data.video.container import (
    declared_seconds,
    film_stream,
    open_container,
    reason_of,
)
from dfer_data.video.deinterlace import Deinterlacer
from dfer_data.video.file_end import IN_FILE_ORDER, FileEnd
from dfer_data.video.frame_clock import FrameClock
from dfer_data.video.image_folder import picture_files, read_picture
from dfer_data.video.lost_frames import LostFrames, packet_seconds
from dfer_data.video.orientation import Uprighter
from dfer_data.video.packets import DECODE_ERRORS, PacketsAhead
from dfer_data.video.planar import PartConverter, PlanarPicture, is_planar, rgb_of
from dfer_data.video.tone_curves import ToneMap
from dfer_data.video.tone_map import ToneMapper, hdr_name

VIDEO_EXTENSIONS = frozenset(
    {".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"}
    | {".ts", ".webm", ".wmv"}
)
"""File extensions that `prepare folder` treats as videos, in lower case."""

MAX_PIXELS = 8192 * 4320
"""Largest picture that is decoded (8K); larger ones are refused before memory is allocated."""
_UNKNOWN_STEP_SECONDS = 0.04
_NO_PICTURE_CODECS = frozenset({"vp8"})  # have packets that are not shown
_MOST_ERRORS_IN_A_ROW = 500  # packets of one damaged place in a file
_START_STEPS = 2.5  # from the first keyframe to the first picture


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

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        path: Path,
        *,
        deinterlace: bool = False,
        tone_map: ToneMap = "none",
        is_lazy: bool = False,
    ) -> None:
        """Use `open_video`."""
        self._stream = stream
        kind = container.format.name.partition(",")[0]
        fps = _as_float(stream.average_rate)
        step_seconds = 1.0 / fps if fps > 0 else _UNKNOWN_STEP_SECONDS
        self._clock = FrameClock(step_seconds=step_seconds, has_only_dts=kind == "avi")
        reads_in_order = kind in IN_FILE_ORDER or (kind == "mov" and not stream.frames)  # fragments
        self._lost = LostFrames(
            kind,
            fps=fps,
            checks_bytes=reads_in_order,
            checks_pictures=kind != "avi" and stream.codec_context.name not in _NO_PICTURE_CODECS,
        )
        self._packets = PacketsAhead(container, stream, fps=fps, reads_all_streams=reads_in_order, lost=self._lost)
        self._end = FileEnd(
            container,
            stream,
            path,
            kind=kind,
            reads_in_order=reads_in_order,
            step_seconds=step_seconds,
            clock=self._clock,
            packets=self._packets,
            lost=self._lost,
        )
        self._uprighter = Uprighter(stream.sample_aspect_ratio)
        self._deinterlacer = Deinterlacer() if deinterlace else None
        self._tone_mapper = None if tone_map == "none" else ToneMapper(tone_map)
        self._part_converter = PartConverter() if is_lazy else None
        width = max(1, round(stream.width * self._uprighter.sar))
        self.info = VideoInfo(width, stream.height, fps, declared_seconds(container, stream))
        self.decode_error: str | None = None
        self.num_frames = self.num_missing = 0
        self.first_wanted = 0
        self.hdr = ""
        self._damage: tuple[int, Exception] | None = None
        self._num_missing_at_end = 0
        self._first_keyframe_seconds: float | None = None

    def frames(self) -> Iterator[Frame]:
        """Yield every frame in order; packets that cannot be decoded are passed over.

        Where nothing more can be decoded the stream ends, and `decode_error` holds the reason.
        Frames before number `first_wanted`, which may be raised between two frames, are decoded but not yielded.
        Raises MemoryError.
        """
        try:
            for picture, shown in self._deinterlaced():
                seconds = self._clock.read(picture)
                num_missing = self._num_missing_before(picture, seconds)
                self.num_missing += num_missing
                self._uprighter.follow(picture)
                self.num_frames += 1
                if self.num_frames > self.first_wanted:
                    yield Frame(
                        self.num_frames - 1,
                        seconds,
                        self._converted(shown),
                        bool(picture.is_corrupt),
                        steady_seconds=self._clock.steady_seconds,
                        num_following=self._num_following(),
                        num_missing_before=num_missing,
                    )
        except DECODE_ERRORS as error:
            self.decode_error = reason_of(error)
        if not self.num_frames and self._damage is not None:
            self.decode_error = self.decode_error or reason_of(self._damage[1])
        if self.decode_error is None:
            self._num_missing_at_end = self._end.num_missing(self.num_frames)

    def _deinterlaced(self) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
        """Yield decoded pictures, each with the one to show."""
        if self._deinterlacer is None:
            yield from ((picture, picture) for picture in self._pictures())
            return
        try:
            for picture in self._pictures():
                yield from self._deinterlacer.add(picture)
        except DECODE_ERRORS:
            yield from self._deinterlacer.finish()
            raise
        yield from self._deinterlacer.finish()

    def _pictures(self) -> Iterator[av.VideoFrame]:
        """Yield decoded pictures; raise after too many errors in a row."""
        decoder = self._stream.codec_context
        num_errors_in_a_row = 0
        for packet in self._packets:
            if not self.num_frames:
                self._clock.expect(self._packets.waiting_seconds, has_b_frames=bool(decoder.has_b_frames))
            if packet.is_keyframe and packet.size and not packet.is_discard and self._first_keyframe_seconds is None:
                self._first_keyframe_seconds = packet_seconds(packet)
            self._lost.note_decoding(packet)
            try:
                pictures = packet.decode()
            except DECODE_ERRORS as error:
                num_errors_in_a_row += 1
                if num_errors_in_a_row >= _MOST_ERRORS_IN_A_ROW:
                    raise
                self._damage = self._damage or (self.num_frames, error)
                self._lost.note_damage(packet_seconds(packet))
                continue
            num_errors_in_a_row = 0 if pictures else num_errors_in_a_row
            self._uprighter.note_decoder_sar(decoder.sample_aspect_ratio, pts=packet.pts)
            self.hdr = self.hdr or hdr_name(decoder)
            yield from pictures

    def _num_missing_before(self, picture: av.VideoFrame, seconds: float) -> int:
        """Count the frames that are lost before a picture: after the one before it, or after the first keyframe."""
        clock = self._clock
        before = clock.before_seconds
        if not self.num_frames and self._first_keyframe_seconds is not None:
            if seconds - self._first_keyframe_seconds <= _START_STEPS * clock.usual_step:
                return 0
            self._lost.note_damage(before)  # the first keyframe gives no picture
            before = self._first_keyframe_seconds - clock.usual_step
        return self._lost.num_missing(before, seconds, usual_step=clock.usual_step, is_keyframe=bool(picture.key_frame))

    @property
    def fps(self) -> float:
        """Average frame rate: as declared, or as decoded where none is, or where a jump of the times makes it wrong."""
        if (self.info.fps and not self._clock.has_jumped) or not self._clock.steady_seconds:
            return self.info.fps
        return round((self.num_frames - 1) / self._clock.steady_seconds, 3)

    @property
    def times_fall(self) -> bool:
        """Whether the times of the frames read so far have jumped back."""
        return self._clock.has_fallen

    def _num_following(self) -> int | None:
        return max(0, self._packets.num_read - self.num_frames) if self._packets.is_at_end else None

    def _converted(self, picture: av.VideoFrame) -> Image | LazyPicture:
        """Convert a decoded picture, or let its frame do so.

        Raises ValueError if it has grown beyond MAX_PIXELS since the file was opened.
        """
        if round(picture.width * self._uprighter.sar) * picture.height > MAX_PIXELS:
            raise ValueError(
                f"a picture of {picture.width} x {picture.height} in the middle of the stream is too large"
            )
        decoder = self._stream.codec_context
        if self._tone_mapper is not None and hdr_name(decoder):
            return self._uprighter.apply(self._tone_mapper.apply(picture, decoder))
        if (
            self._part_converter is not None
            and not self._uprighter.changes(picture.width, picture.height)
            and is_planar(picture)
        ):
            return PlanarPicture(picture, self._part_converter)
        return self._uprighter.apply(rgb_of(picture))

    @property
    def is_partial(self) -> bool:
        """Whether frames are missing: in the middle, or at the end."""
        return self.num_missing > 0 or bool(self.end_reason)

    @property
    def end_reason(self) -> str:
        """Why frames may be missing, apart from gaps between frames; empty for a video decoded to its end."""
        if self.decode_error is not None:
            return f"decoding stopped after frame {self.num_frames - 1}: {self.decode_error}"
        if self._end.is_early(self.num_frames):
            return f"the file ends early: {self.num_frames} frames could be decoded"
        if self._num_missing_at_end:
            return f"{self._num_missing_at_end} frames are missing at frame {self._end.missing_at(self.num_frames)}"
        if self._damage is not None and not self.num_missing:
            return f"damaged data after frame {self._damage[0] - 1}: {reason_of(self._damage[1])}"
        if self._packets.damage is not None and not self.num_missing:
            return f"damaged data: {reason_of(self._packets.damage)}"
        return ""


class PictureReader(VideoReader):
    """Reads a folder of pictures like a video of 25 frames per second whose declared frame rate is unknown."""

    def __init__(self, paths: list[Path]) -> None:
        """Take pictures in frame order; raise VideoError BAD_PICTURE if the first is unreadable."""
        self._paths = paths
        height, width = read_picture(self._paths[0], 0)[1].shape[:2]
        self.info = VideoInfo(width, height, 0.0, 0.0)
        self._clock = FrameClock(step_seconds=_UNKNOWN_STEP_SECONDS, has_only_dts=False)
        self.decode_error: str | None = None
        self.num_frames = self.num_missing = 0
        self.first_wanted = 0
        self.hdr = ""

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
                number = self.num_frames - 1
                seconds = number * _UNKNOWN_STEP_SECONDS
                yield Frame(
                    number, seconds, image, steady_seconds=seconds, num_following=len(self._paths) - self.num_frames
                )

    @property
    def end_reason(self) -> str:
        """Why a picture could not be read; empty if all were."""
        return (
            ""
            if self.decode_error is None
            else f"decoding stopped after frame {self.num_frames - 1}: {self.decode_error}"
        )


@contextlib.contextmanager
def open_video(
    path: Path, *, deinterlace: bool = False, tone_map: ToneMap = "none", is_lazy: bool = False
) -> Iterator[VideoReader]:
    """Open a local video file for decoding in one thread, or a folder of pictures.

    `deinterlace` changes the pictures that the video marks as interlaced, `tone_map` those that it marks as HDR.
    `is_lazy`: frames convert large pictures to RGB where and when someone reads their pixels, with the same values.
    Raises VideoError: MISSING_VIDEO, READ_ERROR, UNREADABLE, NO_VIDEO_STREAM or TOO_LARGE; BAD_PICTURE for a folder.
    """
    if path.is_dir() and (paths := picture_files(path)):
        yield PictureReader(paths)
        return
    with open_container(path) as container:
        stream = film_stream(container, path)
        if stream is None:
            raise VideoError("NO_VIDEO_STREAM", f"{path.name} has no video stream", hint="it may be audio only")
        if stream.codec_context is None:
            raise VideoError("UNREADABLE", f"{path.name}: no decoder for its codec", hint="convert it to H.264")
        reader = VideoReader(container, stream, path, deinterlace=deinterlace, tone_map=tone_map, is_lazy=is_lazy)
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


def _as_float(rate: Fraction | None) -> float:
    return float(rate) if rate else 0.0
