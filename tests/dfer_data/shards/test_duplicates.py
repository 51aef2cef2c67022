"""Videos with the same bytes under two labels, or in train and test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from dfer_cli.main import main
from dfer_data.config import Request, Store
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.shards.duplicates import find_duplicates
from dfer_data.shards.reader import ShardReader
from lstpnet.training.experiment import make_experiment
from tests.dfer_data.tiny import pictures, real_pictures, write_jpegs, write_video
from tests.lstpnet.conftest import quick

ROWS = [
    ("a", "a", "1", "happy"),
    ("b", "b", "1", "sad"),
    ("c#0000", "c", "2", "sad"),
    ("c#0001", "c", "2", "sad"),
    ("d", "d", "3", "sad"),
    ("e", "e", "3", "sad"),
    ("f", "f", "", "sad"),
    ("g", "g", "", "happy"),
    ("h", "h", "3", None),
]
SPLITS = {"1": {"a": "train", "b": "train", "d": "train", "e": "test", "h": "test"}, "2": {"a": "train", "d": "test"}}


def parquet(folder: Path) -> Path:
    path = folder / "clips.parquet"
    table = pd.DataFrame(ROWS, columns=["clip_id", "source_clip_id", "source_sha256", "label"])
    table["shard"] = table["row"] = pd.array(
        [0 if sha256 else None for sha256 in table["source_sha256"]], dtype="Int64"
    )
    table.to_parquet(path)
    return path


def no_shard(number: int) -> ShardReader:
    raise AssertionError("clips with the hash of a file need no shard")


def test_pairs_of_labels_and_of_splits(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    duplicates = find_duplicates(path, SPLITS, open_shard=no_shard)
    assert duplicates.under_two_labels == (("a", "b"),)
    assert duplicates.in_train_and_test == {"1": (("e", "d"), ("h", "d"))}
    assert duplicates.note == (
        "videos with the same bytes: 1 under two labels (a and b), 2 test clips of fold 1 also in train (e and d...); "
        "keep one of each"
    )
    assert find_duplicates(path.read_bytes(), SPLITS, open_shard=no_shard) == duplicates
    assert find_duplicates(path, {}, open_shard=no_shard).in_train_and_test == {}


def test_datasets_without_hashes_have_none(tmp_path: Path) -> None:
    pd.DataFrame({"clip_id": ["a"], "label": ["x"]}).to_parquet(tmp_path / "clips.parquet")
    assert find_duplicates(tmp_path / "clips.parquet", SPLITS, open_shard=no_shard).note == ""


def test_prepare_verify_and_the_protocol_name_them(
    tmp_path: Path, real_videos: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    frames = real_pictures(real_videos["single_face.mp4"], stop=6)
    for index, name in enumerate(("train/happy/a.mp4", "train/sad/b.mp4", "test/happy/c.mp4", "test/sad/d.mp4")):
        write_video(tmp_path / "source" / name, frames[index : index + 3])
    shutil.copy(tmp_path / "source/train/happy/a.mp4", tmp_path / "source/train/sad/a_copy.mp4")
    shutil.copy(tmp_path / "source/train/sad/b.mp4", tmp_path / "source/test/sad/b.mp4")
    out = tmp_path / "out"
    resolved = resolve_request(Request(dataset="folder", source=tmp_path / "source", det_size_px=160))
    note = (
        "videos with the same bytes: 1 under two labels (train/happy/a.mp4 and train/sad/a_copy.mp4), "
        "1 test clip of fold 1 also in train (test/sad/b.mp4 and train/sad/b.mp4); keep one of each"
    )
    assert run_preparation(resolved, out, num_workers=0).notes == (note,)
    assert verify(out).notes == (note,)
    assert main(["verify", str(out)]) == 0
    assert f"note: {note}\n" in capsys.readouterr().out
    protocol = make_experiment(out, quick(), fold=1, seed=0).protocol()
    assert "; 1 test clips have the bytes of a train clip; 1 videos are also under another label; " in protocol
    assert set(open_dataset(out).clips["status"]) == {"ok"}


@pytest.mark.parametrize("store", ["frames", "clips16"])
def test_crops_with_the_same_frames_are_named_too(tmp_path: Path, store: Store) -> None:
    images = pictures(8)
    for clip, start in (
        ("train/happy/1", 0),
        ("train/sad/2", 1),
        ("test/happy/3", 2),
        ("test/happy/4", 0),
        ("test/sad/5", 0),
    ):
        write_jpegs(tmp_path / "source" / clip, images[start : start + 4], names=[f"{index}.jpg" for index in range(4)])
    request = Request(dataset="folder", source=tmp_path / "source", detector="none", store=store)
    assert run_preparation(resolve_request(request), tmp_path / "out", num_workers=0).notes == (
        "videos with the same bytes: 1 under two labels (test/happy/4 and test/sad/5), "
        "2 test clips of fold 1 also in train (test/happy/4 and train/happy/1...); keep one of each",
    )
    assert len(verify(tmp_path / "out").notes) == 1


def test_a_dataset_without_them_says_nothing(crops: Path) -> None:
    assert verify(crops).notes == ()
    assert "bytes of a train clip" not in make_experiment(crops, quick(), fold=3, seed=0).protocol()
