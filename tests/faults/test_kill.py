"""Runs and workers are killed and stopped in every way there is; what is left is whole, and the same bytes come out."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from dfer_data.inspection.status import dataset_status
from tests.dfer_data import tiny
from tests.faults.conftest import EXIT_PARTIAL, Run, Start, assert_completes, assert_only_whole_shards, write_source

NUM_KILLS = 3
NUM_KILLS_SOAK = 50


def test_any_number_of_workers_makes_the_same_bytes(start: Start, expected: dict[str, str]) -> None:
    assert_completes(start(num_workers=4), expected)


def kill_again_and_again(start: Start, expected: dict[str, str], *, num_kills: int, seed: int) -> None:
    """The parent alone and the whole group in turn.

    The first kill falls into the start, the others anywhere until the last shard but one.
    """
    rng = random.Random(seed)
    goals = [0, *sorted(rng.randrange(1, 10) for _ in range(num_kills - 1))]
    for number, goal in enumerate(goals):
        run = start()
        if goal == 0:
            time.sleep(rng.uniform(0.1, 2.0))
        run.wait_for_shards(goal)
        time.sleep(rng.uniform(0.0, 0.1))
        (os.killpg if number % 2 else os.kill)(run.process.pid, signal.SIGKILL)
        run.process.wait()
        run.assert_gone()
        if goal:
            assert (run.out / ".lock.json").exists()  # left over, and holds nobody up
        if run.out.exists():
            assert_only_whole_shards(run.out, expected)
    assert_completes(start(), expected)


def test_kill_9_loses_nothing_that_was_finished(start: Start, expected: dict[str, str]) -> None:
    kill_again_and_again(start, expected, num_kills=NUM_KILLS, seed=1)


def kill_workers(run: Run, rng: random.Random, *, num_kills: int, pause_seconds: float) -> int:
    """Kill one worker after the other at random moments; returns how many were met alive."""
    num_met = 0
    while num_met < num_kills and run.process.poll() is None:
        time.sleep(rng.uniform(0.0, pause_seconds))
        if workers := run.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
                num_met += 1
    return num_met


def test_a_run_outlives_its_workers(start: Start, expected: dict[str, str]) -> None:
    """A killed worker costs a line on stderr; the video it had is tried again, so nothing is missing at the end."""
    run = start()
    run.wait_for_shards(1)
    worker = run.workers()[0]
    os.kill(worker, signal.SIGKILL)
    code, stderr = run.finish()
    assert code == EXIT_PARTIAL
    (line,) = stderr.splitlines()
    assert line.startswith(f"note: worker {worker} was lost ")
    # what it was killed over, if it was not between two videos: which is chance
    assert re.search(
        r"\(its process was killed by SIGKILL\)( and is replaced|; the video is retried once, alone)", line
    )
    run.assert_gone()
    assert tiny.tree(run.out) == expected
    assert '"event": "worker lost"' in (run.out / "prepare.log").read_text()


def test_a_worker_that_stands_still_is_replaced(start: Start, expected: dict[str, str], tmp_path: Path) -> None:
    run = start(tmp_path / "out", "--max-stall-seconds", "1.5")
    run.wait_for_shards(1)
    for worker in run.workers():  # both: one alone may have nothing in hands, while the other makes all the rest
        os.kill(worker, signal.SIGSTOP)
    code, stderr = run.finish()
    assert code == EXIT_PARTIAL
    assert "(no sign of progress in 1.5 s)" in stderr
    run.assert_gone()
    assert tiny.tree(run.out) == expected


def test_a_stop_is_130_at_once(start: Start, expected: dict[str, str]) -> None:
    """SIGTERM reaches the parent alone, as from a scheduler; Ctrl+C the whole group, as from a terminal."""
    for number, send, num_shards in ((signal.SIGTERM, os.kill, 2), (signal.SIGINT, os.killpg, 5)):
        run = start()
        run.wait_for_shards(num_shards)
        send(run.process.pid, number)
        said = "interrupted; finished work is kept: run the same command again to resume\n"
        assert run.finish(seconds=2) == (130, said)
        run.assert_gone()
        assert_only_whole_shards(run.out, expected)
        assert not (run.out / ".work").exists()
        summary = json.loads((run.out / "summary.json").read_bytes())
        assert (summary["state"], summary["result"]["shards_done"]) == ("stopped", run.num_shards())
        assert dataset_status(run.out).last_end == "stopped"
    assert_completes(start(), expected)
    assert json.loads((run.out / "summary.json").read_bytes())["state"] == "finished"


@pytest.mark.soak
def test_fifty_kills_over_one_run(start: Start, real_videos: dict[str, Path], tmp_path: Path) -> None:
    """Parent alone, the whole group, single workers, at random moments, until fifty have been killed."""
    source = write_source(tmp_path / "source", real_videos, num_copies=40)
    undisturbed = tmp_path / "undisturbed"
    assert start(undisturbed, source=source).finish(seconds=600)[0] == EXIT_PARTIAL
    expected = tiny.tree(undisturbed)
    rng = random.Random(0)
    kills: Counter[str] = Counter()
    while kills.total() < NUM_KILLS_SOAK:
        run = start(source=source)
        time.sleep(rng.uniform(0.0, 9.0))
        kind = rng.choice(["parent", "group", "worker"])
        if kind == "worker":
            kills["worker"] += kill_workers(run, rng, num_kills=rng.randint(1, 4), pause_seconds=2.0)
            time.sleep(rng.uniform(0.0, 2.0))
        if run.process.poll() is None:
            (os.killpg if kind == "group" else os.kill)(run.process.pid, signal.SIGKILL)
            kills["group" if kind == "group" else "parent"] += 1
        run.process.wait()
        run.assert_gone(seconds=30)  # killed at any moment, a worker may have been starting
        if run.out.exists():
            assert_only_whole_shards(run.out, expected)
        if run.num_shards() == len(list((undisturbed / "shards").glob("*.json"))):
            shutil.rmtree(run.out / "shards")  # done before its time: once more, the dice go on
    run = start(source=source)
    code, stderr = run.finish(seconds=600)
    assert code == EXIT_PARTIAL
    assert all(" % of the work, " in line for line in stderr.splitlines()), stderr  # how far it is, and nothing else
    ledger = (run.out / "ledger.jsonl").read_text()
    num_twice = ledger.count('"CRASHED"')  # a worker was killed over the same video twice: told, and retried on request
    if num_twice:
        assert start(run.out, "--retry-code", "CRASHED", source=source).finish(seconds=600)[0] == EXIT_PARTIAL
    run.assert_gone(seconds=30)  # killed at any moment, a worker may have been starting
    print(f"\n{kills.total()} kills {dict(kills)}; {num_twice} videos were hit twice and retried; identical")
    assert tiny.tree(run.out) == expected
