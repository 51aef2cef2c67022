"""Whole replications on small trees: what is planted is named as the first place that differs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dfer_data.errors import UsageError
from dfer_data.sources.class_labels import DFEW_NAMES
from lstpnet.checkpoints.open_model import AUTHORS_CLASSES
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.errors import CheckpointError
from lstpnet.replication.check import check_result
from lstpnet.replication.claim import Claim, load_claim
from lstpnet.replication.result_file import ReplicationDocument, write_result
from lstpnet.replication.run import Weights, opened_weights, replicate
from tests.crops import fold_of, label_of, prepare_crops
from tests.golden.lstpnet_fill import filled_state_dict
from tests.lstpnet.conftest import QUICK
from tests.lstpnet.replication.conftest import Lab, save_authors_file, write_splits, write_tree


def replicated(
    lab: Lab, claim: Claim, data: Path, tmp_path: Path, *, weights: Path | None = None
) -> ReplicationDocument:
    """Replicate, write the result, and return what checking it gives."""
    result = replicate("test", claim, data, Weights({"3": weights or lab.weights}, device="cpu"))
    path = tmp_path / "result.zip"
    write_result(path, result.document, result.parts)
    document = check_result(path)
    assert document.verdict == result.document.verdict
    return document


def test_the_same_data_and_weights_reproduce_it(lab: Lab, tmp_path: Path) -> None:
    document = replicated(lab, lab.claim(), lab.prepared, tmp_path)
    assert (document.verdict.outcome, document.verdict.first, document.differences) == ("reproduced", "", [])
    (tested,), (check,) = document.tested, document.checks
    assert (tested.n, check.found, check.difference) == (lab.of, f"{lab.right} of {lab.of}", 0)
    assert "official fold 3; sampler segments-8x2" in tested.protocol
    assert len(document.data.lock_sha256) == len(tested.weights_sha256) == 64
    assert all(number.expected == number.found for number in document.numbers)
    assert len(document.numbers) > 70


def test_a_run_or_exported_model_is_tested_too(lab: Lab, tmp_path: Path) -> None:
    document = replicated(lab, lab.claim(), lab.prepared, tmp_path, weights=lab.run)
    assert (document.verdict.outcome, document.tested[0].weights_sha256) == ("reproduced", "")


def _missing(tree: Path) -> None:
    shutil.rmtree(tree / "Clip/clip_224x224/00003")


def _frames(tree: Path) -> None:
    folder = tree / "Clip/clip_224x224/00008"
    shutil.copy(folder / "5.jpg", folder / "6.jpg")


def _label_numbers(tree: Path) -> None:
    write_splits(tree, label=lambda number: label_of(number) % 7 + 1)


def _folds(tree: Path) -> None:
    write_splits(tree, fold=lambda number: {1: 3, 3: 1}.get(fold_of(number), fold_of(number)))


def _larger(tree: Path) -> None:
    shutil.rmtree(tree)
    write_tree(tree, size_px=44)


@pytest.mark.parametrize(
    ("plant", "first"),
    [
        (_missing, "clips: clip 00003: MISSING_VIDEO"),
        (_label_numbers, "labels: the numbers of clips fit if classes are exchanged: happy is fear"),
        (_folds, "folds: fold 1 train: expected "),
        (_frames, "frames: clip 00008: has 6 frames, officially 5"),
        (_larger, "crops: 44 x 44 px, the claim's are 40 px: 10 % larger, 49 of 49 clips, 00001 first"),
    ],
)
def test_what_is_planted_is_the_first_difference(
    lab: Lab, tree: Path, tmp_path: Path, plant: Callable[[Path], None], first: str
) -> None:
    plant(tree)
    data = prepare_crops(tree, tmp_path / "prepared")
    document = replicated(lab, lab.claim(other_crops_points=0.0), data, tmp_path)
    assert document.verdict.first.startswith(first)
    is_within = plant is _larger and document.checks[0].difference == 0
    assert document.verdict.outcome == ("reproduced on other crops" if is_within else "not reproduced")


def test_other_crops_may_move_the_figures_as_far_as_the_claim_allows(lab: Lab, tree: Path, tmp_path: Path) -> None:
    _larger(tree)
    data = prepare_crops(tree, tmp_path / "prepared")
    expected = [{"fold": "3", "right": lab.right - 1, "of": lab.of}]
    document = replicated(lab, lab.claim(other_crops_points=50.0, expected=expected), data, tmp_path)
    off = max(abs(check.difference or 0) for check in document.checks)
    assert document.verdict.words.startswith(f"reproduced on other crops within {off:.2f} points (crops: 44 x 44 px")


def test_weights_with_permuted_classes_are_named(lab: Lab, tmp_path: Path) -> None:
    order = [2, 0, 1, 4, 6, 5, 3]  # neutral, happy, sad, surprise, fear, disgust, angry: LSTPNet's on FERV39k
    weights = save_authors_file(load_trained(lab.run).model, tmp_path / "other.pth", order=order)
    document = replicated(lab, lab.claim(), lab.prepared, tmp_path, weights=weights)
    names = ", ".join(DFEW_NAMES[number] for number in order)
    assert document.verdict.first == f"classes of the model: its outputs seem to be in the order {names}"


def test_other_figures_are_the_last_difference(lab: Lab, tmp_path: Path) -> None:
    expected = [{"fold": "3", "right": 2, "of": lab.of}]
    document = replicated(lab, lab.claim(expected=expected), lab.prepared, tmp_path)
    words = f"figures: fold 3, all classes: expected 2 of {lab.of}, found {lab.right} of {lab.of}"
    assert (document.verdict.outcome, document.verdict.first) == ("not reproduced", words)


def test_a_training_is_compared_within_its_tolerance_and_an_open_line_is_measured(lab: Lab, tmp_path: Path) -> None:
    overrides = {key: value for key, value in QUICK.items() if key not in ("epochs", "frame_epochs")}
    values = {"kind": "recipe", "recipe": "demo", "overrides": {**overrides, "epochs": 1, "frame_epochs": 0}}
    claim = lab.claim(**values, seeds=[0, 1], expected=[])
    weights = Weights({}, runs=tmp_path / "runs", device="cpu")
    opened = replicate("test", claim, lab.prepared, weights)
    assert opened.document.verdict.words == "measured: no figure is known to compare with"
    assert [(fold.fold, fold.seed, fold.n) for fold in opened.document.tested] == [("3", 0, lab.of), ("3", 1, lab.of)]
    right = [round(fold.war * fold.n) for fold in opened.document.tested]
    for between, outcome in (([min(right), max(right)], "reproduced"), ([max(right) + 1, lab.of], "not reproduced")):
        expected = [{"right_between": between, "of": lab.of}]
        again = replicate("test", lab.claim(**values, seeds=[0, 1], expected=expected), lab.prepared, weights)
        assert again.document.verdict.outcome == outcome
        write_result(tmp_path / "result.zip", again.document, again.parts)
        assert check_result(tmp_path / "result.zip").verdict.outcome == outcome


@pytest.mark.parametrize(
    ("changes", "weights", "message"),
    [
        ({}, Weights({}), "this claim is about given weights: add --checkpoint FILE"),
        ({}, Weights({"4": Path("x")}), "--checkpoint 4=...: the claim's folds are 3"),
        ({}, Weights({"3": Path("nowhere.pth")}), "there is no file nowhere.pth"),
        ({}, Weights({"3": Path("x")}, init=Path("y")), "--init: this claim tests given weights"),
        ({"kind": "recipe", "recipe": "demo"}, Weights({"3": Path("x")}), "this claim trains its networks"),
        (
            {"kind": "recipe", "recipe": "demo", "needs_init": True},
            Weights({}),
            "trains from given weights: add --init",
        ),
    ],
)
def test_unfitting_weights_are_refused_at_once(
    lab: Lab, changes: dict[str, object], weights: Weights, message: str
) -> None:
    with pytest.raises(UsageError, match=message.replace("...", r"\.\.\.")):
        replicate("test", lab.claim(**changes), lab.prepared, weights)


def test_a_training_under_a_protocol_counts_the_epoch_that_it_selects(lab: Lab, tmp_path: Path) -> None:
    overrides = {**QUICK, "epochs": 1, "frame_epochs": 0}
    values = {"kind": "recipe", "recipe": "demo", "overrides": overrides, "protocol": "lstpnet", "result": "test-best"}
    weights = Weights({}, runs=tmp_path / "runs", device="cpu")
    document = replicate("test", lab.claim(**values, expected=[]), lab.prepared, weights).document
    (tested,) = document.tested
    assert tested.n == lab.of - 1  # clip 00015 has 12 frames
    assert "protocol lstpnet (" in tested.protocol
    assert str(tmp_path) not in tested.protocol


def test_the_weights_of_lstpnets_authors_are_opened_as_the_claim_says(tmp_path: Path) -> None:
    path = tmp_path / "dfew.pth"
    torch.save({"model_state_dict": {f"module.{key}": tensor for key, tensor in filled_state_dict().items()}}, path)
    for name in ("dfew-lstpnet", "ferv39k-lstpnet", "afew-lstpnet"):
        claim = load_claim(name)
        opened = opened_weights(claim, path)
        assert opened.class_names == AUTHORS_CLASSES[claim.dataset]
        assert (opened.recipe.size_px, opened.recipe.least_frames, opened.recipe.precision) == (224, 16, "f32")
    with pytest.raises(CheckpointError, match=r"not a checkpoint of former-dfer .*its tensors are those of lstpnet"):
        opened_weights(load_claim("dfew-former-dfer"), path)
