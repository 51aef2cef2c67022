"""Persons of a user's own videos: their clips are drawn together, in reports and in `dfer inspect` alike."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lstpnet
from dfer_data.inspection.id_order import neighbours_section
from dfer_data.loading.prepared import PreparedDataset, open_dataset
from lstpnet.finished_runs import Run
from lstpnet.predictions import Predictions
from lstpnet.reporting.run_people import people_of
from lstpnet.reporting.sections import sections
from lstpnet.reporting.uncertainty.dependence import UNIT_NOTES
from tests.dfer_data.sealed import write_small_files
from tests.lstpnet.small_run import run_info

NAMES = ("happy", "sad", "fear")
IDS = [f"{number:03d}.mp4" for number in range(120)]
PERSONS = {clip_id: f"Vp {number % 12}" for number, clip_id in enumerate(IDS)}
"""Clip -> person, of twelve; neighbouring ids are of other persons."""
LABELS = [NAMES[index] for index in np.random.default_rng(1).integers(0, 3, len(IDS))]


def prepared(root: Path, persons: Mapping[str, str], *, dataset: str = "folder") -> PreparedDataset:
    """A dataset of which fold 1 tests every clip, but one that is trained on."""
    group = [persons.get(clip_id) for clip_id in IDS]
    clips = pd.DataFrame({"clip_id": IDS, "label": LABELS, "group": group, "status": "ok"})
    folds = {"1": {clip_id: "test" if clip_id != IDS[-1] else "train" for clip_id in IDS}}
    write_small_files(root / "prepared" / "mine", clips, folds, class_names=NAMES, dataset=dataset)
    return open_dataset(root / "prepared" / "mine")


def run_on(data: PreparedDataset, clip_ids: Sequence[str] = IDS, *, fold: int = 1) -> Run:
    """A run that is right about whole persons."""
    is_right = np.array([int(PERSONS[clip_id].removeprefix("Vp ")) % 2 == 0 for clip_id in clip_ids])
    labels = [LABELS[IDS.index(clip_id)] for clip_id in clip_ids]
    numbers = np.array([NAMES.index(label) for label in labels])
    logits = np.eye(3, dtype=np.float32)[np.where(is_right, numbers, (numbers + 1) % 3)]
    part = Predictions(tuple(clip_ids), tuple(labels), logits, np.ones(len(labels), np.bool_), "last")
    identity = data.identity()
    info = run_info(
        dataset=data.document["dataset"],
        prepared="mine",
        dataset_sha256=identity.content_sha256,
        labels_sha256=identity.labels_sha256,
        folds_sha256=identity.folds_sha256,
        class_names=NAMES,
        fold=fold,
        id_order="none seen",
    )
    return Run(Path(f"runs/fold-{fold}"), info, (part,))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PreparedDataset:
    monkeypatch.chdir(tmp_path)
    return prepared(tmp_path, PERSONS)


def test_intervals_draw_the_clips_of_a_person_together(data: PreparedDataset) -> None:
    report = lstpnet.report(run_on(data)).report
    (row,) = report.rows
    assert row.unit == "people"
    assert row.war_interval is not None
    of_people, of_clips = row.war_interval["people"], row.war_interval["clips"]
    assert of_people.high - of_people.low > 2 * (of_clips.high - of_clips.low)
    assert f"95 %: {UNIT_NOTES['people']}" in [note for section in sections(report) for note in section.notes]
    assert "order: people; the person of a clip is known; intervals resample people" in neighbours_section(data).notes


def test_predictions_of_other_models_are_drawn_alike(data: PreparedDataset, tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("clip_id,prediction\n" + "".join(f"{clip_id},happy\n" for clip_id in IDS[:-1]))
    report = lstpnet.report(predictions=[path], folds=[1], data=data).report
    assert [row.unit for row in report.rows] == ["people"]


def test_a_clip_of_nobody_known_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    persons = {clip_id: person for clip_id, person in PERSONS.items() if person != "Vp 3"}
    run = run_on(prepared(tmp_path, persons))
    assert people_of(run.info) == persons
    assert [row.unit for row in lstpnet.report(run).report.rows] == ["people"]


def test_folds_of_one_person_each_draw_clips(data: PreparedDataset) -> None:
    """Leave one subject out: no interval could come from a single person."""
    runs = [run_on(data, [i for i in IDS if PERSONS[i] == f"Vp {fold}"], fold=fold) for fold in (1, 2)]
    assert {row.unit for row in lstpnet.report(runs).report.rows} == {"clips"}


@pytest.mark.parametrize("dataset", ["ferv39k", "meld"])
def test_groups_of_published_datasets_are_no_persons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    """A scene of FERV39k and an episode of MELD have many people."""
    monkeypatch.chdir(tmp_path)
    assert not people_of(run_on(prepared(tmp_path, PERSONS, dataset=dataset)).info)


def test_without_the_very_dataset_nobody_is_known(data: PreparedDataset, tmp_path: Path) -> None:
    run = run_on(data)
    assert people_of(run.info) == PERSONS
    assert not people_of(replace(run.info, labels_sha256="0" * 64))
    (data.root / "dataset.json").write_text("{")
    assert not people_of(run.info)
    shutil.rmtree(tmp_path / "prepared")
    assert not people_of(run.info)
    assert [row.unit for row in lstpnet.report(run).report.rows] == ["clips"]
