from __future__ import annotations

import errno
import os
import struct
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from dfer_data.errors import DferError, UsageError, WorkerError
from dfer_data.preparation import tasks
from dfer_data.preparation.run_settings import Limits
from dfer_data.preparation.tasks import ShardTask, VideosUnderWay, Workplace
from dfer_data.preparation.workers import process_worker
from dfer_data.preparation.workers.crew import Event, WorkerLost
from dfer_data.preparation.workers.process_pool import run_processes
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.folder import FolderTarget
from tests.dfer_data.tiny import CONFIG

SHARDS = [ShardTask(number, (SourceVideo(str(number), "a.mp4", 1, None),)) for number in range(2)]

_real_work = process_worker._work


def run(folder: Path, *, shards: list[ShardTask] = SHARDS, events: list[Event] | None = None) -> list[Event]:
    events = [] if events is None else events
    place = Workplace(folder, FolderTarget(folder), folder / ".work", CONFIG, folder / "garbage.onnx")
    (folder / "garbage.onnx").write_bytes(b"garbage")
    run_processes(shards, place, num_workers=2, limits=Limits(), on_event=events.append)
    return events


def dies(connection: Connection, place: Workplace, gpu: int | None) -> None:
    os._exit(7)


def dies_while_speaking(connection: Connection, place: Workplace, gpu: int | None) -> None:
    os.write(connection.fileno(), struct.pack("!i", 1000) + b"of 1000 bytes, these")
    os._exit(7)


def fails_unexpectedly(connection: Connection, place: Workplace, gpu: int | None) -> None:
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("out of luck")

    tasks.build_detector = broken  # type: ignore[attr-defined]
    _real_work(connection, place, gpu)


def fills_the_disk(connection: Connection, place: Workplace, gpu: int | None) -> None:
    def broken(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere/else")

    tasks.build_detector = broken  # type: ignore[attr-defined]
    _real_work(connection, place, gpu)


def test_a_usage_error_in_a_worker_stays_one(tmp_path: Path) -> None:
    """Else a wrong model file would leave with 2 from one process and with 1 from several."""
    with pytest.raises(UsageError, match=r"garbage\.onnx is not a RetinaFace ONNX graph") as caught:
        run(tmp_path)
    assert any("Traceback" in note for note in caught.value.__notes__)


def test_workers_that_die_at_once_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_worker, "_work", dies)
    events: list[Event] = []
    with pytest.raises(WorkerError, match=r"lost .*: 10 workers; .* its process ended with exit code 7;"):
        run(tmp_path, events=events)
    lost = [event for event in events if isinstance(event, WorkerLost)]
    assert len(lost) == 10
    assert all(isinstance(event, WorkerLost) or event == VideosUnderWay(()) for event in events)
    assert {(event.clip_id, event.code, event.is_final) for event in lost} == {("", "CRASHED", False)}


def test_workers_that_die_in_the_middle_of_a_message_are_lost_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_worker, "_work", dies_while_speaking)
    with pytest.raises(WorkerError, match=r"lost .*: 10 workers; .* its process ended with exit code 7;"):
        run(tmp_path)


def test_an_unexpected_error_in_a_worker_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_worker, "_work", fails_unexpectedly)
    with pytest.raises(DferError, match=r"RuntimeError: out of luck \(unexpected, in a worker process\)"):
        run(tmp_path)


def test_a_full_disk_in_a_worker_stays_an_oserror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_worker, "_work", fills_the_disk)
    with pytest.raises(OSError, match="No space left on device") as caught:
        run(tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_nothing_to_do_starts_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_worker, "_work", dies)
    assert run(tmp_path, shards=[]) == []


def test_impossible_caps_are_refused_all_at_once() -> None:
    with pytest.raises(UsageError, match=r"--max-stall-seconds 0: .*; --max-memory-mb -1: "):
        Limits(max_stall_seconds=0, max_memory_mb=-1)
