"""Settings of how a run of `prepare` makes a dataset; none of them changes the bytes of a clip.

Each setting is declared once (settings.py). The settings that change bytes are in config.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from dfer_data.config import Folding, Request
from dfer_data.errors import UsageError
from dfer_data.settings import setting, validate

EngineName = Literal["processes", "inline", "ray"]
_WORKERS, _REVISION = "Workers", "Resume, retry, update"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where `prepare` writes and what runs it; none of them changes bytes."""

    out: str | None = setting(
        None, "Folder or URL to write.", default_words="prepared/DATASET-DETECTOR", in_file="inside"
    )
    work: Path | None = setting(
        None,
        "With a URL: local folder for unfinished shards.",
        default_words="in the cache",
        is_rare=True,
        in_file="inside",
    )
    engine: EngineName = setting(
        "processes", "Worker processes; inline: this process; ray: a Ray cluster (needs the extra ray).", panel=_WORKERS
    )
    workers: Annotated[int, Interval(ge=1)] | None = setting(
        None, "Worker processes.", panel=_WORKERS, default_words="one per core, at most 8 per GPU with --device cuda"
    )
    max_failures: str | None = setting(
        None,
        "Stop when more videos than this fail in one run: a number, or a share such as 5%.",
        panel=_WORKERS,
        default_words="no limit",
    )

    def __post_init__(self) -> None:
        """Raise one UsageError with all invalid values."""
        validate(self, rules=self._rules(), by_flag=True)

    def _rules(self) -> Iterator[str]:
        if self.max_failures is not None and failure_limit(self.max_failures) is None:
            yield f"--max-failures {self.max_failures}: must be a number of videos such as 100, or a share such as 5%"


def failure_limit(text: str) -> int | float | None:
    """Return the value of `--max-failures`: a number of videos, or a share 0..1 as float; None for other text."""
    match = re.fullmatch(r"(\d{1,9})|(\d{1,2}(?:\.\d{1,6})?|100) ?%", text.strip(), re.ASCII)
    if match is None:
        return None
    return int(match[1]) if match[1] else float(match[2]) / 100


@dataclass(frozen=True)
class Limits:
    """Limits of a worker; it is killed when it exceeds one. Byte-identical output is not guaranteed across limits."""

    max_stall_seconds: Annotated[float, Interval(gt=0)] = setting(
        120.0, "Kill a worker that finishes no frame for this long.", panel=_WORKERS, is_rare=True
    )
    max_video_seconds: Annotated[float, Interval(gt=0)] = setting(
        14400.0, "Kill a worker that needs longer for one video.", panel=_WORKERS, is_rare=True
    )
    max_memory_mb: Annotated[int, Interval(gt=0)] | None = setting(
        None,
        "Kill a worker process that uses more memory, in MiB.",
        panel=_WORKERS,
        default_words="2048, with --device cuda 8192",
        is_rare=True,
    )

    def __post_init__(self) -> None:
        """Raise one UsageError with all invalid values."""
        validate(self, by_flag=True)


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster that runs the steps, and what a worker takes of it besides one CPU."""

    address: str | None = setting(
        None,
        "HOST:PORT of the Ray cluster's head, or auto.",
        panel=_WORKERS,
        default_words="$RAY_ADDRESS",
        in_file="never",
    )
    """None: $RAY_ADDRESS, else a new cluster on this machine, which ends with the run."""
    ray_gpus: Annotated[float, Interval(ge=0)] | None = setting(
        None, "GPUs per Ray worker, e.g. 0.5.", panel=_WORKERS, default_words="1/8 with --device cuda", is_rare=True
    )

    def __post_init__(self) -> None:
        """Refuse a number of GPUs that Ray cannot allocate."""
        validate(self, rules=self._rules(), by_flag=True)

    def _rules(self) -> Iterator[str]:
        number = self.ray_gpus
        if number is not None and not (number <= 1 or (number < math.inf and number == int(number))):
            yield f"--ray-gpus {number:g}: must be a share of a GPU from 0 to 1, or a whole number"


MAX_TASKS = 10_000


@dataclass(frozen=True)
class TaskShare:
    """One task of an array, which makes every `num_tasks`-th shard."""

    task_index: Annotated[int, Interval(ge=0)] = setting(
        help="Index in an array of tasks, from 0: make only this task's shards.", panel=_WORKERS, once=True
    )
    num_tasks: Annotated[int, Interval(ge=1, le=MAX_TASKS)] = setting(
        help="Number of tasks in the array.", panel=_WORKERS, once=True
    )

    def __post_init__(self) -> None:
        """Refuse an index outside the array."""
        validate(self, rules=self._rules(), by_flag=True)

    def _rules(self) -> Iterator[str]:
        if self.task_index >= self.num_tasks:
            yield f"--task-index {self.task_index} --num-tasks {self.num_tasks}: the index must be less than the number"

    def __contains__(self, shard: int) -> bool:
        """Return whether a shard belongs to this task."""
        return shard % self.num_tasks == self.task_index


ALL_CODES = "ALL"
"""Matches every ledger code."""


@dataclass(frozen=True)
class Revision:
    """How a run changes what is prepared already; for one call only."""

    update: bool = setting(False, "Bring the prepared dataset in line with its source.", panel=_REVISION, once=True)
    prune: bool = setting(False, "With --update: drop clips that are gone from the source.", panel=_REVISION, once=True)
    retry_failed: bool = setting(False, "Prepare failed clips again.", panel=_REVISION, once=True)
    retry_code: str | None = setting(None, "Prepare clips of this failure code again.", panel=_REVISION, once=True)
    force: bool = setting(False, "Remove the prepared dataset and prepare it again.", panel=_REVISION, once=True)

    def __post_init__(self) -> None:
        """Refuse settings that contradict each other."""
        validate(self, rules=self._rules(), by_flag=True)

    def _rules(self) -> Iterator[str]:
        if self.prune and not self.update:
            yield "--prune: only with --update"
        if self.update and self.force:
            yield "--update keeps what is prepared, --force removes it; use only one of the two"

    @property
    def retried(self) -> str | None:
        """Ledger code of the failed clips that are remade, ALL_CODES for any; None: none are."""
        return self.retry_code or (ALL_CODES if self.retry_failed else None)

    def check_share(self, share: TaskShare | None) -> None:
        """Raise UsageError for what one task of an array cannot do."""
        flags = {"--retry-failed": self.retried is not None, "--update": self.update}
        for flag in [flag for flag, is_given in flags.items() if share is not None and is_given]:
            raise UsageError(
                f"{flag} cannot be combined with --task-index: run it once without --task-index; the "
                "tasks then make the missing shards"
            )
        if share is not None and self.force:
            raise UsageError(
                "--force cannot be combined with --task-index: one task must not remove the others' shards"
            )


PREPARE_SETTINGS = (Request, Folding, RunSettings, Limits, Cluster, TaskShare)
"""Every dataclass whose settings `prepare` takes."""
