"""Who holds a lock, asked without taking it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from dfer_data.errors import LockedError
from dfer_data.storage.folder import FolderTarget
from dfer_data.storage.folder_lock import hold_folder, hold_lock, holder_of


def test_the_holder_is_named_while_it_holds_the_lock(tmp_path: Path) -> None:
    place = FolderTarget(tmp_path)
    assert place.holders() == ()
    with hold_folder(tmp_path, task_index=3), hold_folder(tmp_path, task_index=5):
        (holder,) = place.holders()  # one process, with two locks
        assert holder.startswith(f"process {os.getpid()} on ")
    assert place.holders() == ()


def test_a_killed_holder_is_none_and_leaves_the_lock_free(tmp_path: Path) -> None:
    code = "import os, signal; from pathlib import Path; from dfer_data.storage.folder_lock import hold_folder\n"
    code += f"with hold_folder(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / ".lock.json").is_file()  # it still names the process
    assert holder_of(tmp_path / ".lock") is None
    with hold_folder(tmp_path):
        pass


def test_the_lock_is_given_back_where_the_holders_file_cannot_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, missing_ok: bool = False) -> None:
        raise OSError(f"{path.name} is on a disk that is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fails)
        with pytest.raises(OSError, match="gone"), hold_folder(tmp_path):
            pass
    with hold_folder(tmp_path):
        pass


def test_a_lock_without_a_named_holder_is_not_even_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lock").touch()

    def refuse(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(filelock, "FileLock", refuse)
    assert holder_of(tmp_path / ".lock") is None


def test_a_lock_that_cannot_be_tried_is_not_called_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden:
        def __init__(self, path: Path) -> None:
            pass

        def acquire(self, *, timeout: float) -> None:
            raise PermissionError(13, "Permission denied")

    (tmp_path / ".lock").touch()
    (tmp_path / ".lock.json").write_text('{"host": "node", "pid": 12}')
    monkeypatch.setattr(filelock, "FileLock", Forbidden)
    assert holder_of(tmp_path / ".lock") == "process 12 on node (whether it is still running cannot be tested here)"


def test_a_second_holder_gets_the_name_of_the_first(tmp_path: Path) -> None:
    with (
        hold_lock(tmp_path / "lock", in_use=lambda holder: f"taken by {holder}"),
        pytest.raises(LockedError, match=rf"^taken by process {os.getpid()} on "),
        hold_lock(tmp_path / "lock", in_use=lambda holder: f"taken by {holder}", timeout_seconds=0),
    ):
        pass
