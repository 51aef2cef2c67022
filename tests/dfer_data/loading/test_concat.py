"""Datasets are one by the names of their classes, and give what each gives alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dfer_data.errors import UsageError
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw, Sampling
from dfer_data.loading.concat import ConcatClips
from dfer_data.loading.loader import ClipLoader
from dfer_data.storage.files import canonical_json


def clips(
    root: Path, *, sampling: Sampling = "train", sampler: str = "segments-8x2", **options: Any
) -> FaceClipDataset:
    draw = FrameDraw(sampling, sampler, seed=1)
    return FaceClipDataset(root, **{"fold": 3, "size_px": 32, "draw": draw, **options})


@pytest.fixture(scope="module")
def other(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crops again, in a folder of another name, with their classes in another order."""
    root = Path(shutil.copytree(crops, tmp_path_factory.mktemp("other") / "afew-none"))
    document = json.loads((root / "dataset.json").read_bytes())
    del document["sha256"]
    document["class_names"] = document["class_names"][::-1]
    document["sha256"] = hashlib.sha256(canonical_json(document)).hexdigest()
    (root / "dataset.json").write_bytes(canonical_json(document))
    return root


def test_classes_are_matched_by_name_and_frames_are_those_of_each_alone(crops: Path, other: Path) -> None:
    parts = [clips(crops), clips(other)]
    joined = ConcatClips(parts)
    assert len(joined) == len(parts[0]) + len(parts[1])
    assert joined.num_clips_of_parts == (len(parts[0]), len(parts[1]))
    assert joined.class_names == parts[0].prepared.class_names
    assert joined.clip_ids[0] == "dfew-none:00001"
    assert joined.clip_ids[-1].startswith("afew-none:")
    assert np.array_equal(joined.labels[: len(parts[0])], joined.labels[len(parts[0]) :])
    assert joined.left_out == {}
    alone = clips(other)
    alone.epoch = 5
    seen = 0
    for batch in ClipLoader(joined, batch_size=16, num_threads=2).epoch(5):
        for frames, clip_id in zip(batch.frames, batch.clip_ids, strict=True):
            folder, _, name = clip_id.partition(":")
            assert folder in ("dfew-none", "afew-none")
            assert frames.equal(alone[alone.clip_ids.index(name)].frames)
            seen += 1
    assert seen == len(joined)


def test_other_classes_are_left_out_and_counted(crops: Path, other: Path) -> None:
    joined = ConcatClips([clips(crops), clips(other)], class_names=("fear", "happy"))
    whole = clips(crops)
    names = [whole.prepared.class_names[label] for label in whole.labels]
    assert set(joined.labels.tolist()) == {0, 1}
    assert (joined.labels == 0).sum() == 2 * names.count("fear")
    assert joined.left_out["sad"] == 2 * names.count("sad")
    assert len(joined) + sum(joined.left_out.values()) == 2 * len(whole)


def test_what_cannot_be_one_is_refused(crops: Path, other: Path) -> None:
    for parts, options, words in (
        ([], {}, "needs a dataset"),
        ([clips(crops), clips(other, size_px=64)], {}, "different size"),
        ([clips(crops), clips(other, sampler="uniform")], {}, "different size, sampling"),
        ([clips(crops), clips(crops)], {}, "need different names"),
        ([clips(crops)], {"class_names": ("contempt",)}, "no clip is of the classes contempt"),
        ([clips(crops), clips(other, mean=(0.5,) * 3, std=(0.5,) * 3)], {}, "afew-none: ConcatClips gives uint8 clips"),
        ([clips(crops, transform=torch.flip)], {}, "dfew-none: ConcatClips gives uint8 clips"),
    ):
        with pytest.raises(UsageError, match=words):
            ConcatClips(parts, **options)


def test_a_part_without_clips_is_joined(crops: Path, other: Path) -> None:
    parts = [
        clips(root, sampling="test", sampler="strided-window-4", clip_ids=ids)  # two views
        for root, ids in ((crops, []), (other, ["00001"]))
    ]
    joined = ConcatClips(parts)
    assert (len(joined), joined.item_shape, joined.num_clips_of_parts) == (1, (2, 16, 32, 32, 3), (0, 1))
    (batch,) = ClipLoader(joined, batch_size=2, shuffles=False).epoch(0)
    assert torch.equal(batch.frames[0], parts[1][0].frames)
