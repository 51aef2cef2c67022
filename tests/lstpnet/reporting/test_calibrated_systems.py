"""Calibration of the systems of a report, and the temperature of their trainings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax

from dfer_cli.main import main
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.evaluation.calibration import fit_temperature
from lstpnet.evaluation.clip_logits import predict_clips
from lstpnet.finished_runs import open_run
from lstpnet.reporting.build import build_report
from lstpnet.reporting.calibrated_systems import calibration_sections, temperature_words
from lstpnet.reporting.formats import to_csv, to_json, to_markdown
from lstpnet.reporting.html.page import to_html
from lstpnet.runs import read_config, read_run
from lstpnet.training.experiment import make_experiment
from tests.lstpnet.conftest import Done, quick, train


@pytest.fixture(scope="module")
def held(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run with held-out clips, and a refit."""
    recipe = quick(frame_epochs=0, val="blocks", val_share=0.3, refit=True, controls=True)
    return train(make_experiment(crops, recipe, fold=3, seed=0), tmp_path_factory.mktemp("held"))


def test_each_checkpoint_but_the_refit_has_the_temperature_of_the_held_out_clips(held: Done, crops: Path) -> None:
    stored = read_config(held.folder, read_run(held.folder))["temperatures"]
    assert set(stored) == {"last", "best"}
    experiment = held.experiment
    model = load_trained(held.folder).model
    device = torch.device("cpu")
    logits = predict_clips(model, crops, experiment.val_ids, recipe=experiment.recipe, device=device, dtype=None)
    names = experiment.data.index(experiment.val_ids)["label"].to_pylist()
    labels = np.array([experiment.data.class_names.index(name) for name in names])
    assert stored["last"] == pytest.approx(fit_temperature(logits, labels), rel=1e-6)
    assert main(["verify", str(held.folder)]) == 0


def test_a_systems_figures_are_those_of_its_test_clips_before_and_at_the_temperature(held: Done) -> None:
    report = build_report([open_run(held.folder)])
    last = next(system for system in report.calibrated if "last" in system.name)
    table = pd.read_parquet(held.folder / "predictions.parquet")
    table = table[(table["checkpoint"] == "last") & (table["control"] == "")]
    names = held.experiment.data.class_names
    indicator = np.eye(len(names))[[names.index(label) for label in table["label"]]]
    logits = np.stack(list(table["logits"])).astype(float)
    (temperature,) = last.temperatures
    assert last.scaled is not None
    assert last.n == len(table)
    assert last.figures.brier == pytest.approx(((softmax(logits, axis=1) - indicator) ** 2).sum(1).mean())
    temperatures = np.where(table["has_face"], temperature, 1.0)[:, None]  # a prior is no output of the model
    at_it = softmax(logits / temperatures, axis=1)
    assert not table["has_face"].all()
    assert last.scaled.brier == pytest.approx(((at_it - indicator) ** 2).sum(1).mean())
    assert temperature_words(last) == f"{temperature:.3f}"
    refit = next(system for system in report.calibrated if "refit" in system.name)
    assert (refit.temperatures, refit.scaled) == ((), None)
    assert "has no temperature: its training saw the clips that were held out before" in refit.why_not


def test_a_system_without_held_out_clips_says_so_in_one_sentence(plain: Done) -> None:
    (system,) = build_report([open_run(plain.folder)]).calibrated
    assert system.why_not.endswith("has no temperature: fold 3 seed 0 held no clips out of train (--val blocks does)")
    (section,) = calibration_sections([system])
    assert section.cells[0][-3:] == ("-", "-", "-")
    assert section.notes[-1] == system.why_not


def test_every_format_has_the_calibration(held: Done) -> None:
    report = build_report([open_run(held.folder)])
    rows = json.loads(to_json(report))["calibration"]
    assert [row["name"] for row in rows] == [system.name for system in report.calibrated]
    assert sum(count for _, _, count, _, _ in rows[0]["bins"]) == rows[0]["n"]
    assert "dfew-none (dfew): calibration" in to_markdown(report)
    assert to_csv(report).count("\ncalibration,") == len(rows)
    page = to_html(report)
    assert page.count("accuracy by confidence") == len(rows)
    assert '<a href="#calibration">' in page
