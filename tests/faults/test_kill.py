"""`dfer prepare` is stopped in every way there is; what it leaves is whole, and the next run makes the same bytes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfer_data import weights
from dfer_data.audit import verify
from dfer_data.errors import DferError
from dfer_data.prepare import Request, Resolved, prepare, resolve
from tests.dfer_data import tiny

NUM_KILLS = 3
NUM_KILLS_SOAK = 40
_DFER = str(Path(sys.executable).with_name("dfer"))
_MARK = "DFER_TEST_RUN"
_DET_SIZE_PX = 320  # slow enough to be met at work
_PARTIAL = 3  # exit code: some of the videos are junk or show nobody

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> Path:
    """Seven small videos, three times."""
    root = tmp_path_factory.mktemp("source")
    first = tiny.write_faces(root / "a", real_videos)
    for name in ("b", "c"):
        shutil.copytree(first, root / name)
    return root


@pytest.fixture(scope="module")
def resolved(source: Path) -> Resolved:
    weights.resolve("retinaface-mobilenet0.25")
    return resolve(Request(dataset="folder", source=source, det_size_px=_DET_SIZE_PX))


@pytest.fixture(scope="module")
def expected(resolved: Resolved, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tree that a run in this process makes."""
    out = tmp_path_factory.mktemp("expected") / "out"
    prepare(resolved, out, num_workers=0)
    assert verify(out, deep=True).damages == ()
    return tiny.tree(out)


class Run:
    """A `dfer prepare` in a session of its own, whose processes carry a mark in their environment."""

    def __init__(self, source: Path, out: Path, *, num_workers: int = 2) -> None:
        self.out = out
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        command = [_DFER, "prepare", "folder", "--source", str(source), "--out", str(out)]
        command += ["--det-size", str(_DET_SIZE_PX), "--workers", str(num_workers)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {name: value},
            start_new_session=True,
        )

    def pids(self) -> dict[int, str]:
        """The living processes of this run, with their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if self._mark.encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def workers(self) -> list[int]:
        return [pid for pid, command in self.pids().items() if "spawn_main" in command]

    def wait_for_shards(self, number: int) -> None:
        """Wait until so many shards are finished."""
        self.wait_for(lambda: len(list((self.out / "shards").glob("*.json"))) >= number)

    def wait_for(self, condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
        """Wait until the condition holds or the run has ended."""
        until = time.monotonic() + seconds
        while not condition() and self.process.poll() is None:
            assert time.monotonic() < until, "the run makes no progress"
            time.sleep(0.01)

    def finish(self, *, seconds: float = 60.0) -> tuple[int, str]:
        _, stderr = self.process.communicate(timeout=seconds)
        return self.process.returncode, stderr

    def assert_gone(self) -> None:
        """No process is left two seconds after the first one died."""
        until = time.monotonic() + 2
        while self.pids() and time.monotonic() < until:
            time.sleep(0.02)
        assert self.pids() == {}


@pytest.fixture
def start(source: Path, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start runs; none outlives the test."""
    runs: list[Run] = []

    def begin(out: Path = tmp_path / "out", *, num_workers: int = 2) -> Run:
        runs.append(Run(source, out, num_workers=num_workers))
        return runs[-1]

    yield begin
    for run in runs:
        for pid in run.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.communicate()


def assert_only_whole_shards(out: Path, expected: dict[str, str]) -> None:
    found = {name: digest for name, digest in tiny.tree(out).items() if name.startswith(("shards/", "preview/"))}
    assert found.items() <= expected.items()


def assert_completes(run: Run, expected: dict[str, str]) -> None:
    assert run.finish() == (_PARTIAL, "")
    run.assert_gone()
    assert tiny.tree(run.out) == expected


@pytest.mark.parametrize("num_workers", [1, 2])
def test_any_number_of_workers_makes_the_same_bytes(
    start: Callable[..., Run], expected: dict[str, str], num_workers: int
) -> None:
    assert_completes(start(num_workers=num_workers), expected)


def kill_again_and_again(
    start: Callable[..., Run], expected: dict[str, str], *, group: bool, num_kills: int, seed: int
) -> None:
    """The first kill falls into the start, the others anywhere until the last shard but one."""
    rng = random.Random(seed)
    goals = [0, *sorted(rng.randrange(10) for _ in range(num_kills - 1))]
    for goal in goals:
        run = start()
        if goal == 0:
            time.sleep(rng.uniform(0.1, 2.0))
        run.wait_for_shards(goal)
        time.sleep(rng.uniform(0.0, 0.1))
        (os.killpg if group else os.kill)(run.process.pid, signal.SIGKILL)
        run.process.wait()
        run.assert_gone()
        if run.out.exists():
            assert_only_whole_shards(run.out, expected)
    assert_completes(start(), expected)


