"""The progress bar of `dfer prepare`: videos, frames/s, time left, and how many clips went which way."""

from __future__ import annotations

import sys
import time
from collections import Counter
from types import TracebackType
from typing import TYPE_CHECKING

from . import _console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from dfer_data.task import VideoDone


class PrepareProgress:
    """Use as a context manager; silent unless stderr is a terminal."""

    def __init__(self, *, total: int) -> None:
        """`total` is the number of videos that this run works on."""
        self._total = total
        self._codes: Counter[str] = Counter()
        self._num_frames = self._num_videos = 0
        self._start = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> PrepareProgress:
        """Show the bar."""
        if sys.stderr.isatty():
            from rich import progress

            columns = (progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
            words = progress.TextColumn("{task.fields[words]}")
            self._bar = progress.Progress("preparing", *columns, words, console=_console.console(stderr=True))
            self._task = self._bar.add_task("preparing", total=self._total, words="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def update(self, event: VideoDone) -> None:
        """Count one video."""
        self._codes.update(code if code in ("ok", "partial", "NO_FACE") else "failed" for code in event.codes)
        self._num_frames += event.num_frames
        if self._bar is not None and self._task is not None:
            self._num_videos += 1
            seconds = max(1e-6, time.monotonic() - self._start)
            rates = f"{self._num_videos / seconds:.1f} videos/s {self._num_frames / seconds:.0f} frames/s"
            words = " ".join(f"{name} {number}" for name, number in sorted(self._codes.items()))
            self._bar.update(self._task, advance=1, words=f"{rates}  {words}")
