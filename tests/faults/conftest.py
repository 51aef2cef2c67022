"""A small dataset, runs of `dfer prepare` on it as processes of their own, the tree they must make, a small disk."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dfer_data.config import Request
from dfer_data.inspection.verify import verify
from dfer_data.preparation.request import ResolvedRequest, resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.weights.fetch import weights_file
from tests.dfer_data import tiny
from tests.dfer_data.sounds import bursts, write_film

DET_SIZE_PX = 320  # slow enough to be met at work
QUICK_DET_SIZE_PX = 160  # for runs that are not interrupted by the clock
EXIT_PARTIAL = 3  # some of the videos are junk or show nobody
_DFER = str(Path(sys.executable).with_name("dfer"))
_MARK = "DFER_TEST_RUN"
_PROGRESS = re.compile(r"[\d,]+ of [\d,]+ videos, \d+ % of the work, ")


def write_source(root: Path, real_videos: dict[str, Path], *, num_copies: int) -> Path:
    """Write seven small videos, one with sound, again and again."""
    first = tiny.write_faces(root / "copy-00", real_videos)
    pictures = tiny.real_pictures(real_videos["single_face.mp4"], stop=20)
    write_film(first / "happy" / "single.mp4", pictures, bursts([0.2, 0.6], seconds=0.8, rate=48_000))
    for number in range(1, num_copies):
        shutil.copytree(first, root / f"copy-{number:02d}")
    return root


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> Path:
    """Seven small videos, three times."""
    return write_source(tmp_path_factory.mktemp("source"), real_videos, num_copies=3)


@pytest.fixture(scope="session")
def resolved(source: Path) -> ResolvedRequest:
    weights_file("retinaface-mobilenet0.25")
    return resolve_request(Request(dataset="folder", source=source, det_size_px=DET_SIZE_PX, audio=True))


@pytest.fixture(scope="session")
def quick(source: Path) -> ResolvedRequest:
    """The same with a detector that looks at smaller pictures."""
    weights_file("retinaface-mobilenet0.25")
    return resolve_request(Request(dataset="folder", source=source, det_size_px=QUICK_DET_SIZE_PX, audio=True))


@pytest.fixture(scope="session")
def expected(resolved: ResolvedRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tree that an undisturbed run in this process makes."""
    return _undisturbed(resolved, tmp_path_factory)


@pytest.fixture(scope="session")
def quick_expected(quick: ResolvedRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same of `quick`."""
    return _undisturbed(quick, tmp_path_factory)


def _undisturbed(resolved: ResolvedRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("expected") / "out"
    run_preparation(resolved, out, num_workers=0)
    assert verify(out, deep=True).damages == ()
    return tiny.tree(out)


class Run:
    """A `dfer prepare` in a session of its own, whose processes carry a mark in their environment."""

    def __init__(
        self,
        source: Path,
        out: Path | str,
        *,
        num_workers: int = 2,
        options: tuple[str, ...] = (),
        settings: tuple[str, ...] = ("--det-size", str(DET_SIZE_PX), "--audio"),
    ) -> None:
        self.out = Path(out)
        self._mark = f"{_MARK}={uuid.uuid4().hex}"
        name, _, value = self._mark.partition("=")
        command = [_DFER, "prepare", "folder", "--source", str(source), "--out", str(out)]
        command += [*settings, "--workers", str(num_workers), *options]
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

    def num_shards(self) -> int:
        """Finished shards."""
        return len(list((self.out / "shards").glob("*.json")))

    def wait_for_shards(self, number: int) -> None:
        """Wait until so many shards are finished."""
        self.wait_for(lambda: self.num_shards() >= number)

    poll_seconds = 0.01

    def wait_for(self, condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
        """Wait until the condition holds or the run has ended."""
        until = time.monotonic() + seconds
        while not condition() and self.process.poll() is None:
            assert time.monotonic() < until, "the run makes no progress"
            time.sleep(self.poll_seconds)

    def finish(self, *, seconds: float = 60.0) -> tuple[int, str]:
        """Return exit code and stderr, without lines of progress: only runs on a slow machine get as far as one."""
        _, stderr = self.process.communicate(timeout=seconds)
        return self.process.returncode, "".join(line for line in stderr.splitlines(True) if not _PROGRESS.match(line))

    def assert_gone(self, *, seconds: float = 2.0) -> None:
        """No process is left two seconds after the first one died; longer where one may have been starting."""
        until = time.monotonic() + seconds
        while self.pids() and time.monotonic() < until:
            time.sleep(0.02)
        assert self.pids() == {}


Start = Callable[..., Run]


@pytest.fixture
def start(source: Path, tmp_path: Path) -> Iterator[Start]:
    """Start runs; none outlives the test."""
    with mortal_runs() as runs:

        def begin(
            out: Path = tmp_path / "out",
            *options: str,
            num_workers: int = 2,
            source: Path = source,
            det_size_px: int = DET_SIZE_PX,
        ) -> Run:
            settings = ("--det-size", str(det_size_px), "--audio")
            runs.append(Run(source, out, num_workers=num_workers, options=options, settings=settings))
            return runs[-1]

        yield begin


@contextlib.contextmanager
def mortal_runs() -> Iterator[list[Run]]:
    """Yield a list; the runs put into it end with the block, whatever they are doing."""
    if not Path("/proc/self/environ").exists():
        pytest.skip("finds processes by /proc")
    runs: list[Run] = []
    yield runs
    for run in runs:
        for pid in run.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        run.process.communicate()


def assert_only_whole_shards(out: Path, expected: dict[str, str]) -> None:
    """Shards are as expected, but for those where a video was given up because its worker was killed twice over it."""
    given_up = {path.stem for path in (out / "shards").glob("*.json") if '"CRASHED"' in path.read_text()}
    found = {
        name: digest
        for name, digest in tiny.tree(out).items()
        if name.startswith(("shards/", "preview/")) and Path(name).name.partition(".")[0] not in given_up
    }
    assert found.items() <= expected.items()


def assert_completes(run: Run, expected: dict[str, str]) -> None:
    """Without a word, with the same bytes, and with nobody left behind."""
    assert run.finish() == (EXIT_PARTIAL, "")
    run.assert_gone()
    assert tiny.tree(run.out) == expected


SmallDisk = Callable[[str], Path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
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
