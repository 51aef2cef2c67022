"""Single bytes of a prepared dataset are flipped: `verify --deep` finds each one, none reaches a batch unnoticed."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dfer_data.config import Request
from dfer_data.errors import DferError
from dfer_data.inspection.verify import verify
from dfer_data.loading.clip_dataset import FaceClipDataset, collate
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.shards.layout import CARD_NAME, LOG_NAME
from tests.dfer_data.dfew_tree import IDS, write_splits
from tests.dfer_data.tiny import pictures, write_jpegs

NUM_FLIPS = 100
NUM_FLIPS_SOAK = 1000
FOLD = 3


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with folds and one failed clip."""
    root = write_splits(tmp_path_factory.mktemp("dfew"))
    for number, clip_id in enumerate(IDS[:-1]):
        images = pictures(17 + number, width_px=64, height_px=64)
        names = [f"{index}.jpg" for index in range(1, len(images) + 1)]
        write_jpegs(root / "Clip" / "clip_224x224" / clip_id, images, names=names)
    folder = tmp_path_factory.mktemp("flips") / "out"
    run_preparation(resolve_request(Request(dataset="dfew", source=root, detector="none")), folder, num_workers=0)
    return folder


def batches(root: Path) -> list[tuple[torch.Tensor, torch.Tensor, list[str]]]:
    """Every test frame of every clip of a fold, train and test, with labels, and the bare arrays of `read_clip`."""
    found = []
    splits: tuple[Literal["train", "test"], ...] = ("train", "test")
    for split in splits:
        data = FaceClipDataset(root, fold=FOLD, split=split, size_px=64)
        found += list(DataLoader(data, batch_size=4, collate_fn=collate))
    return found


def is_same(root: Path, wanted: list[tuple[torch.Tensor, torch.Tensor, list[str]]]) -> bool:
    found = batches(root)
    return all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and a[2] == b[2] for a, b in zip(found, wanted, strict=True)
    )


def flip_bytes(out: Path, copy: Path, *, number: int, seed: int) -> Counter[str]:
    """Flip one bit of one byte, look, and mend it, again and again; return what the loader did by kind."""
    shutil.copytree(out, copy)
    files = sorted(
        path
        for path in copy.rglob("*")
        if path.is_file() and path.name not in (LOG_NAME, CARD_NAME) and not path.name.startswith((".lock", "summary"))
    )
    assert {path.suffix for path in files} == {".safetensors", ".json", ".jsonl", ".parquet", ".csv", ".jpg"}
    wanted = batches(copy)
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(number):
        path = rng.choice(files)
        intact = path.read_bytes()
        if not intact:
            continue
        changed = bytearray(intact)
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        name = path.relative_to(copy).as_posix()
        assert name in {damage.file for damage in verify(copy, deep=True).damages}, name
        try:
            assert is_same(copy, wanted), f"{name}: other pictures, labels or names without an error"
            seen["harmless to the batch"] += 1  # a contact sheet, the ledger, a frame that is in no batch
        except DferError:
            seen["refused"] += 1
        path.write_bytes(intact)
    assert verify(copy, deep=True).damages == ()
    return seen


def test_flipped_bytes_are_found_and_reach_no_batch(out: Path, tmp_path: Path) -> None:
    seen = flip_bytes(out, tmp_path / "copy", number=NUM_FLIPS, seed=1)
    assert seen["refused"] >= NUM_FLIPS // 4


@pytest.mark.soak
def test_a_thousand_flipped_bytes(out: Path, tmp_path: Path) -> None:
    seen = flip_bytes(out, tmp_path / "copy", number=NUM_FLIPS_SOAK, seed=2)
    print(f"\n{NUM_FLIPS_SOAK} flips: all found by verify --deep; the loader: {dict(seen)}")


def test_a_swapped_shard_with_its_sidecar_gives_no_wrong_label(out: Path, tmp_path: Path) -> None:
    """Right pictures under another clip's name: dataset.json holds each shard's own CRC, so opening it fails."""
    copy = Path(shutil.copytree(out, tmp_path / "copy"))
    names = [f"shards/0000{number}" for number in (0, 1)]
    for suffix in (".safetensors", ".json"):
        first, second = (copy / (name + suffix) for name in names)
        aside = first.rename(copy / "aside")
        second.rename(first)
        aside.rename(second)
    data = open_dataset(copy)
    for clip_id in data.clips["clip_id"][:2]:
        with pytest.raises(DferError, match="does not match its CRC-32"):
            data.read_clip(clip_id)
    assert np.unique([damage.file[:12] for damage in verify(copy).damages]).tolist() == names
