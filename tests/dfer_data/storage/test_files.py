from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from dfer_data.errors import LockedError, UsageError
from dfer_data.storage import files
from dfer_data.storage.files import atomic_file, place_of, refuse_unwritable, sync_folder, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"before")
    with atomic_file(path) as file:
        file.write(b"after")
        file.flush()
        assert path.read_bytes() == b"before"
    assert path.read_bytes() == b"after"
    write_atomically(path, b"last", work=tmp_path)
    assert path.read_bytes() == b"last"
    assert names(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ValueError(), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"before")

    def write_half() -> None:
        with atomic_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["a.csv"]


def test_two_writers_of_one_file_take_turns_and_mix_no_byte(tmp_path: Path) -> None:
    path, has_begun, seen = tmp_path / "table.csv", threading.Event(), list[bytes]()

    def write_first() -> None:
        with atomic_file(path) as file:
            file.write(b"first" * 1000)
            has_begun.set()
            time.sleep(0.2)
        seen.append(path.read_bytes())

    first = threading.Thread(target=write_first)
    first.start()
    has_begun.wait()
    write_atomically(path, b"second" * 1000)
    first.join()
    assert path.read_bytes() == b"second" * 1000
    assert seen in ([b"first" * 1000], [b"second" * 1000])
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_a_writer_that_does_not_end_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_WAIT_SECONDS", 0.1)
    with atomic_file(tmp_path / "a") as file:
        file.write(b"first")
        with pytest.raises(LockedError, match=r"another process has been writing .*a\.part for 0 s; does it hang\?"):
            write_atomically(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


def test_what_a_killed_writer_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(b"much longer than what follows")
    write_atomically(tmp_path / "a", b"short")
    assert (tmp_path / "a").read_bytes() == b"short"
    assert not (tmp_path / "a.part").exists()


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127 + "x")
    write_atomically(path, b"content")
    assert path.read_bytes() == b"content"


def test_a_folder_that_takes_no_file_is_refused(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path)
    assert names(tmp_path) == []
    with pytest.raises(UsageError, match=r"cannot write into .*none: .*name another folder"):
        refuse_unwritable(tmp_path / "none")


def test_folders_are_not_synced_where_none_can_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where opening a folder fails for lack of permission."""

    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        sync_folder(tmp_path)
    monkeypatch.delattr(os, "O_DIRECTORY")
    sync_folder(tmp_path)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ("prepared/dfew", Path("prepared/dfew")),
        (Path("a b"), Path("a b")),
        ("file:///a%20b/50%25", Path("/a b/50%")),
        ("FILE://localhost/a b", Path("/a b")),
        ("s3://bucket/a%20b", "s3://bucket/a%20b"),
    ],
)
def test_a_file_url_is_a_path_and_a_url_of_a_store_is_kept(given: Path | str, place: Path | str) -> None:
    assert place_of(given) == place


@pytest.mark.parametrize("url", ["file://prepared/dfew", "file://prepared", "file://"])
def test_a_file_url_of_no_folder_here_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=f"^{url} names no folder of this machine: write file:///FOLDER"):
        place_of(url)
