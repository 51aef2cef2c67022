"""The lock of a URL on systems without /proc; test_url.py tests the others."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from dfer_data.storage import url_lock
from dfer_data.storage.url_files import UrlFiles
from dfer_data.storage.url_lock import Holder


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
