from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dfer_cli._support.predict_files import videos_named
from dfer_data.config import Request
from dfer_data.errors import UsageError
from dfer_data.inspection.verify import verify
from dfer_data.preparation.request import resolve_request
from dfer_data.storage.walk import entries_of, files_below, first_below, matching, paths_below
from lstpnet.finished_runs import find_runs

Forbid = Callable[[Path], None]


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Iterator[Forbid]:
    """Make folders unreadable, also for root, whom permissions do not stop."""
    forbidden: set[Path] = set()
    scandir: Any = os.scandir

    def refusing(path: Any = ".") -> Any:
        if not isinstance(path, int) and Path(os.fsdecode(path)) in forbidden:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)

    def add(folder: Path) -> None:
        forbidden.add(folder)
        if os.geteuid() != 0:
            folder.chmod(0)

    yield add
    for folder in forbidden:
        folder.chmod(0o700)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("happy/a.mp4", "sad/b.mp4", "angry/deep/c.mp4", ".hidden/d.mp4", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    (root / "link").symlink_to(root / "happy")
    return root


def names(root: Path, paths: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_everything_below_a_folder_is_listed_once(tree: Path) -> None:
    assert paths_below(tree) == sorted(tree.rglob("*"))
    assert files_below(tree) == sorted(path for path in tree.rglob("*") if path.is_file())
    assert entries_of(tree) == sorted(tree.iterdir())
    assert paths_below(tree / "none") == paths_below(tree / "notes.txt") == []


@pytest.mark.parametrize(
    "pattern", ["*/*.mp4", "**/*.mp4", "*", "happy/?.mp4", "happy/a.mp4", "[hs]*/*", "none/*", "**/deep/*", "*.mp4"]
)
def test_patterns_match_what_the_shell_matches(tree: Path, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import glob

    expected = {path for path in glob.glob(f"{tree}/{pattern}", recursive=True) if "/link/" not in path}
    assert {str(path) for path in matching(f"{tree}/{pattern}") if "/link/" not in str(path)} == expected
    monkeypatch.chdir(tree)
    relative = {path for path in glob.glob(pattern, recursive=True) if not path.startswith("link/")}
    assert {str(path) for path in matching(pattern) if not str(path).startswith("link/")} == relative


def test_the_first_folders_that_hold_a_file_are_named_for_a_message(tmp_path: Path) -> None:
    assert first_below(tmp_path, "*/x.json") == first_below(tmp_path / "nowhere", "*/x.json") == ""
    for name in "dcba":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.json").touch()
    assert first_below(tmp_path, "*/x.json") == f"{tmp_path}/a, {tmp_path}/b, {tmp_path}/c and 1 more"


def test_all_folders_that_cannot_be_read_are_named_at_once(tree: Path, forbid: Forbid) -> None:
    forbid(tree / "sad")
    forbid(tree / "angry" / "deep")
    with pytest.raises(UsageError, match=r"cannot read 2 folders: .*make them readable") as raised:
        files_below(tree)
    assert "\n" not in str(raised.value)
    for folder in ("sad", "angry/deep"):
        assert f"{tree / folder} (Permission denied)" in str(raised.value)
    with pytest.raises(UsageError, match="deep"):
        matching(f"{tree}/**/*.mp4")


def test_prepare_loses_no_class(tree: Path, forbid: Forbid) -> None:
    forbid(tree / "sad")
    with pytest.raises(UsageError, match=r"cannot read the folder .*/sad \(Permission denied\)"):
        resolve_request(Request(dataset="folder", source=tree))


def test_reports_lose_no_run(tmp_path: Path, forbid: Forbid) -> None:
    folds = ["fold-1", "fold-2", "fold-10"]
    for fold in folds:
        (tmp_path / fold / "seed-0").mkdir(parents=True)
    assert names(tmp_path, find_runs(tmp_path)) == [f"{fold}/seed-0" for fold in folds]
    forbid(tmp_path / "fold-2")
    with pytest.raises(UsageError, match="fold-2"):
        find_runs(tmp_path)


def test_predict_loses_no_video(tree: Path, forbid: Forbid) -> None:
    forbid(tree / "sad")
    for source in (str(tree), f"{tree}/*/*.mp4"):
        with pytest.raises(UsageError, match="sad"):
            videos_named([source])
    assert videos_named([str(tree / "happy")]) == [tree / "happy" / "a.mp4"]


def test_verify_misses_no_extra_file(prepared_copy: Path, forbid: Forbid) -> None:
    (prepared_copy / "extra").mkdir()
    forbid(prepared_copy / "extra")
    with pytest.raises(UsageError, match="extra"):
        verify(prepared_copy)
