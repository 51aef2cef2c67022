"""Trees in the shape of each dataset of a claim: what is planted is found before anything is prepared."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dfer_data as dd
from dfer_data.loading.prepared import open_dataset
from dfer_data.sources.adapters.ravdess import ravdess_ids
from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.class_labels import DFEW_NAMES
from dfer_data.sources.official_counts import official
from dfer_data.sources.registry import adapter
from lstpnet.replication.claim import Claim, load_claim
from lstpnet.replication.data import data_differences, source_differences
from lstpnet.replication.figures import judge
from lstpnet.replication.run import Weights, replicate
from tests.changed_datasets import copy_of, refolded
from tests.dfer_data.trees import make_tree
from tests.lstpnet.replication.conftest import Lab
from tests.lstpnet.replication.shapes import SHAPES, SHORT, Clip, changed, prepare_shape

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
    assert source_differences(claim, listing) == []
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
    assert [item.what for item in differences] == ["49 clips outside of the folder clip_224x224_16f, 00001 first"]


def test_the_message_of_a_failure_stays_at_home(lab: Lab, tree: Path) -> None:
    shutil.rmtree(tree / "Clip/clip_224x224/00003")
    differences = source_differences(lab.claim(), adapter("dfew").list(tree, layout="frames"))
    assert [item.what for item in differences] == ["clip 00003: MISSING_VIDEO"]


def first_difference(claim: Claim, data: Path) -> str:
    """Return the first place that a verdict names before anything is tested."""
    return judge(claim, data_differences(claim, open_dataset(data))[1], ()).first


def differences_of(name: str, claim: Claim, root: Path, clips: Sequence[Clip], *, missing: Sequence[Clip] = ()) -> str:
    """Write the clips, and return the first difference of the folder, before it is prepared."""
    listing = adapter(name).list(SHAPES[name].write(root, clips, missing=missing), layout="frames")
    return judge(claim, source_differences(claim, listing), ()).first


@pytest.mark.parametrize("name", SHAPES)
def test_crops_in_the_shape_of_each_dataset_differ_where_something_is_planted(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    clips = shape.clips()
    claim = shape.claim_about(clips)
    plain = prepare_shape(name, shape.write(tmp_path / "plain", clips), tmp_path / "prepared/plain")
    assert first_difference(claim, plain) == ""

    gone = clips[-1]
    missing = differences_of(name, claim, tmp_path / "missing", clips, missing=[gone])
    if name in ("dfew", "ferv39k", "cremad"):
        assert missing == f"clips: clip {shape.clip_id(gone)}: MISSING_VIDEO"
    else:  # the folders are the annotation, so no list names the clip
        assert missing == f"clips: clips: expected {len(clips)}, found {len(clips) - 1}"

    next_of = dict(zip(shape.class_names, shape.class_names[1:] + shape.class_names[:1], strict=True))
    exchanged = [replace(clip, label=next_of[clip.label]) for clip in clips]
    labels = differences_of(name, claim, tmp_path / "labels", exchanged)
    assert labels.startswith("labels: the numbers of clips fit if classes are exchanged: ")

    moved = changed(clips, 3, fold=1 if shape.num_folds == 1 or clips[2].fold != 1 else 2)
    assert differences_of(name, claim, tmp_path / "folds", moved).startswith("folds: fold 1 ")
    if shape.num_folds > 1:
        assert first_difference(claim, refolded(copy_of(plain, tmp_path / "refolded"))).startswith("folds: clip ")

    number = next(iter(SHORT))
    longer = shape.write(tmp_path / "frames", changed(clips, number, num_frames=9))
    words = f"frames: clip {shape.clip_id(clips[number - 1])}: has 9 frames, officially {SHORT[number]}"
    assert first_difference(claim, prepare_shape(name, longer, tmp_path / "prepared/frames")) == words

    larger = shape.write(tmp_path / "larger", changed(clips, size_px=44))
    crops = first_difference(claim, prepare_shape(name, larger, tmp_path / "prepared/larger"))
    of_all = f"{len(clips)} of {len(clips)} clips"
    assert crops.startswith(f"crops: 44 x 44 px, the claim's are 40 px: 10 % larger, {of_all}")


@pytest.mark.parametrize("name", ["ferv39k", "afew"])
def test_weights_in_another_order_of_classes_are_named_for_each_claim_about_weights(
    name: str, lab: Lab, tmp_path: Path
) -> None:
    """The weights are those of DFEW's crops: their outputs are in DFEW's order."""
    shape = SHAPES[name]
    clips = shape.clips()
    shipped = load_claim(shape.claim)
    claim = shape.claim_about(clips).model_copy(
        update={"network": "former-dfer", "size_px": 32, "protocol": "default", "expected": []}
    )
    data = prepare_shape(name, shape.write(tmp_path / "source", clips), tmp_path / "prepared")
    weights = Weights({"1": lab.weights}, device="cpu")
    verdict = replicate("test", claim, data, weights).document.verdict
    assert shipped.class_names != list(DFEW_NAMES)
    assert verdict.first == f"classes of the model: its outputs seem to be in the order {', '.join(DFEW_NAMES)}"
    ours = claim.model_copy(update={"class_names": list(DFEW_NAMES)})
    assert replicate("test", ours, data, weights).document.verdict.first == ""


@pytest.mark.parametrize("name", ["cremad", "ravdess", "afew"])
def test_crops_that_are_not_those_of_a_detector_are_named(name: str, tmp_path: Path) -> None:
    shape = SHAPES[name]
    clips = shape.clips()
    detector = load_claim(shape.claim).detector
    claim = shape.claim_about(clips).model_copy(update={"detector": detector})
    data = prepare_shape(name, shape.write(tmp_path / "source", clips), tmp_path / "prepared")
    whose = "were made by its authors, who do not give them out" if name == "afew" else "are by retinaface"
    assert first_difference(claim, data) == f"crops: the shipped crops; the claim's {whose}"


def test_faces_that_are_larger_in_their_crops_are_named(lab: Lab, workspace: Path, tmp_path: Path) -> None:
    source = workspace / "data/dfew"
    dd.prepare("dfew", source=source, out=tmp_path / "larger", detector="retinaface", limit=1, template_scale=0.88)
    _, differences = data_differences(lab.claim(detector="retinaface"), open_dataset(tmp_path / "larger"))
    crops = [item.what for item in differences if item.aspect == "crops"]
    assert crops == ["template_scale is 0.88, the claim's is 0.8"]


def test_all_1440_clips_of_ravdess_are_as_the_shipped_claim_has_them(tmp_path: Path) -> None:
    """Nothing is opened before it is prepared, so files without content have the official numbers."""
    for clip_id in ravdess_ids():
        path = tmp_path / f"Actor_{clip_id[-2:]}" / f"{clip_id}.mp4"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"0")
    claim = load_claim("ravdess-lstpnet")
    assert source_differences(claim, listed("ravdess", tmp_path)) == []
    (tmp_path / "Actor_07/02-01-04-02-01-02-07.mp4").unlink()
    assert source_differences(claim, listed("ravdess", tmp_path))[0].what == "clip 02-01-04-02-01-02-07: is missing"


def test_all_1156_clips_of_afew_are_as_the_shipped_claim_has_them(tmp_path: Path) -> None:
    facts = official("afew")
    sizes = {"Train": facts.num_train_by_class["1"], "Val": facts.num_test["1"]}
    labels = [
        (part, name)
        for part, counts in sizes.items()
        for k, name in zip(counts, facts.class_names, strict=True)
        for _ in range(k)
    ]
    for number, (part, name) in enumerate(labels):
        path = tmp_path / f"{part}_AFEW/{name.capitalize()}/{number:09d}.avi"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"0")
    claim = load_claim("afew-lstpnet")
    assert source_differences(claim, listed("afew", tmp_path)) == []
    happy, sad = (tmp_path / f"Train_AFEW/{word}" for word in ("Happy", "Sad"))
    happy.rename(tmp_path / "Train_AFEW/x")
    sad.rename(happy)
    (tmp_path / "Train_AFEW/x").rename(sad)
    words = [item.what for item in source_differences(claim, listed("afew", tmp_path))]
    assert words[:2] == ["clips, happy: expected 213, found 180", "clips, sad: expected 178, found 211"]
