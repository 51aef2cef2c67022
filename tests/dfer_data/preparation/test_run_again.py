from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import filelock
import pytest

from dfer_data.config import Request
from dfer_data.errors import ConfigMismatchError, LockedError, UsageError
from dfer_data.inspection.verify import verify
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from tests.dfer_data.tiny import Prepared, tree


def again(prepared: Prepared, out: Path, **changes: Any) -> None:
    request = Request(**{"dataset": "folder", "source": prepared.source, "det_size_px": 160, **changes})
    run_preparation(resolve_request(request), out, num_workers=0)


def test_a_second_run_remakes_nothing(prepared: Prepared, prepared_copy: Path) -> None:
    wanted = tree(prepared_copy)
    before = {
        path: path.stat().st_mtime_ns for folder in ("shards", "preview") for path in (prepared_copy / folder).iterdir()
    }
    summary = run_preparation(prepared.resolved, prepared_copy, num_workers=0)
    assert summary.num_shards_made == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tree(prepared_copy) == wanted


SMALL_FILES = ["shards/00002.json", "dataset.json", "clips.parquet"]
LARGE_FILES = ["shards/00002.safetensors", "preview/00002.jpg"]  # a second run looks at their sizes alone


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *((name, fault) for name in SMALL_FILES for fault in ("missing", "cut", "changed")),
        *((name, fault) for name in LARGE_FILES for fault in ("missing", "cut")),
    ],
)
def test_a_second_run_makes_whole_what_is_gone(prepared: Prepared, prepared_copy: Path, name: str, fault: str) -> None:
    """A damaged sidecar above all: taken over, its wrong facts would get a right hash in dataset.json."""
    path = prepared_copy / name
    data = path.read_bytes()
    if fault == "missing":
        path.unlink()
    elif fault == "cut":
        path.write_bytes(data[:-3])
    else:
        changed = data.replace(b'"jpeg_quality":95', b'"jpeg_quality":94').replace(
            b'"num_frames":20', b'"num_frames":21'
        )
        path.write_bytes(changed if name.endswith(".json") else data[::-1])
        assert path.read_bytes() != data
    run_preparation(prepared.resolved, prepared_copy, num_workers=0)
    assert tree(prepared_copy) == tree(prepared.out)
    assert not verify(prepared_copy, deep=True).damages


@pytest.mark.parametrize(
    "left_behind", [[], [".lock"], [".lock.json", ".work/plan-abc", "shards/", "folds/", "preview/"]]
)
def test_a_start_that_was_stopped_before_its_plan_is_taken_up(
    prepared: Prepared, tmp_path: Path, left_behind: list[str]
) -> None:
    out = tmp_path / "out"
    for name in left_behind:
        folder = out / name if name.endswith("/") else (out / name).parent
        folder.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            (out / name).write_text("{}")
    run_preparation(prepared.resolved, out, num_workers=0)
    assert tree(out) == tree(prepared.out)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"jpeg_quality": 90}, "jpeg_quality: 95 there, 90 now"),
        ({"det_size_px": 320}, "det_size_px: 160 there, 320 now"),
        ({"store": "clips16"}, "store: 'frames' there, 'clips16' now"),
        ({"clip_seconds": 1.0}, "clip_seconds: 60.0 there, 1.0 now"),
        ({"partial": "drop"}, "partial: 'keep' there, 'drop' now"),
        ({"detector": "dlib"}, "detector: 'retinaface' there, 'dlib' now"),
    ],
)
def test_another_configuration_is_refused_and_named(
    prepared: Prepared, prepared_copy: Path, changes: dict[str, Any], field: str
) -> None:
    wanted = tree(prepared_copy)
    with pytest.raises(ConfigMismatchError) as caught:
        again(prepared, prepared_copy, **changes)
    assert field in str(caught.value)
    assert {name: digest for name, digest in tree(prepared_copy).items() if not name.startswith(".work")} == wanted


@pytest.mark.parametrize("change", ["added", "removed", "changed"])
def test_other_videos_are_refused(prepared: Prepared, prepared_copy: Path, tmp_path: Path, change: str) -> None:
    source = Path(shutil.copytree(prepared.source, tmp_path / "source"))
    if change == "added":
        (source / "happy" / "new.mp4").write_bytes(b"x")
    elif change == "removed":
        (source / "happy" / "single.mp4").unlink()
    else:
        (source / "sad" / "junk.mp4").write_bytes(b"another page")
    with pytest.raises(ConfigMismatchError, match=r"source videos: \d new or changed, \d gone or changed"):
        again(prepared, prepared_copy, source=source)


def test_a_folder_of_somebody_else_is_left_alone(prepared: Prepared, tmp_path: Path) -> None:
    for name in ("thesis.tex", "shards/mine.txt"):
        out = tmp_path / name.replace("/", "-")
        (out / name).parent.mkdir(parents=True)
        (out / name).write_text("years of work")
        before = sorted(out.rglob("*"))
        with pytest.raises(UsageError, match="exists and is not a prepared dataset; choose another --out"):
            run_preparation(prepared.resolved, out, num_workers=0)
        assert sorted(out.rglob("*")) == before
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file; choose another --out"):
        run_preparation(prepared.resolved, tmp_path / "file", num_workers=0)


def test_a_locked_folder_is_refused(prepared: Prepared, prepared_copy: Path) -> None:
    (prepared_copy / ".lock.json").write_text('{"host": "alpha", "pid": 4321}')
    with (
        filelock.FileLock(prepared_copy / ".lock"),
        pytest.raises(LockedError, match="in use by process 4321 on alpha"),
    ):
        run_preparation(prepared.resolved, prepared_copy, num_workers=0)
    run_preparation(prepared.resolved, prepared_copy, num_workers=0)
    assert not (prepared_copy / ".lock.json").exists()
