"""Rebuilding from a lock keeps the promises of `prepare`: kills, any number of workers, tasks of an array."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfer_data.errors import CorruptDataError
from dfer_data.locking.lock_file import lock_for_workers, read_lock
from dfer_data.locking.make_lock import lock
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.preparation.run import prepare, run_preparation
from tests.dfer_data.locking.conftest import pictures_of
from tests.faults.conftest import EXIT_PARTIAL, Run, mortal_runs


@pytest.fixture(scope="module")
def locked(resolved: ResolvedRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A lock of videos with sound, and the files that a rebuild must give."""
    folder = tmp_path_factory.mktemp("locked")
    run_preparation(resolved, folder / "out", num_workers=0)
    lock(folder / "out", folder / "a.dferlock")
    return folder / "a.dferlock", pictures_of(folder / "out")


def rebuild_with_kills(begin: Callable[[], Run], expected: dict[str, str], *, num_kills: int, seed: int) -> None:
    rng, num_met = random.Random(seed), 0
    for number, goal in enumerate([0, *sorted(rng.randrange(1, 12) for _ in range(num_kills - 1))]):
        run = begin()
        if goal:
            run.wait_for_shards(goal)
        time.sleep(rng.uniform(0.0, 0.02 if goal else 2.0))
        num_met += run.process.poll() is None
        with contextlib.suppress(ProcessLookupError):  # it was done
            (os.killpg if number % 2 else os.kill)(run.process.pid, signal.SIGKILL)
        run.process.wait()
        run.assert_gone()
    assert num_met
    run = begin()
    assert run.finish() == (EXIT_PARTIAL, "")
    run.assert_gone()
    assert pictures_of(run.out) == expected


def check_kills(source: Path, locked: tuple[Path, dict[str, str]], out: Path, *, num_kills: int) -> None:
    path, expected = locked
    with mortal_runs() as runs:

        def begin() -> Run:
            runs.append(Run(source, out, settings=("--from", str(path))))
            return runs[-1]

        rebuild_with_kills(begin, expected, num_kills=num_kills, seed=1)


def test_a_killed_rebuild_is_resumed_to_the_same_bytes(
    source: Path, locked: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    """The parent alone and the whole group are killed in turn."""
    check_kills(source, locked, tmp_path / "out", num_kills=3)


@pytest.mark.soak
def test_thirty_killed_rebuilds(source: Path, locked: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    check_kills(source, locked, tmp_path / "out", num_kills=30)


def test_workers_rebuild_the_same_bytes(source: Path, locked: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    """Two here, one in the tasks of an array."""
    path, expected = locked
    prepare("folder", from_lock=path, source=source, out=tmp_path / "out", workers=2)
    assert pictures_of(tmp_path / "out") == expected


def test_tasks_of_an_array_rebuild_the_same_bytes(
    source: Path, locked: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    path, expected = locked
    for index in (1, 0):
        options: dict[str, Any] = {"from_lock": path, "source": source, "out": tmp_path / "out", "workers": 1}
        prepare("folder", **options, task_index=index, num_tasks=2)
    summary = prepare("folder", from_lock=path, source=source, out=tmp_path / "out", workers=1)
    assert summary.num_shards_made == 0
    assert pictures_of(tmp_path / "out") == expected
    assert summary.rebuilt is not None
    assert summary.rebuilt["equal"]["dataset"]


def test_a_lock_that_changes_during_the_start_is_told(locked: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    path = tmp_path / "a.dferlock"
    path.write_bytes(locked[0].read_bytes())
    found = read_lock(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptDataError, match="was changed while it was read"):
        lock_for_workers(found, tmp_path)
