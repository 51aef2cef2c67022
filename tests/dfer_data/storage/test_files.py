from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dfer_data.errors import UsageError
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
