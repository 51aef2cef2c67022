from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from safetensors.numpy import load_file

from dfer_data.config import Request
from dfer_data.errors import UsageError
from dfer_data.frame_sampling import baked_frames
from dfer_data.loading.kept_open import read_clip
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.video.resize import resized
from tests.dfer_data.dfew_tree import IDS, LABELS, TESTED, write_splits
from tests.dfer_data.tiny import document, pictures, write_jpegs


@pytest.fixture(scope="module")
def crops_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DFEW's shipped crops: one clip not unzipped, one with a page instead of a picture."""
    root = write_splits(tmp_path_factory.mktemp("dfew"))
    for number, clip_id in enumerate(IDS):
        if clip_id != "00017":
            images = pictures(18 + number, width_px=256, height_px=256)
            names = [f"{index}.jpg" for index in range(1, len(images) + 1)]
            write_jpegs(root / "Clip" / "clip_224x224" / clip_id, images, names=names)
    (root / "Clip" / "clip_224x224" / "00300" / "7.jpg").write_text("<html>")
    return root


@pytest.fixture(scope="module")
def crops_out(crops_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("crops") / "out"
    run_preparation(resolve_request(Request(dataset="dfew", source=crops_tree, detector="none")), out, num_workers=0)
    return out


def test_shipped_crops_are_stored_untouched(crops_tree: Path, crops_out: Path) -> None:
    data = open_dataset(crops_out)
    row = data.clip("02522")
    tensors = load_file(crops_out / "shards" / f"{row['shard']:05d}.safetensors")
    start, stop = tensors["clip_offsets"][row["row"] : row["row"] + 2]
    first, last = tensors["frame_offsets"][start], tensors["frame_offsets"][stop]
    folder = crops_tree / "Clip" / "clip_224x224" / "02522"
    jpegs = [(folder / f"{index}.jpg").read_bytes() for index in range(1, len(list(folder.iterdir())) + 1)]
    assert tensors["jpeg"][first:last].tobytes() == b"".join(jpegs)
    clip = data.read_clip("02522")
    for picture, index in zip(clip, baked_frames(len(jpegs)), strict=True):
        source = simplejpeg.decode_jpeg(jpegs[index])
        assert source.shape == (256, 256, 3)
        np.testing.assert_array_equal(picture, resized(source, size_px=224, rule="auto").transpose(2, 0, 1))
    assert data.read_clip("02522", size_px=256).shape == (16, 3, 256, 256)


def test_failed_clips_stay_in_manifest_and_folds(crops_out: Path) -> None:
    data = open_dataset(crops_out)
    assert data.clips["clip_id"].tolist() == IDS
    failed = data.clips[data.clips["status"] == "failed"]
    assert dict(zip(failed["clip_id"], failed["code"], strict=True)) == {
        "00017": "MISSING_VIDEO",
        "00300": "BAD_PICTURE",
    }
    assert failed["label"].tolist() == ["neutral", "angry"]
    for fold in "12345":
        splits = data.fold(fold)
        assert list(splits) == IDS
        tested = [f"{number:05d}" for number in LABELS if TESTED[number] == fold]
        assert [clip_id for clip_id, split in splits.items() if split == "test"] == tested
    assert (crops_out / "folds" / "fold-1.csv").read_text().splitlines()[:3] == [
        "clip_id,split",
        "00001,test",
        "00002,train",
    ]
    assert document(crops_out)["counts"]["folds"]["5"] == {"train": 4, "test": 3}
    with pytest.raises(UsageError, match="has no fold '6'; it has: 1, 2, 3, 4, 5"):
        data.fold("6")


def test_shipped_crops_as_plain_tensors(crops_tree: Path, crops_out: Path, tmp_path: Path) -> None:
    request = Request(dataset="dfew", source=crops_tree, detector="none", store="clips16")
    run_preparation(resolve_request(request), tmp_path / "out", num_workers=0)
    stored, read = (read_clip(folder, "00001").astype(int) for folder in (tmp_path / "out", crops_out))
    assert np.abs(stored - read).max() <= 1  # averaged when it was stored, interpolated when it is read


def test_a_synthetic_tree_is_marked(crops_tree: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(crops_tree, tmp_path / "synthetic"))
    (root / "SYNTHETIC.json").write_text('{"recipe": "demo"}')
    run_preparation(
        resolve_request(Request(dataset="dfew", source=root, detector="none")), tmp_path / "out", num_workers=0
    )
    found = document(tmp_path / "out")
    assert (found["synthetic"], found["recipe"]) == (True, "demo")
