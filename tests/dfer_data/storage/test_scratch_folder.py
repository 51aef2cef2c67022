"""Folders for unfinished files: what a killed process leaves is removed, what a running one uses is not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dfer_data.storage.scratch_folder import scratch_folder

HOLD = """
import sys
from pathlib import Path
from dfer_data.storage.scratch_folder import scratch_folder
with scratch_folder(Path(sys.argv[1]), "x") as folder:
    (folder / "unfinished").write_bytes(b"1")
    print(folder, flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_it_is_deleted_after_the_block_also_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_folder(tmp_path, "x") as folder:
            assert folder.name.startswith(".dfer-x-")
            assert folder.stat().st_mode & 0o077 == 0
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert names(tmp_path) == []


def test_the_folder_of_a_killed_process_is_deleted_by_the_next_and_that_of_a_running_one_is_not(tmp_path: Path) -> None:
    line = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with scratch_folder(tmp_path, "x") as own, scratch_folder(tmp_path, "x"):
            assert own.is_dir()
            assert (held / "unfinished").is_file()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (held / "unfinished").is_file()
    with scratch_folder(tmp_path, "other"):
        assert held.is_dir()
    with scratch_folder(tmp_path, "x"):
        assert not held.exists()
    assert names(tmp_path) == []


def test_a_kill_while_a_folder_is_deleted_leaves_its_lock_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def kill(*args: object, **options: object) -> None:
        raise KilledError

    def die_deleting() -> None:
        with scratch_folder(tmp_path, "x") as folder:
            (folder / "unfinished").write_bytes(b"1")
            (folder / "below").mkdir()
            monkeypatch.setattr(os, "rmdir", kill)

    with pytest.raises(KilledError):
        die_deleting()
    (left,) = tmp_path.iterdir()
    assert ".held" in names(left)
    monkeypatch.undo()
    with scratch_folder(tmp_path, "x"):
        assert not left.exists()
    assert names(tmp_path) == []


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / ".dfer-x-notes"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with scratch_folder(tmp_path, "x"):
        pass
    assert (other / "notes.txt").read_text() == "mine"
