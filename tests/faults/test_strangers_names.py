"""Files with odd names: what is made of them, and written about them, names each of them exactly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

import dfer_data as dd
from dfer_data.config import Folding, Request
from dfer_data.errors import AnnotationError
from dfer_data.inspection.verify import verify
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.sources.registry import adapter
from lstpnet.reporting.external_predictions import read_given_predictions
from tests.dfer_data.tiny import pictures, write_jpegs

NAMES = ('"a"', "a", "Smith, John take 1", " lead", "trail ", "=1+1", "@x", "-y", "'=q", "#h", "ü", "a\tb", "clip#0001")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("names")
    for number, name in enumerate(NAMES):
        write_jpegs(root / ("sad" if number % 2 else "=happy") / name, pictures(2, width_px=32 + number), names="12")
    for path in root.rglob("[12]"):
        path.rename(path.with_suffix(".jpg"))
    return root


@pytest.fixture(scope="module")
def folder(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "out"
    folding = Folding(num_folds=2, group_by="clip")
    request = Request(dataset="folder", source=source, detector="none", folding=folding)
    run_preparation(resolve_request(request), out, num_workers=0)
    return out


def test_folds_name_every_clip(folder: Path) -> None:
    assert verify(folder, deep=True).damages == ()
    data = dd.open_dataset(folder)
    for fold in ("1", "2"):
        splits = data.fold(fold)
        assert sorted(splits) == data.clips["clip_id"].tolist()
        assert len(splits) == len(NAMES)
    index = data.fold_index("1", "test")
    assert index["clip_id"].to_pylist() == [clip_id for clip_id, split in data.fold("1").items() if split == "test"]


def test_a_folder_of_the_first_release_with_such_names_is_refused_or_read_right(folder: Path, tmp_path: Path) -> None:
    """Written without quotes, `"a"` next to `a` put a train clip with another label into test."""
    from tests.faults.sealed_anew import put

    copy = Path(shutil.copytree(folder, tmp_path / "out"))
    expected = dd.open_dataset(folder).fold("1")
    raw = "clip_id,split\n" + "".join(f"{clip_id},{split}\n" for clip_id, split in expected.items())
    put(copy, "folds/fold-1.csv", raw.encode())
    assert dd.open_dataset(copy).fold("1") == expected


def test_predictions_of_every_clip_are_found(folder: Path, tmp_path: Path) -> None:
    data = dd.open_dataset(folder)
    test_ids = [clip_id for clip_id, split in data.fold("1").items() if split == "test"]
    table = pd.DataFrame({"clip_id": test_ids, "prediction": ["=happy"] * len(test_ids)})
    table.to_csv(tmp_path / "predictions.csv", index=False)
    (given,) = read_given_predictions(tmp_path / "predictions.csv", data, fold=1)
    assert (given.scored.clip_ids, given.num_missing) == (tuple(test_ids), 0)


def test_a_table_names_files_with_commas_and_quotes(source: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(source, tmp_path / "source"))
    rows = [{"path": f"{path.parent.name}/{path.name}", "label": "sad"} for path in sorted(root.glob("*/*"))]
    pd.DataFrame(rows).to_csv(root / "mine.csv", index=False)
    listing = adapter("csv").list(root, layout="frames")
    assert {video.path for video in listing.videos} == {row["path"] for row in rows}
    lines = [f'"{row["path"].replace(chr(34), chr(34) * 2)}",0' for row in rows]
    (root / "mine.csv").unlink()
    for name in ("test_1.csv", "train_1.csv"):
        (root / name).write_text("\n".join(lines[:4] if name < "tr" else lines[4:]) + "\n")
    (root / "classes.txt").write_text("sad\n")
    listing = adapter("lists").list(root, layout="frames")
    assert {video.path for video in listing.videos} == {row["path"] for row in rows}


@pytest.mark.parametrize(
    "text", ['path,label\n"a,sad\n', "path,label\n" + "x" * 200_000 + ",sad\n", "path,label,fold\na,sad," + "9" * 5000]
)
def test_a_table_that_is_no_csv_is_a_fault(source: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(AnnotationError, match=r"mine\.csv:?"):
        adapter("csv").list(tmp_path, layout="frames")


def test_a_number_that_is_too_long_is_a_fault(tmp_path: Path) -> None:
    for name in ("train", "test"):
        path = tmp_path / f"EmoLabel_DataSplit/{name}(single-labeled)/set_1.csv"
        path.parent.mkdir(parents=True)
        path.write_text("video_name,label\n" + "9" * 5000 + ",1\n")
    with pytest.raises(AnnotationError, match=r"set_1\.csv:2: has over 4300 characters"):
        adapter("dfew").list(tmp_path, layout="videos")
