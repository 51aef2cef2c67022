"""Progress of `dfer prepare`: a bar on a terminal, else lines at a pace; and one line per lost worker."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from dfer_data.render.visible import visible
from dfer_data.wording import counted

from . import console
from .prepare_view import introduce

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from dfer_data.preparation.locked_request import SourcesCompared
    from dfer_data.preparation.planned import PreparationPlanned
    from dfer_data.preparation.run import PreparationEvent
    from dfer_data.preparation.tasks import VideoDone, VideosUnderWay
    from dfer_data.preparation.workers.crew import WorkerLost
    from dfer_data.storage.url_lock import Holder

_MOST_NAMED = 10
_WIDE_COLUMNS = 80  # narrower terminals show the count and the rates, no bar


class PrepareProgress:
    """Progress bar with videos, frames/s, time left and clips per outcome; without a terminal, lines on stderr."""

    def __init__(self, *, as_json: bool, doing: str = "preparing") -> None:
        """Prepare the display; nothing appears before the run starts. `doing`: the word next to the bar."""
        self._as_json, self._doing = as_json, doing
        self._codes: Counter[str] = Counter()
        self._num_frames = self._num_videos = 0
        self._start = time.monotonic()
        self._comparing = contextlib.ExitStack()
        self._comparison: console.Advance | None = None
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> PrepareProgress:
        """Return this object."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bars."""
        self._comparing.close()
        if self._bar is not None:
            self._bar.stop()

    def update(self, event: PreparationPlanned | PreparationEvent) -> None:
        """Show an event."""
        from dfer_data.preparation.locked_request import SourcesCompared
        from dfer_data.preparation.planned import PreparationPlanned
        from dfer_data.preparation.progress import PreparationProgress
        from dfer_data.preparation.run import PreparationStarted
        from dfer_data.preparation.tasks import VideoDone, VideosUnderWay
        from dfer_data.preparation.workers.crew import WorkerLost

        if isinstance(event, PreparationPlanned):
            introduce(event, as_json=self._as_json)
        elif isinstance(event, SourcesCompared):
            self._name_differing(event)
        elif isinstance(event, PreparationStarted):
            self._start_bar(event.num_videos)
        elif isinstance(event, VideoDone):
            self._count(event)
        elif isinstance(event, VideosUnderWay):
            self._show(event)
        elif isinstance(event, PreparationProgress) and self._bar is None:
            console.say(str(event), as_json=True)
        elif isinstance(event, WorkerLost):
            console.say(f"note: {_describe_loss(event)}", as_json=True)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Take the bar off the terminal for the block, which may print."""
        if self._bar is None:
            yield
            return
        self._bar.live.transient = True
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.live.transient = False
            self._bar.start()

    def watch(self, holder: Holder) -> None:
        """Print whose lock was found."""
        console.say(
            f"note: locked by {holder}; waiting up to a minute to see whether it is still running", as_json=True
        )

    def compare(self, num_done: int, num_videos: int) -> None:
        """Show how many videos of the source were compared with what is prepared."""
        if self._comparison is None:
            self._comparison = self._comparing.enter_context(console.progress("comparing the source", unit="videos"))
        self._comparison(num_done, num_videos)
        if num_done >= num_videos:
            self._comparing.close()
            self._comparison = None

    def _name_differing(self, event: SourcesCompared) -> None:
        """Print which sources are not those of the lock."""
        if not event.differing:
            return
        names = ", ".join(map(visible, event.differing[:_MOST_NAMED]))
        more = (
            f" and {len(event.differing) - _MOST_NAMED} more (prepare.log)"
            if len(event.differing) > _MOST_NAMED
            else ""
        )
        number = f"{len(event.differing)} of {counted(event.num_videos, 'video')} other than the lock's"
        console.say(f"note: {number}: {names}{more}", as_json=True)

    def _start_bar(self, num_videos: int) -> None:
        if sys.stderr.isatty():
            from rich import progress
            from rich.table import Column

            terminal = console.console(stderr=True)
            count = progress.MofNCompleteColumn(
                table_column=Column(no_wrap=True, min_width=2 * len(str(num_videos)) + 1)
            )
            full_columns = (progress.BarColumn(), count, progress.TimeRemainingColumn())
            words = progress.TextColumn("{task.fields[words]}", table_column=Column(no_wrap=True, overflow="ellipsis"))
            columns = full_columns if terminal.width >= _WIDE_COLUMNS else (count,)
            self._bar = progress.Progress(*columns, words, console=terminal)
            self._task = self._bar.add_task(self._doing, total=num_videos, words="")
            self._bar.start()

    def _count(self, event: VideoDone) -> None:
        self._codes.update(code if code in ("ok", "partial", "NO_FACE") else "failed" for code in event.codes)
        self._num_frames += event.num_frames
        self._num_videos += 1
        self._draw(num_frames=self._num_frames)

    def _show(self, event: VideosUnderWay) -> None:
        """Show the frames of the videos under way, and the longest one by name."""
        if event.videos:
            longest = max(event.videos, key=lambda video: video.num_frames)
            num_frames = self._num_frames + sum(video.num_frames for video in event.videos)
            self._draw(num_frames=num_frames, under_way=f"  {visible(str(longest))}")

    def _draw(self, *, num_frames: int, under_way: str = "") -> None:
        if self._bar is None or self._task is None:
            return
        seconds = max(1e-6, time.monotonic() - self._start)
        rates = f"{self._num_videos / seconds:.1f} videos/s {num_frames / seconds:.0f} frames/s"
        words = "".join(f"  {name} {number}" for name, number in sorted(self._codes.items()))
        self._bar.update(self._task, completed=self._num_videos, words=f"{rates}{words}{under_way}")


def _describe_loss(event: WorkerLost) -> str:
    worker = f"worker {event.pid}" if event.pid else "a worker"
    if not event.clip_id:
        return f"{worker} was lost ({event.message}) and is replaced"
    outcome = "given up" if event.is_final else "retried once, alone, at the end"
    return f"{worker} was lost over {event.clip_id} ({event.message}); the video is {outcome}"
