"""Choose the next step of a run. Pure bookkeeping: no process, no file, no clock.

Videos come in order; a shard is assembled as soon as its last video is done. A video whose worker was lost is suspect:
it is retried once at the end, while nothing else runs, so that only a video that fails by itself is given up.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from dfer_data.errors import WorkerError
from dfer_data.preparation.tasks import ShardTask, VideoTask

Step = VideoTask | ShardTask
"""A video to process, or a shard to assemble."""
_MAX_SHARD_TRIES = 3


class Schedule:
    """Hands out steps until every shard is written; the caller reports how each step ended."""

    def __init__(self, shards: Sequence[ShardTask]) -> None:
        """Queue all videos of `shards`."""
        self._shards = {shard.number: shard for shard in shards}
        self._videos = deque(task for shard in shards for task in shard.tasks)
        self._num_open = {shard.number: len(shard.videos) for shard in shards}
        self._ready = deque(shard for shard in shards if not shard.videos)
        self._suspects: deque[VideoTask] = deque()
        self._running: set[Step] = set()
        self._alone: VideoTask | None = None
        self._losses: Counter[Step] = Counter()

    @property
    def num_waiting(self) -> int:
        """Number of steps to hand out now or later, except shards whose videos are not done."""
        return len(self._videos) + len(self._ready) + len(self._suspects)

    @property
    def is_finished(self) -> bool:
        """Whether all shards are written."""
        return not self._num_open

    def take(self) -> Step | None:
        """Return the next step; None when there is none until a running step ends."""
        step: Step
        if self._alone is not None:
            return None
        if self._ready:
            step = self._ready.popleft()
        elif self._videos:
            step = self._videos.popleft()
        elif self._suspects and not self._running:
            step = self._alone = self._suspects.popleft()
        else:
            return None
        self._running.add(step)
        return step

    def finish(self, step: Step) -> None:
        """Record that a step is done."""
        self._stop(step)
        if isinstance(step, ShardTask):
            del self._num_open[step.number]
            return
        self._num_open[step.shard] -= 1
        if not self._num_open[step.shard]:
            self._ready.append(self._shards[step.shard])

    def lose(self, step: Step) -> bool:
        """Record that the worker of a step was lost; return True when the caller must give the video up.

        The caller then calls `finish` for the step. Raises WorkerError when a shard cannot be written.
        """
        self._losses[step] += 1
        if isinstance(step, VideoTask) and self._losses[step] > 1:
            return True
        self._stop(step)
        if isinstance(step, VideoTask):
            self._suspects.append(step)
        elif self._losses[step] < _MAX_SHARD_TRIES:
            self._ready.append(step)
        else:
            raise WorkerError(
                f"workers that died while they wrote shard {step.number:05d}: {self._losses[step]}; "
                "finished shards are kept, run the same command again to resume"
            )
        return False

    def _stop(self, step: Step) -> None:
        self._running.remove(step)
        if step == self._alone:
            self._alone = None
