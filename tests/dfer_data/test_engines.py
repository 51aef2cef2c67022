from __future__ import annotations

import errno
import os
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from dfer_data import engines
from dfer_data.engines import Job, run_processes
from dfer_data.errors import DferError, UsageError, WorkerError
from dfer_data.task import ShardTask
from tests.dfer_data.tiny import CONFIG

TASKS = [ShardTask(0, ()), ShardTask(1, ())]

_real_work = engines._work


def run(folder: Path) -> None:
    job = Job(folder, folder, CONFIG, folder / "garbage.onnx")
    (folder / "garbage.onnx").write_bytes(b"garbage")
    run_processes(TASKS, job, num_workers=1, on_event=lambda event: None)


def dies(connection: Connection, job: Job) -> None:
    os._exit(7)


def fails_unexpectedly(connection: Connection, job: Job) -> None:
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("out of luck")

    engines.run_inline = broken
    _real_work(connection, job)


def fills_the_disk(connection: Connection, job: Job) -> None:
    def broken(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/else")

    engines.run_inline = broken
    _real_work(connection, job)


def test_a_usage_error_in_a_worker_stays_one(tmp_path: Path) -> None:
    """Else a wrong model file would leave with 2 from one process and with 1 from several."""
    with pytest.raises(UsageError, match=r"garbage\.onnx is not a RetinaFace ONNX graph") as caught:
        run(tmp_path)
    assert any("Traceback" in note for note in caught.value.__notes__)


def test_a_worker_that_dies_at_once_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_work", dies)
    with pytest.raises(WorkerError, match=r"worker process \d+ died \(exit code 7;"):
        run(tmp_path)


def test_an_unexpected_error_in_a_worker_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_work", fails_unexpectedly)
    with pytest.raises(DferError, match=r"RuntimeError: out of luck \(unexpected, in a worker process\)"):
        run(tmp_path)


def test_a_full_disk_in_a_worker_stays_an_oserror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_work", fills_the_disk)
    with pytest.raises(OSError, match="No space left on device") as caught:
        run(tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_nothing_to_do_starts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_work", dies)
    run_processes([], Job(tmp_path, tmp_path, CONFIG, None), num_workers=2, on_event=lambda event: None)
