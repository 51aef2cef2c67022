from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.errors import CorruptDataError
from dfer_data.storage.changeset import NEXT, Changeset, finish_change, is_interrupted
from dfer_data.storage.files import COMMIT_NAME, canonical_json
from dfer_data.storage.folder import FolderTarget
from tests.dfer_data.kills import Killed

OLD = {"a": b"old a", "folds/b": b"old b", "c": b"c", "d": b"d"}
NEW = {"a": b"new a", "folds/b": b"new b", "moved/c": b"c", "e/new": b"e"}


class MortalTarget(FolderTarget):
    """A folder whose writer is killed before its n-th write."""

    def __init__(self, root: Path, *, num_writes: int) -> None:
        super().__init__(root)
        self.num_writes = num_writes

    def _live(self) -> None:
        if self.num_writes == 0:
            raise Killed
        self.num_writes -= 1

    def put(self, name: str, content: bytes) -> None:
        self._live()
        super().put(name, content)

    def move(self, name: str, new_name: str) -> None:
        self._live()
        super().move(name, new_name)

    def remove(self, *names: str) -> None:
        for name in names:
            self._live()
            super().remove(name)

    def remove_folder(self, name: str) -> None:
        self._live()
        super().remove_folder(name)


def folder(root: Path) -> Path:
    for name, content in OLD.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / ".work" / "all").mkdir(parents=True)
    return root


def files(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".work" not in path.parts
    }


def change(out: FolderTarget) -> None:
    changes = Changeset(out)
    changes.put("a", b"new a")
    changes.put("folds/b", b"new b")
    changes.put("e/new", b"e")
    changes.move("c", "moved/c")
    changes.remove("d", "was-never-there")
    changes.commit()


def test_all_files_change_together(tmp_path: Path) -> None:
    out = FolderTarget(folder(tmp_path))
    change(out)
    assert files(tmp_path) == NEW
    assert not is_interrupted(out)
    assert not (tmp_path / NEXT).exists()


def test_a_kill_at_any_write_leaves_the_old_files_or_the_new_ones(tmp_path: Path) -> None:
    outcomes = []
    for num_writes in range(30):
        root = folder(tmp_path / f"{num_writes}")
        try:
            change(MortalTarget(root, num_writes=num_writes))
        except Killed:
            assert finish_change(FolderTarget(root)) in (True, False)
            outcomes.append(files(root))
        else:
            assert files(root) == NEW
            break
    assert len(outcomes) > 10
    assert all(outcome in (OLD, NEW) for outcome in outcomes)
    first_new = outcomes.index(NEW)
    assert all(outcome == OLD for outcome in outcomes[:first_new])
    assert all(outcome == NEW for outcome in outcomes[first_new:])


def test_a_kill_while_a_change_is_finished_leaves_nothing_half_done(tmp_path: Path) -> None:
    for num_writes in range(12):
        root = folder(tmp_path / f"{num_writes}")
        with pytest.raises(Killed):
            change(MortalTarget(root, num_writes=6))
        assert is_interrupted(FolderTarget(root))
        try:
            finish_change(MortalTarget(root, num_writes=num_writes))
        except Killed:
            finish_change(FolderTarget(root))
        assert files(root) == NEW


def test_nothing_to_change_writes_nothing(tmp_path: Path) -> None:
    Changeset(FolderTarget(folder(tmp_path))).commit()
    assert files(tmp_path) == OLD
    assert not (tmp_path / NEXT).exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a\\b", "x/../../y"])
def test_a_list_of_changes_stays_inside(tmp_path: Path, name: str) -> None:
    out = FolderTarget(folder(tmp_path))
    (tmp_path / NEXT).mkdir()
    for content in ({"moves": [[name, "a"]], "removed": []}, {"moves": [], "removed": [name]}):
        (tmp_path / COMMIT_NAME).write_bytes(canonical_json(content))
        with pytest.raises(CorruptDataError, match="outside of the dataset"):
            finish_change(out)
    (tmp_path / COMMIT_NAME).write_bytes(b"nonsense")
    with pytest.raises(CorruptDataError, match="not a list of changes"):
        finish_change(out)
