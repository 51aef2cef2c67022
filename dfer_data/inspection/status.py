"""How far a prepared dataset is: what is done, what failed, who works on it, and what to do next."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.render.pace import rate
from dfer_data.render.tables import duration
from dfer_data.shards.fold_file import all_fold_files
from dfer_data.shards.layout import DATASET_NAME, LOG_NAME, PLAN_NAME, summary_name
from dfer_data.shards.sidecar import count_clips, finished_sidecars
from dfer_data.sources.make_folds import folds_command
from dfer_data.storage.base import Target
from dfer_data.storage.changeset import is_interrupted
from dfer_data.storage.target import target_at
from dfer_data.wording import counted

DatasetState = Literal["in use", "finished", "unfinished"]


@dataclass(frozen=True)
class DatasetProgress:
    """How far a run that is under way is, by its last line in prepare.log."""

    num_done: int
    """Videos processed by this run."""
    num_videos: int
    """Videos that this run has to process."""
    share: float
    """Share 0..1 of the work that is done."""
    frames_per_second: float
    """Decoded frames, mean since the start."""
    seconds_left: float | None
    """Estimate; None if unknown."""

    def __str__(self) -> str:
        """Return one line for people."""
        left = "time left unknown" if self.seconds_left is None else f"about {duration(self.seconds_left)} left"
        return (
            f"this run: {self.num_done:,} of {counted(self.num_videos, 'video')}, {100 * self.share:.0f} % of the "
            f"work, {rate(self.frames_per_second)} frames/s, {left}"
        )


@dataclass(frozen=True)
class DatasetStatus:
    """How far a prepared dataset is."""

    place: str
    """Folder or URL."""
    state: DatasetState
    """`in use`: a command writes to it now; `finished`: it can be read; `unfinished`: no command works on it."""
    num_videos: int
    """Videos of the plan."""
    num_videos_done: int
    """Videos in finished shards."""
    num_shards: int
    """Shards of the plan."""
    num_shards_done: int
    """Finished shards."""
    num_clips: Mapping[str, int]
    """Clips in finished shards per `ok`, `partial` and ledger code."""
    holders: tuple[str, ...]
    """Who writes to it, such as `process 12 on host`; several for the tasks of an array."""
    is_change_interrupted: bool
    """Whether a change that was interrupted waits to be finished, which the next command that changes it does."""
    limit: int | None
    """Number of videos of a pilot; None: all."""
    last_end: str
    """How the last run ended: `finished`, `stopped`, `failed: ...`; empty if unknown."""
    progress: DatasetProgress | None
    """Of the run that is under way; None if unknown."""
    next_step: str
    """What to do next, one line."""
    num_retryable: int = field(default=0)
    """Failed clips that may succeed in a retry."""


def is_dataset(place: Path | str) -> bool:
    """Return whether a place holds a prepared dataset, finished or not."""
    return target_at(place).size(PLAN_NAME) is not None


def dataset_status(place: Path | str) -> DatasetStatus:
    """Return how far a prepared dataset is; nothing is changed, and no lock is held.

    Raises UsageError for a place without one, CorruptDataError for a damaged plan, RemoteError.
    """
    out = target_at(place)
    plan = _plan(out)
    holders = out.holders()
    shards = plan["shards"]
    sidecars = {number: sidecar for number, sidecar in finished_sidecars(out).items() if number < len(shards)}
    clips = count_clips([*sidecars.values()])
    failures = [failure for sidecar in sidecars.values() for failure in sidecar["failures"]]
    is_finished = len(sidecars) == len(shards) and out.size(DATASET_NAME) is not None
    state: DatasetState = "in use" if holders else "finished" if is_finished else "unfinished"
    facts: dict[str, Any] = {
        "num_videos": len(plan["videos"]),
        "num_videos_done": sum(len(shards[number]) for number in sidecars),
        "num_shards": len(shards),
        "num_shards_done": len(sidecars),
        "num_retryable": sum(bool(failure.get("retryable")) for failure in failures),
        "is_change_interrupted": is_interrupted(out),
        "limit": plan.get("limit"),
    }
    return DatasetStatus(
        place=str(place),
        state=state,
        num_clips=dict(sorted(clips.items())),
        holders=holders,
        last_end="" if holders else _last_end(out),
        progress=_progress(out) if holders else None,
        next_step=_next_step(out, state, plan, facts, codes=Counter(failure["code"] for failure in failures)),
        **facts,
    )


def _plan(out: Target) -> dict[str, Any]:
    """Return the plan as it is stored."""
    try:
        plan = json.loads(out.read(PLAN_NAME))
        if not all(isinstance(plan[name], list) for name in ("videos", "shards")):
            raise ValueError("it has no list of videos and shards")
        return dict(plan)
    except FileNotFoundError:
        raise UsageError(f"{out} is not a prepared dataset: {PLAN_NAME} is missing") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptDataError(f"{out}/{PLAN_NAME} is damaged ({error!r:.200}); restore it from a copy") from error


def _last_end(out: Target) -> str:
    """Return how the last run ended, by its summary."""
    name = summary_name()
    if out.size(name) is None:
        return ""
    try:
        summary = json.loads(out.read(name))
        return f"{summary['state']}: {summary['message']}" if summary["message"] else str(summary["state"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""


def _progress(out: Target) -> DatasetProgress | None:
    """Return the last line of progress of the run that began last."""
    if out.size(LOG_NAME) is None:
        return None
    for line in reversed(out.read(LOG_NAME).splitlines()):
        try:
            event = json.loads(line)
            if event["event"] == "begun":
                return None
            if event["event"] == "progress":
                return DatasetProgress(**{name: event[name] for name in DatasetProgress.__dataclass_fields__})
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # a line that a kill cut
    return None


def _next_step(
    out: Target, state: DatasetState, plan: Mapping[str, Any], facts: Mapping[str, Any], *, codes: Mapping[str, int]
) -> str:
    """Return what to do next."""
    if state == "in use":
        return "wait; `dfer status` shows how far it is"
    if facts["is_change_interrupted"]:
        return "run the command that was interrupted again; it finishes its change first"
    if state == "unfinished":
        if facts["num_shards_done"] == facts["num_shards"]:
            return "run the same `dfer prepare` again to write the manifest"
        return "run the same `dfer prepare` again to resume"
    if facts["num_retryable"]:
        failures = counted(facts["num_retryable"], "failure")
        return f"{failures} may be the machine's: the same `dfer prepare` with --retry-failed"
    if facts["limit"] is not None:
        return "a pilot: the same `dfer prepare` without --limit prepares the rest"
    if plan.get("class_names") and not all_fold_files(out):
        return f"no folds: cannot be trained on; `{folds_command(str(out))}` adds them"
    return f"`dfer verify {shlex.quote(str(out))}` checks it" + ("; ledger.jsonl names what failed" if codes else "")
