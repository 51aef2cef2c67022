from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_data import open_dataset
from dfer_data.changes.relabel import relabel
from dfer_data.config import Request
from dfer_data.inspection.verify import verify
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from lstpnet.evaluation.clip_logits import _average_views, class_probabilities
from lstpnet.finished_runs import ScoredRun, open_run, score_run
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.formats import to_csv, to_json, to_markdown
from lstpnet.reporting.multi_label.rows import multi_label_rows, multi_label_sections
from lstpnet.training.experiment import make_experiment
from tests.dfer_data.sources.adapters.test_mafw import lists
from tests.dfer_data.tiny import pictures, write_jpegs
from tests.lstpnet.conftest import Done, quick, train

COMPOUND = ["anger_disgust", "sadness_anxiety", "fear", "neutral", "happiness_surprise"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A network of several labels, trained on four clips of one fold."""
    root = tmp_path_factory.mktemp("several")
    lists(root / "source", "single", ["anger", "sadness", "fear", "neutral", "happiness"])
    lists(root / "source", "compound", COMPOUND)
    for number in range(1, 6):
        names = [f"{index}.jpg" for index in range(16)]
        write_jpegs(root / f"source/crops/{number:05d}", pictures(16), names=names)
    request = Request(dataset="mafw-multi", source=root / "source", detector="none")
    run_preparation(resolve_request(request), root / "prepared/several", num_workers=0)
    changed = quick(targets="labels")
    return train(make_experiment(root / "prepared/several", changed, fold=5, seed=0), root / "runs")


def test_a_run_on_several_labels_has_a_row(done: Done, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.folder.parents[4])
    (row,) = multi_label_rows([score_run(open_run(done.folder))])
    assert (row.n, row.labels_per_clip, row.fold) == (1, 2.0, "5")
    assert {name for name, value in row.f1.items() if value is not None} == {"happy", "surprise"}
    report = build_report([open_run(done.folder)])
    (line,) = json.loads(to_json(report))["multi_label"]
    assert line["mean_average_precision"] == 1.0  # of one clip, which is ranked first
    assert "several labels per clip" in to_markdown(report)
    assert "\nmulti label," in to_csv(report)
    assert open_dataset(done.folder.parents[4] / "prepared/several").labels(["00005"]).sum() == 2
    monkeypatch.chdir(done.folder)
    assert multi_label_rows([score_run(open_run(done.folder))]) == ()


def test_the_prior_of_a_clip_without_a_face_names_the_classes_of_half_of_train(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(done.folder.parents[4])
    run = score_run(open_run(done.folder))
    (part,) = run.parts
    shares = [{"happy": 0.6, "surprise": 0.4}.get(name, 0.0) for name in part.class_names]
    with np.errstate(divide="ignore"):
        logits = np.log(np.array([shares], np.float32))
    faceless = replace(part, logits=logits, has_face=np.zeros(1, np.bool_))
    (row,) = multi_label_rows([replace(run, parts=(faceless,))])
    assert (row.f1["happy"], row.f1["surprise"], row.mean_average_precision) == (1.0, 0.0, 1.0)


def test_a_corrected_label_takes_the_place_of_the_old_one(done: Done, tmp_path: Path) -> None:
    data = shutil.copytree(done.folder.parents[4] / "prepared/several", tmp_path / "several")
    (tmp_path / "table.csv").write_text("clip_id,label\n00005,fear\n00001,disgust\n")
    relabel(data, tmp_path / "table.csv")
    clips = open_dataset(data).clips.set_index("clip_id")
    assert [list(labels) for labels in clips["labels"].loc[["00005", "00001"]]] == [["fear", "surprise"], ["disgust"]]
    assert verify(data, deep=True).damages == ()


def test_a_compound_class_names_its_parts(done: Done) -> None:
    run = score_run(open_run(done.folder))
    names = ("angry", "disgust", "angry_disgust")
    logits = np.log(np.array([[0.2, 0.1, 0.7], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1]], np.float32))
    truth, predicted = np.array([2, 0, 0]), np.array([2, 0, 1])
    part = ScoredPredictions(names, ("a", "b", "c"), truth, predicted, np.ones(3, np.bool_), "last", logits=logits)
    compound = ScoredRun(
        run.folder, replace(run.info, class_names=names), (part, replace(part, control="repeated-frame"))
    )
    (row,) = multi_label_rows([compound])
    assert row.labels_per_clip == pytest.approx(4 / 3)
    assert row.average_precision == {"angry": 1.0, "disgust": 0.5}  # angry .9 .7 .2; disgust .8 .4 .9
    assert row.f1 == {"angry": pytest.approx(0.8), "disgust": pytest.approx(2 / 3)}
    (section,) = multi_label_sections([row])
    assert section.cells[0][5:8] == ("1.33", "75.00", "73.33")
    plain = replace(compound, info=replace(run.info, class_names=("neutral", "very_happy", "happy")))
    assert multi_label_rows([plain]) == ()


def test_probabilities_of_several_labels_do_not_compete(done: Done) -> None:
    import torch

    views = [torch.tensor([[2.0, -200.0, 0.0]]), torch.tensor([[0.0, -200.0, 200.0]])]
    recipe = done.experiment.recipe
    mean = (views[0].double().sigmoid() + views[1].double().sigmoid()) / 2
    averaged = _average_views([view.double() for view in views], is_binary=True)
    torch.testing.assert_close(averaged[:, [0, 2]].sigmoid(), mean[:, [0, 2]])
    assert averaged[0, 1] == pytest.approx(-200)
    np.testing.assert_allclose(class_probabilities(views[0], recipe), views[0].sigmoid().numpy())
