"""The lock of a URL: who holds it, when it is taken over, and the runs that lost it."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

import pytest

from dfer_cli.main import main
from dfer_data.errors import LockedError
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.preparation.run_settings import TaskShare
from dfer_data.storage import url_lock
from dfer_data.storage.target import target_at
from dfer_data.storage.url_files import UrlFiles
from dfer_data.storage.url_lock import Holder
from tests.buckets import Bucket
from tests.dfer_data import tiny
from tests.dfer_data.storage.bucket_runs import bucket, folder, make, resolved, source

__all__ = ["bucket", "folder", "resolved", "source"]


ELSEWHERE = Holder("alpha", 4321, "another machine", 1.0, "token")


def lock(bucket: Bucket, holder: Holder, *, name: str = ".lock.json") -> None:
    bucket.put(name, json.dumps(asdict(holder)).encode())


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Locks beat and go stale quickly."""
    monkeypatch.setattr(url_lock, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(url_lock, "STALE_SECONDS", 1.0)
    monkeypatch.setattr(url_lock, "_POLL_SECONDS", 0.1)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("name", [".lock.json", ".lock-task-0003.json"])
def test_a_lock_that_nobody_renews_is_taken_over(
    source: Path, bucket: Bucket, folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    lock(bucket, ELSEWHERE, name=name)
    line = ["prepare", "dfew", "--source", str(source), "--detector", "none", "--out", bucket.url]
    assert main([*line, "--engine", "inline"]) == 3
    said = "note: locked by process 4321 on alpha; waiting up to a minute to see whether it is still running\n"
    assert capsys.readouterr().err == said
    assert bucket.tree() == tiny.tree(folder)
    assert [name for name in bucket.names() if name.startswith(".lock")] == []


def test_holders_are_named_without_waiting_for_a_sign_of_life(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    place = target_at(bucket.url)
    assert place.holders() == ()
    with place.hold(task_index=None, on_wait=lambda holder: None):
        (holder,) = place.holders()
        assert holder.startswith(f"process {os.getpid()} on ")
        monkeypatch.setattr(url_lock, "_process_start", lambda pid: None)
        assert place.holders() == ()  # its process is gone
    lock(bucket, ELSEWHERE, name=".lock-task-0003.json")
    assert place.holders() == ("process 4321 on alpha (whether it is still running cannot be tested here)",)


@pytest.mark.usefixtures("hasty")
def test_a_lock_that_is_renewed_holds(resolved: ResolvedRequest, bucket: Bucket) -> None:
    """A run on another machine, which this one knows by its signs of life alone; no clock is compared."""
    lock(bucket, ELSEWHERE)

    def renew(holder: Holder) -> None:
        lock(bucket, replace(holder, num_beats=1))

    before = bucket.names()
    for share in (None, TaskShare(0, 2)):
        lock(bucket, ELSEWHERE)
        with pytest.raises(LockedError, match=rf"{bucket.url} is in use by process 4321 on alpha; wait for it"):
            make(resolved, bucket, share=share, on_wait=renew)
        assert bucket.names() == before


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("thief", [ELSEWHERE, None], ids=["taken", "removed"])
def test_a_run_that_lost_its_lock_ends(
    resolved: ResolvedRequest, bucket: Bucket, folder: Path, thief: Holder | None
) -> None:
    def lose(event: object) -> None:
        if thief is not None:
            lock(bucket, thief)
        else:
            bucket.remove(".lock.json")
        time.sleep(0.3)

    holder = "process 4321 on alpha" if thief else "nobody"
    with pytest.raises(LockedError, match=f"the lock of {bucket.url} is now held by {holder}: .*run the same"):
        make(resolved, bucket, on_event=lose)
    assert (".lock.json" in bucket.names()) == (thief is not None)  # another's lock is left to it
    assert "dataset.json" not in bucket.names()
    make(resolved, bucket)
    assert bucket.tree() == tiny.tree(folder)


def test_a_worker_puts_nothing_once_the_lock_is_lost(bucket: Bucket) -> None:
    target = target_at(bucket.url)
    with target.hold(task_index=None, on_wait=lambda holder: None):
        worker = pickle.loads(pickle.dumps(target))
        worker.confirm()
        lock(bucket, ELSEWHERE)
        with pytest.raises(LockedError, match=f"the lock of {bucket.url} is now held by process 4321 on alpha"):
            worker.confirm()


def test_a_lock_of_a_process_of_this_machine_holds_while_it_lives(
    resolved: ResolvedRequest, bucket: Bucket, folder: Path
) -> None:
    """A lock of a stalled process is kept; that of a process that has ended is taken over at once."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    start = url_lock._process_start(process.pid)
    assert start is not None
    lock(bucket, Holder(socket.gethostname(), process.pid, url_lock._machine(), start, "token"))
    began = time.monotonic()
    with pytest.raises(LockedError, match=f"in use by process {process.pid} on {socket.gethostname()}"):
        make(resolved, bucket)
    process.communicate(b"\n")
    lock(bucket, Holder(socket.gethostname(), process.pid, url_lock._machine(), start, "token"))
    make(resolved, bucket)
    lock(bucket, Holder(socket.gethostname(), os.getpid(), url_lock._machine(), 1.0, "token"))  # a number used again
    make(resolved, bucket)
    assert time.monotonic() - began < url_lock.STALE_SECONDS / 2
    assert bucket.tree() == tiny.tree(folder)


class Store:
    """Returns these contents of the lock, the last one again and again."""

    def __init__(self, *contents: bytes) -> None:
        self.contents = list(contents)

    def read(self, name: str) -> bytes:
        return self.contents.pop(0) if len(self.contents) > 1 else self.contents[0]


@pytest.mark.parametrize(("contents", "is_alive"), [((b"a",), False), ((b"a", b"b"), True)])
def test_a_lock_of_this_machine_is_watched(
    monkeypatch: pytest.MonkeyPatch, contents: tuple[bytes, ...], is_alive: bool
) -> None:
    """As on Windows and macOS, where the process of a lock cannot be looked up."""

    def refuse(path: Path, **_: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    monkeypatch.setattr(url_lock, "STALE_SECONDS", 0.1)
    monkeypatch.setattr(url_lock, "_POLL_SECONDS", 0.01)
    holder = url_lock._this_process()
    assert (holder.machine, holder.process_start) == ("", 0.0)
    watched: list[Holder] = []
    files = cast(UrlFiles, Store(*contents))
    assert url_lock._is_alive(files, ".lock.json", b"a", holder, on_wait=watched.append) == is_alive
    assert watched == [holder]
