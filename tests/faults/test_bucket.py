"""Runs that write into a bucket are killed and started twice; what is marked is whole, and the same bytes come out."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.buckets import Bucket, serve
from tests.faults.conftest import EXIT_PARTIAL, Run, mortal_runs

NUM_KILLS = 2
NUM_KILLS_SOAK = 25

BucketStart = Callable[..., "BucketRun"]


class BucketRun(Run):
    """A `dfer prepare` whose shards go into a bucket."""

    poll_seconds = 0.05  # each look is a request, which takes the run's core

    def __init__(self, source: Path, bucket: Bucket, work: Path, *options: str) -> None:
        self.bucket = bucket
        super().__init__(source, bucket.url, options=("--work", str(work), *options))

    def num_shards(self) -> int:
        return self.bucket.num_shards()

    def is_locked(self) -> bool:
        return ".lock.json" in self.bucket.names()


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    with serve(max_attempts=5) as found:  # a run that was stopped for a while wakes with connections that have died
        yield found


@pytest.fixture
def start_in(bucket: Bucket, source: Path, tmp_path: Path) -> Iterator[BucketStart]:
    """Start runs; none outlives the test."""
    with mortal_runs() as runs:

        def begin(*options: str, work: Path = tmp_path / "work") -> BucketRun:
            run = BucketRun(source, bucket, work, *options)
            runs.append(run)
            return run

        yield begin


def assert_completes(run: BucketRun, expected: dict[str, str]) -> None:
    """Without a word, with the bytes of a folder, no lock left, and nobody left behind."""
    assert run.finish() == (EXIT_PARTIAL, "")
    run.assert_gone()
    assert run.bucket.tree() == expected
    assert not run.is_locked()


def assert_marked_is_whole(bucket: Bucket, expected: dict[str, str]) -> None:
    """Whatever has a sidecar has its shard, sound and sheet, and all bytes there are final ones."""
    tree = bucket.tree()
    assert tree.items() <= expected.items()
    for name in (Path(name).stem for name in tree if name.startswith("shards/") and name.endswith(".json")):
        parts = {f"shards/{name}.safetensors", f"shards/{name}.audio.safetensors", f"preview/{name}.jpg"}
        assert parts <= tree.keys()


def kill_again_and_again(start_in: BucketStart, expected: dict[str, str], *, num_kills: int, seed: int) -> None:
    """The parent alone and the whole group in turn; the first kill falls into the start."""
    rng = random.Random(seed)
    goals = [0, *sorted(rng.randrange(1, 10) for _ in range(num_kills - 1))]
    for number, goal in enumerate(goals):
        run = start_in()
        if goal == 0:
            run.wait_for(run.is_locked)
        run.wait_for_shards(goal)
        time.sleep(rng.uniform(0.0, 0.2))
        (os.killpg if number % 2 else os.kill)(run.process.pid, signal.SIGKILL)
        run.process.wait()
        run.assert_gone(seconds=10)
        assert_marked_is_whole(run.bucket, expected)
        assert run.is_locked()  # nothing takes it away; the next run sees that its process is gone
    assert_completes(start_in(), expected)


def test_kill_9_loses_nothing_that_was_in_the_bucket(start_in: BucketStart, expected: dict[str, str]) -> None:
    kill_again_and_again(start_in, expected, num_kills=NUM_KILLS, seed=1)


@pytest.mark.soak
def test_many_kills_over_a_bucket(start_in: BucketStart, expected: dict[str, str]) -> None:
    kill_again_and_again(start_in, expected, num_kills=NUM_KILLS_SOAK, seed=2)


def test_a_second_run_is_refused_and_a_stopped_one_leaves_no_lock(
    start_in: BucketStart, bucket: Bucket, expected: dict[str, str], tmp_path: Path
) -> None:
    first = start_in()
    first.wait_for_shards(1)
    os.killpg(first.process.pid, signal.SIGSTOP)
    code, stderr = start_in(work=tmp_path / "other").finish()
    assert code == 5
    assert f"in use by process {first.process.pid} on {socket.gethostname()}; wait for it" in stderr
    assert stderr.count("\n") == 1
    os.killpg(first.process.pid, signal.SIGCONT)
    os.kill(first.process.pid, signal.SIGTERM)
    assert first.finish() == (130, "interrupted; finished work is kept: run the same command again to resume\n")
    first.assert_gone()
    assert not first.is_locked()
    assert not any(path.is_file() for path in (tmp_path / "work").rglob("*"))
    assert_marked_is_whole(bucket, expected)


def test_two_writers_are_harmless(
    start_in: BucketStart, bucket: Bucket, expected: dict[str, str], tmp_path: Path
) -> None:
    """The first stands still, as on a machine that lost its network, and another takes its lock; then both write."""
    first = start_in()
    first.wait_for_shards(1)
    os.killpg(first.process.pid, signal.SIGSTOP)
    holder = json.loads(bucket.read(".lock.json"))
    bucket.put(".lock.json", json.dumps(holder | {"process_start": 0.0}).encode())  # as of a process that is gone
    second = start_in(work=tmp_path / "other")
    second.wait_for_shards(3)
    os.killpg(first.process.pid, signal.SIGCONT)
    code, stderr = first.finish()
    assert code == 5, stderr
    assert f"the lock of {bucket.url} is now held by process {second.process.pid} on" in stderr
    assert_completes(second, expected)


def test_actors_fill_a_bucket(start_in: BucketStart, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not finished lies in `--work`, which they all see."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", uuid.uuid4().hex)  # Ray would leave one in the home folder
    assert_completes(start_in("--engine", "ray"), expected)
