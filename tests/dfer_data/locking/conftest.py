"""Locks of small prepared folders, and what a rebuild from one gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dfer_data.locking.make_lock import lock
from dfer_data.preparation.run import prepare
from dfer_data.preparation.summary import Summary
from tests.dfer_data.tiny import Prepared, tree

Rebuild = Callable[..., Summary]


@pytest.fixture(scope="session")
def lock_file(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lock of `prepared`: five clips with faces, one of them partial, and two failures."""
    path = tmp_path_factory.mktemp("lock") / "faces.dferlock"
    lock(prepared.out, path)
    return path


def rebuild(lock_path: Path, source: Path, out: Path, **settings: Any) -> Summary:
    """Rebuild a dataset of the adapter `folder` in this process."""
    options: dict[str, Any] = {"engine": "inline", **settings}
    return prepare("folder", from_lock=lock_path, source=source, out=out, **options)


def pictures_of(out: Path) -> dict[str, str]:
    """Return the hashes of all files that a rebuild must make equal to the original's."""
    return {name: sha256 for name, sha256 in tree(out).items() if name not in ("README.md", "rebuilt.json")}
