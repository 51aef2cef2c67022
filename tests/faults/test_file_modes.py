"""Files have the mode that the umask asks for, also those that appear whole by a rename."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from torch import nn

from dfer_data.storage.files import write_atomically
from dfer_data.storage.folder_lock import hold_folder
from dfer_data.synth.studio import appearing
from lstpnet.checkpoints.checkpoint import save_checkpoint
from lstpnet.training.resume_state import save_state


def _studio(folder: Path) -> None:
    with appearing(folder / "tree") as tree:
        (tree / "a.txt").write_text("a")


def _lock(folder: Path) -> None:
    with hold_folder(folder):
        (folder / ".lock.json").rename(folder / "lock.json")


_WRITERS: dict[str, Callable[[Path], object]] = {
    "a file": lambda folder: write_atomically(folder / "a.json", b"{}", work=folder),
    "a checkpoint": lambda folder: save_checkpoint(nn.Linear(2, 2), folder / "last.safetensors", facts={}),
    "a resume state": lambda folder: save_state(folder / "state.pt", {"epoch": 1}),
    "a rendered tree": _studio,
    "a lock's holder": _lock,
}


@pytest.fixture(params=[0o022, 0o027, 0o002, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.parametrize("name", _WRITERS)
def test_the_umask_decides_who_reads_a_file(name: str, umask: int, tmp_path: Path) -> None:
    _WRITERS[name](tmp_path)
    paths = [path for path in tmp_path.rglob("*") if path.name != ".lock"]  # filelock's own, which holds nothing
    assert paths
    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in paths}
    assert modes == {path.name: oct((0o777 if path.is_dir() else 0o666) & ~umask) for path in paths}
