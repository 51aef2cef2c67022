"""Exports as a whole: folders that may be used, interruption, repair, and equal bytes."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from dfer_data import export, open_dataset
from dfer_data.errors import ConfigMismatchError, UsageError
from dfer_data.exchange.run import plan_export
from dfer_data.exchange.settings import FORMATS, ExportSettings
from tests.crops import MISSING, write_crops
from tests.dfer_data.crop_source import source_of
from tests.dfer_data.exchange.conftest import Exported

SOUND = ("hicmae", "wav")


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in (*SOUND, "videofolder")])
def test_an_export_made_twice_has_the_same_bytes_and_standard_sums(
    crops: Path, exported: Exported, tmp_path: Path, name: str
) -> None:
    export(crops, format=name, out=tmp_path / "again")
    assert contents(tmp_path / "again") == contents(exported(name))
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path / "again", check=True)


@pytest.mark.parametrize("name", ["former-dfer", "webdataset", "parquet"])
def test_the_plan_says_how_much_there_will_be(crops: Path, exported: Exported, tmp_path: Path, name: str) -> None:
    plan = plan_export(crops, ExportSettings(format=name), tmp_path / "out")
    files = contents(exported(name))
    assert plan.num_files == len(files)
    assert not (tmp_path / "out").exists()
    media = sum(len(files[name]) for name in files if name.endswith((".jpg", ".tar", ".parquet")))
    assert plan.num_bytes == pytest.approx(media, rel=0.2 if name == "parquet" else 1e-9)


def test_the_same_command_repairs_a_finished_export(crops: Path, exported: Exported, tmp_path: Path) -> None:
    out = Path(shutil.copytree(exported("s2d"), tmp_path / "out"))
    (out / "clips/00001/00002.jpg").write_bytes(b"damaged")
    (out / "train_set_1.csv").unlink()
    export(crops, format="s2d", out=out)
    assert contents(out) == contents(exported("s2d"))


def test_folders_that_hold_something_else_are_refused(crops: Path, exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        export(crops, format="s2d", out=tmp_path / "full")
    with pytest.raises(UsageError, match="is a file"):
        export(crops, format="s2d", out=tmp_path / "full/mine.txt")
    with pytest.raises(UsageError, match="is in the prepared dataset"):
        export(crops, format="s2d", out=crops / "s2d")
    with pytest.raises(ConfigMismatchError, match=r"holds another export \(frames all there, 16 now\)"):
        export(crops, format="s2d", frames=16, out=exported("s2d"))
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == ["mine.txt"]


def test_what_lists_cannot_hold_is_refused_or_skipped(tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    source_of(tmp_path / "source", *(f"happy/{name}" for name in "abcd")).prepare(out)
    with pytest.raises(
        UsageError, match=r"has no official folds, .*; make some: `dfer folds .* --folds 5 --group-by clip`"
    ):
        export(out, format="former-dfer", out=tmp_path / "out")
    assert export(out, format="webdataset", out=tmp_path / "shards").num_clips == 4


def test_every_export_carries_terms_card_labels_and_clips(crops: Path, exported: Exported) -> None:
    for name in ("former-dfer", "parquet"):
        root = exported(name)
        assert "the owners' agreement: academic research, no redistribution" in (root / "README.md").read_text()
        assert "2 clips of these folds have no face" in (root / "README.md").read_text()
        assert (root / "DATASET.md").read_text() == (crops / "README.md").read_text()
        rows = (root / "clips.csv").read_text().splitlines()
        assert f"{MISSING[0]:05d},,,,0,,,,,,no face" in rows
        assert len(rows) == 1 + 70
        document = json.loads((root / "export.json").read_text())
        assert document["request"]["dataset_sha256"] == open_dataset(crops).document["sha256"]
        assert document["sums_sha256"] == hashlib.sha256((root / "SHA256SUMS").read_bytes()).hexdigest()


def test_a_dataset_of_sixteen_baked_frames_is_exported_too(tmp_path: Path) -> None:
    from dfer_data.config import Request
    from dfer_data.preparation.request import resolve_request
    from dfer_data.preparation.run import run_preparation

    source = write_crops(tmp_path / "source", num_clips=7, num_frames=lambda number: 20)
    request = resolve_request(Request(dataset="dfew", source=source, detector="none", store="clips16"))
    run_preparation(request, tmp_path / "baked", num_workers=0)
    summary = export(tmp_path / "baked", format="s2d", out=tmp_path / "out")
    assert (summary.num_clips, summary.num_frames) == (7, 7 * 16)
