"""Trees in the shape of each dataset of a claim: what is planted is found before anything is prepared."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dfer_data.loading.prepared import open_dataset
from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.registry import adapter
from lstpnet.replication.claim import Claim, load_claim
from lstpnet.replication.data import data_differences, source_differences
from tests.dfer_data.trees import make_tree
from tests.lstpnet.replication.conftest import Lab

CLAIM_OF = {
    "ferv39k": "ferv39k-lstpnet",
    "afew": "afew-lstpnet",
    "cremad": "cremad-lstpnet",
    "ravdess": "ravdess-lstpnet",
}


def listed(name: str, tree: Path) -> SourceListing:
    layout: Layout = "frames" if name == "ferv39k" else "videos"
    return adapter(name).list(tree, layout=layout)


def claim_about(name: str, listing: SourceListing) -> Claim:
    """The shipped claim with the numbers of a rendered tree."""
    label = {video.clip_id: video.label for video in listing.videos}
    sizes = {
        (fold, split): Counter(label[clip] for clip, part in splits.items() if part == split)
        for fold, splits in listing.folds.items()
        for split in ("train", "test")
    }
    table: dict[str, Any] = {
        "source": "a test",
        "class_names": list(listing.class_names),
        "train": {fold: sizes[fold, "train"].total() for fold in listing.folds},
        "test": {fold: [sizes[fold, "test"][name] for name in listing.class_names] for fold in listing.folds},
        "order": {"kind": "none seen"},
    }
    if len(listing.folds) == 1:
        table["train_by_class"] = {
            fold: [sizes[fold, "train"][name] for name in listing.class_names] for fold in listing.folds
        }
    return load_claim(CLAIM_OF[name]).model_copy(update={"official": table})


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory, heads_wheel: Path) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("trees")
    return {name: make_tree(name, root, heads=heads_wheel) for name in CLAIM_OF}


@pytest.mark.parametrize("name", CLAIM_OF)
def test_a_missing_clip_of_each_dataset_is_found(name: str, trees: dict[str, Path], tmp_path: Path) -> None:
    tree = Path(shutil.copytree(trees[name], tmp_path / name))
    listing = listed(name, tree)
    claim = claim_about(name, listing)
    others = [item for item in source_differences(claim, listing) if "is missing" not in item.what]
    assert others == []  # RAVDESS's ids are all known, and the tree has few of them
    video = next(video for video in listing.videos if video.clip_id in listing.folds["1"] and video.path)
    path = tree / video.path
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    first = source_differences(claim, listed(name, tree))
    named = [item.what for item in first if item.aspect == "clips"]
    assert any(video.clip_id in what for what in named) or f"clips: expected {len(listing.videos)}, found " in named[-1]
    assert first[0].aspect == "clips"


def test_crops_of_another_detector_or_folder_or_settings_are_differences_of_crops(lab: Lab, workspace: Path) -> None:
    rendered = open_dataset(workspace / "prepared/dfew-retinaface")
    for changes, words in (
        ({}, "crops by retinaface mobilenet0.25; the claim's are the crops that the dataset ships"),
        ({"detector": "dlib"}, "crops by retinaface mobilenet0.25; the claim's are by dlib"),
        ({"detector": "authors"}, "the claim's were made by its authors, who do not give them out"),
    ):
        _, differences = data_differences(lab.claim(**changes), rendered)
        assert differences[-1].aspect == "crops"
        assert words in differences[-1].what
    _, differences = data_differences(lab.claim(detector="retinaface"), rendered)
    assert "crops" not in {difference.aspect for difference in differences}
    _, differences = data_differences(lab.claim(crops="clip_224x224_16f"), open_dataset(lab.prepared))
    assert [item.what for item in differences] == ["49 clips are not of the folder clip_224x224_16f, 00001 first"]


def test_the_message_of_a_failure_stays_at_home(lab: Lab, tree: Path) -> None:
    shutil.rmtree(tree / "Clip/clip_224x224/00003")
    differences = source_differences(lab.claim(), adapter("dfew").list(tree, layout="frames"))
    assert [item.what for item in differences] == ["clip 00003: MISSING_VIDEO"]