@pytest.mark.parametrize("group", [False, True], ids=["parent", "group"])
def test_kill_9_loses_nothing_that_was_finished(
    start: Callable[..., Run], expected: dict[str, str], group: bool
) -> None:
    kill_again_and_again(start, expected, group=group, num_kills=NUM_KILLS, seed=1)


@pytest.mark.soak
@pytest.mark.parametrize("group", [False, True], ids=["parent", "group"])
@pytest.mark.parametrize("seed", range(NUM_KILLS_SOAK // 8))
def test_kill_9_many_times(start: Callable[..., Run], expected: dict[str, str], group: bool, seed: int) -> None:
    kill_again_and_again(start, expected, group=group, num_kills=8, seed=100 + seed)


@pytest.mark.parametrize(("number", "group"), [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_a_stop_is_130_at_once(
    start: Callable[..., Run], expected: dict[str, str], number: signal.Signals, group: bool
) -> None:
    """SIGTERM reaches the parent alone, as from a scheduler; Ctrl+C the whole group, as from a terminal."""
    run = start()
    run.wait_for_shards(2)
    (os.killpg if group else os.kill)(run.process.pid, number)
    assert run.finish(seconds=2) == (130, "interrupted\n")
    run.assert_gone()
    assert_only_whole_shards(run.out, expected)
    assert_completes(start(), expected)


def test_a_dead_worker_is_named(start: Callable[..., Run], expected: dict[str, str]) -> None:
    run = start()
    run.wait_for_shards(1)
    worker = run.workers()[0]
    os.kill(worker, signal.SIGKILL)
    code, stderr = run.finish(seconds=10)
    assert code == 1
    assert stderr.startswith(f"error: worker process {worker} died (exit code -9")
    assert "run the same command again" in stderr
    assert stderr.count("\n") == 1
    run.assert_gone()
    assert_completes(start(), expected)


def test_a_second_run_in_the_same_folder_is_refused(start: Callable[..., Run], expected: dict[str, str]) -> None:
    first = start()
    first.wait_for((first.out / ".lock.json").exists)
    os.kill(first.process.pid, signal.SIGSTOP)
    code, stderr = start().finish()
    assert code == 5
    assert f"in use by process {first.process.pid} on {socket.gethostname()}" in stderr
    assert stderr.count("\n") == 1
    os.kill(first.process.pid, signal.SIGCONT)
    assert_completes(first, expected)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A tmpfs whose mount options the test sets, first and again."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> Path:
        again = "remount," if folder.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", again + options, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount a small disk: {done.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize(
    ("size", "num_workers"),
    [("8k", 0), ("200k", 2), ("1500k", 0)],
    ids=["at the plan", "at the first shard", "in the middle"],
)
def test_a_full_disk_is_one_clear_line_and_nothing_half_written(
    small_disk: Callable[[str], Path],
    resolved: Resolved,
    expected: dict[str, str],
    size: str,
    num_workers: int,
) -> None:
    out = small_disk(f"size={size}") / "out"
    with pytest.raises(DferError) as caught:
        prepare(resolved, out, num_workers=num_workers)
    assert str(caught.value).startswith(f"cannot write {out}: No space left on device; finished shards are kept: ")
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert_only_whole_shards(out, expected)
    small_disk("size=64m")
    prepare(resolved, out, num_workers=num_workers)
    assert tiny.tree(out) == expected


def test_a_full_disk_on_the_command_line(
    small_disk: Callable[[str], Path], start: Callable[..., Run], expected: dict[str, str]
) -> None:
    run = start(small_disk("size=1500k") / "out")
    code, stderr = run.finish()
    assert code == 1
    assert stderr.startswith(f"error: cannot write {run.out}: No space left on device; ")
    assert stderr.count("\n") == 1
    run.assert_gone()
    assert_only_whole_shards(run.out, expected)


@pytest.mark.parametrize("num_finished", [0, 1])
def test_a_read_only_disk_is_one_clear_line(
    small_disk: Callable[[str], Path], resolved: Resolved, expected: dict[str, str], num_finished: int
) -> None:
    """The second time over a finished dataset, which stays readable."""
    out = small_disk("size=64m") / "out"
    if num_finished:
        prepare(resolved, out, num_workers=0)
    small_disk("ro")
    with pytest.raises(DferError, match=r"Read-only file system; .* choose another --out") as caught:
        prepare(resolved, out, num_workers=0)
    assert caught.value.exit_code == 1
    if num_finished:
        assert tiny.tree(out) == expected
        assert verify(out).damages == ()
    small_disk("rw")
    prepare(resolved, out, num_workers=0)
    assert tiny.tree(out) == expected


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_clear_line(tmp_path: Path, resolved: Resolved) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(DferError, match=r"cannot write .*Permission denied"):
            prepare(resolved, tmp_path / "out", num_workers=0)
    finally:
        tmp_path.chmod(0o755)
