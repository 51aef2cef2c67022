"""Write summary.json at the end of a run of `prepare`, however it ends: what is done, how fast, and why it ended.

It holds no name of a machine, no absolute path and no id of a clip. A run that is killed leaves none.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dfer_data.errors import DferError, LockedError, UsageError
from dfer_data.preparation.forecast import Forecast, WorkMeter, forecast
from dfer_data.preparation.plan import Plan
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.preparation.run_settings import EngineName, TaskShare
from dfer_data.preparation.tasks import VideoDone
from dfer_data.preparation.workers.crew import Event, VideoStarted, WorkerLost
from dfer_data.shards.layout import summary_name
from dfer_data.shards.sidecar import count_clips, finished_sidecars
from dfer_data.storage.base import Target

_FORMAT, _FORMAT_VERSION = "dfer-prepare-summary", 1
_ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])(?:[A-Za-z]:)?[\\/](?:[^\s\\/'\",;:]+[\\/])*([^\s\\/'\",;:]+)")
Sidecars = Mapping[int, Mapping[str, Any]]


class RunRecord:
    """Collects what summary.json reports about one run."""

    def __init__(
        self,
        out: Target,
        resolved: ResolvedRequest,
        *,
        engine: EngineName,
        num_workers: int | None,
        share: TaskShare | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the clock."""
        self._out, self._resolved, self._clock, self._share = out, resolved, clock, share
        is_inline = engine == "inline" or num_workers == 0
        self._crew = {"engine": "inline", "workers": None} if is_inline else {"engine": engine, "workers": num_workers}
        self._name = summary_name(share.task_index if share else None)
        self._start = clock()
        self._plan: Plan | None = None
        self._meter = WorkMeter({})
        self._sidecars: Sidecars | None = None
        self.forecast: Forecast | None = None
        """Of a finished pilot."""

    def begin(self, plan: Plan) -> None:
        """Remove the summary of an earlier run: the plan is committed, so the work begins."""
        self._plan = plan
        self._out.remove(self._name)
        self._meter = WorkMeter({video.clip_id: video.num_bytes for video in plan.listing.videos})
        self._meter.begin(self._clock())

    def count(self, event: Event, *, is_taken_over: bool = False) -> None:
        """Count a video that starts, ends or loses its worker; `is_taken_over`: its clips were stored already."""
        if isinstance(event, VideoStarted):
            self._meter.start(event.clip_id, self._clock())
        elif isinstance(event, WorkerLost) or (isinstance(event, VideoDone) and is_taken_over):
            self._meter.skip(event.clip_id, self._clock())
        elif isinstance(event, VideoDone):
            self._meter.stop(event.clip_id, event.num_frames, self._clock())

    def finish(self, sidecars: Sidecars) -> None:
        """Take the sidecars of the run's shards, which are all finished, and make the forecast of a pilot."""
        self._sidecars = sidecars
        shards = sidecars.values()
        failed = {str(row["source_clip_id"]) for sidecar in shards for row in sidecar["failures"]}
        num_videos = len(self._plan.listing.videos) if self._plan else 0
        counts = {"num_videos": num_videos, "num_failed": len(failed), "output_bytes": _num_bytes(shards)}
        self.forecast = None if self._share else forecast(self._resolved, self._meter, **counts)

    def write(self, state: str, message: str | None = None) -> None:
        """Write summary.json, or the one of a task of an array."""
        meter, seconds = self._meter, self._clock() - self._start
        task = {"task_index": self._share.task_index, "num_tasks": self._share.num_tasks} if self._share else None
        times: dict[str, Any] = {
            "seconds": round(seconds, 3),
            "videos": meter.num_videos,
            "frames": meter.num_frames,
            "videos_per_second": round(meter.num_videos / seconds, 4) if seconds > 0 else None,
            "frames_per_second": round(meter.num_frames / seconds, 2) if seconds > 0 else None,
        }
        result = self._result()
        if self.forecast is not None and result is not None:
            result["forecast"], times["forecast"] = self.forecast.as_result(), self.forecast.as_times()
        document = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "state": state,
            "message": message,
            **self._crew,
            "task": task,
            "result": result,
            "times": times,
        }
        content = json.dumps(document, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"
        self._out.put(self._name, content.encode("utf-8"))

    @property
    def has_begun(self) -> bool:
        """Whether the plan was committed."""
        return self._plan is not None

    def _result(self) -> dict[str, Any] | None:
        """Return what equal runs have in common: counts over the run's shards, whether made now or before.

        None for a run that ended before its plan was committed.
        """
        if self._plan is None:
            return None
        shards = self._plan.shards
        own = [number for number in range(len(shards)) if self._share is None or number in self._share]
        finished = finished_sidecars(self._out) if self._sidecars is None else self._sidecars
        sidecars = [finished[number] for number in own if number in finished]
        return {
            "videos": sum(len(shards[number]) for number in own),
            "videos_done": sum(len(shards[number]) for number in own if number in finished),
            "shards": len(own),
            "shards_done": len(sidecars),
            "clips": dict(sorted(count_clips(sidecars).items())),
            "frames": sum(int(clip["num_frames"]) for sidecar in sidecars for clip in sidecar["clips"]),
            "output_bytes": _num_bytes(sidecars),
        }


def _num_bytes(sidecars: Any) -> int:
    """Return the size of shards, their contact sheets and their sound."""
    parts = [part for sidecar in sidecars for part in (sidecar, sidecar["preview"], sidecar.get("audio"))]
    return sum(int(part["num_bytes"]) for part in parts if part is not None)


@contextlib.contextmanager
def recorded(record: RunRecord, *, roots: Sequence[Path]) -> Iterator[None]:
    """Write the summary of a run at the end of the block, whose lock the caller holds; errors pass on.

    A refused run, and one that has lost its lock, write none. `roots`: folders that messages name by the last part.
    """
    try:
        yield
    except LockedError:
        raise
    except BaseException as error:
        if record.has_begun or not isinstance(error, UsageError):
            is_stop = not isinstance(error, Exception)
            message = None if is_stop else _message(error, roots)
            with contextlib.suppress(OSError, DferError):  # the disk may be full: the first error is the one to report
                record.write("stopped" if is_stop else "failed", message)
        raise
    record.write("finished")


def _message(error: BaseException, roots: Sequence[Path]) -> str:
    """Return an error as one line without the name of the machine and without absolute paths."""
    if isinstance(error, OSError):
        text = error.strerror or type(error).__name__
    else:
        text = str(error) if isinstance(error, DferError) else f"{type(error).__name__}: {error}"
    text = " ".join(text.split())
    for root in sorted({str(root.absolute()) for root in roots}, key=len, reverse=True):
        text = text.replace(root, Path(root).name)
    return re.sub(rf"\b{re.escape(socket.gethostname())}\b", "this machine", _ABSOLUTE_PATH.sub(r"\1", text))
