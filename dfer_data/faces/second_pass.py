"""Decode a video a second time, for clips whose faces were not made in the first pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from dfer_data.config import PrepareConfig
from dfer_data.errors import VideoError
from dfer_data.types import Frame, Track
from dfer_data.video.reader import VideoReader, open_video

_REPORT_EVERY = 16  # frames


class SecondPass:
    """Decodes a video a second time for clips whose faces were not made in the first pass; clips share one pass."""

    def __init__(self, path: Path, config: PrepareConfig, *, on_progress: Callable[[], None]) -> None:
        self._path, self._config, self._on_progress = path, config, on_progress
        self._files = ExitStack()
        self._reader: VideoReader | None = None
        self._frames: Iterator[Frame] = iter(())
        self._next = 0

    def __enter__(self) -> SecondPass:
        return self

    def __exit__(self, *exception: object) -> None:
        self._files.close()

    def frames(self, first: int) -> Iterator[Frame]:
        """Yield the frames from number `first` on; only these are converted. Restart a pass that is beyond `first`."""
        if self._reader is None or self._next > first:
            self._files.close()
            video = open_video(
                self._path, deinterlace=self._config.deinterlace, tone_map=self._config.tone_map, is_lazy=True
            )
            self._reader = self._files.enter_context(video)
            self._frames = self._reader.frames()  # one iterator: a second would miss frames that the decoder buffers
        self._reader.first_wanted = first
        for frame in self._frames:
            self._next = frame.index + 1
            if frame.index % _REPORT_EVERY == 0:
                self._on_progress()
            yield frame


def frames_of_track(track: Track, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield a track's frames from an iterator that has not reached them yet; consume nothing after them.

    Raises VideoError when frames are missing: the file has changed since detection.
    """
    last = track.first_frame + len(track) - 1
    for frame in frames:
        if frame.index >= track.first_frame:
            yield frame
        if frame.index >= last:
            return
    raise VideoError(
        "CHANGED_SOURCE",
        f"frame {last} is missing in the second decoding pass",
        hint="do not change the videos during a run",
    )
