"""A model on the clips of a dataset: what a clip without a face counts as."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dfer_cli.main import main
from dfer_data import open_dataset
from dfer_data.sources import registry
from lstpnet.checkpoints.open_model import open_model
from lstpnet.evaluation import cross_dataset
from lstpnet.evaluation.cross_dataset import CrossResult, evaluate_on
from lstpnet.finished_runs import load_runs
from lstpnet.metrics import predicted_classes
from lstpnet.predictions_table import read_predictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.external_predictions import read_given_predictions
from lstpnet.runs import read_run
from lstpnet.training.experiment import make_experiment
from tests.crops import prepare_crops, write_crops
from tests.lstpnet.conftest import Done, quick


def result_on(run: Path, crops: Path, *, folds: tuple[str, ...]) -> CrossResult:
    data = open_dataset(crops)
    clips = cross_dataset.tested_clips(data, folds=folds or ("3",), fold_set="official")
    return evaluate_on(open_model(run), data, clips, is_masked=False, device=torch.device("cpu"), folds=folds)


def test_a_clip_without_a_face_counts_as_in_the_runs_report(plain: Done, crops: Path) -> None:
    found = result_on(plain.folder, crops, folds=("3",))
    (part,) = read_predictions(plain.folder, read_run(plain.folder))
    names = open_dataset(crops).class_names
    prior = {names[number] for number in predicted_classes(part.logits[~part.has_face])}
    assert set(found.faceless.values()) == prior
    assert len(found.faceless) == 1
    (row,) = build_report(*load_runs([plain.folder])).rows[:1]
    assert (row.n, row.war, row.uar) == pytest.approx((found.scores.num_clips, found.scores.war, found.scores.uar))
    assert list(row.recall.values()) == pytest.approx(list(found.scores.recalls))


def test_the_prior_is_the_most_frequent_class_of_the_folds_train_part(plain: Done, crops: Path) -> None:
    data = open_dataset(crops)
    labels = data.index(data.fold_index("3", "train")["clip_id"].to_pylist())["label"].to_pylist()
    counts = Counter(labels)
    (prior,) = result_on(plain.folder, crops, folds=("3",)).faceless.values()
    assert counts[prior] == max(counts.values())


def test_train_evaluate_and_report_count_the_same_clips_for_the_prior(plain: Done, tmp_path: Path) -> None:
    """Those of train with a face: one of the 8 of the first class has none, so the second one is more frequent."""
    faceless = {16, 22}
    source = write_crops(tmp_path / "source", num_frames=lambda number: 0 if number in faceless else 16, size_px=16)
    root = prepare_crops(source, tmp_path / "dfew-none")
    experiment = make_experiment(root, quick(), fold=3, seed=0)
    trained = experiment.data.class_names[int(experiment.prior_logits().argmax())]
    (evaluated,) = result_on(plain.folder, root, folds=("3",)).faceless.values()
    (tmp_path / "theirs.csv").write_text("clip_id,prediction\n")
    (reported,) = read_given_predictions(tmp_path / "theirs.csv", experiment.data, fold=3)
    assert trained == evaluated == reported.prior == experiment.data.class_names[1]


def test_without_a_fold_it_is_wrong_and_no_class_is_charged_with_it(plain: Done, crops: Path) -> None:
    found = result_on(plain.folder, crops, folds=())
    assert list(found.faceless.values()) == [""]
    right = [label == guess for label, guess in zip(found.labels, found.predictions, strict=True)]
    assert found.scores.war == pytest.approx(np.mean(right))
    assert len(found.scores.recalls) == len(found.scores.precisions) == 7
    predicted = Counter(guess for guess in found.predictions if guess)
    correct = Counter(label for label, is_right in zip(found.labels, right, strict=True) if is_right)
    names = open_dataset(crops).class_names
    expected = [correct[name] / predicted[name] if predicted[name] else None for name in names]
    assert list(found.scores.precisions) == pytest.approx(expected)


def test_the_rule_is_printed(plain: Done, crops: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, data = str(plain.folder), str(crops)
    assert main(["evaluate", run, "--data", data, "--fold", "3"]) == 0
    assert "clips without a face: 1, counted as the train prior, " in capsys.readouterr().out
    assert main(["evaluate", run, "--data", data]) == 0
    assert ", counted as wrong" in capsys.readouterr().out


@pytest.mark.parametrize("is_users_own", [False, True])
def test_ids_of_a_users_own_videos_are_the_same_clips_in_one_folder_only(
    plain: Done, crops: Path, monkeypatch: pytest.MonkeyPatch, is_users_own: bool
) -> None:
    if is_users_own:
        monkeypatch.setattr(registry, "SOURCES", {})
    data, info = open_dataset(crops), read_run(plain.folder)
    splits = data.fold(str(info.fold))
    num_train = list(splits.values()).count("train")
    assert cross_dataset.num_in_train(info, data, list(splits)) == num_train > 0
    elsewhere = replace(info, prepared="another-folder")
    assert cross_dataset.num_in_train(elsewhere, data, list(splits)) == (0 if is_users_own else num_train)
