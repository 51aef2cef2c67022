"""FERV39k's table by scene, against counts by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lstpnet.finished_runs import Run, score_run
from lstpnet.predictions import Predictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.ferv39k_scenes import scene_rows
from lstpnet.reporting.formats import RENDERERS
from lstpnet.reporting.html.page import to_html
from lstpnet.reporting.sections import sections
from tests.lstpnet.small_run import run_info

NAMES = ("happy", "sad")
CLIPS = {"War/Sad/0001": "sad", "War/Sad/0002": "sad", "War/Happy/0001": "happy", "Action/Happy/0001": "happy"}


def run(guesses: str, *, seed: int = 0, dataset: str = "ferv39k", control: str = "") -> Run:
    """A run whose guesses are numbers of classes, in the order of CLIPS; predictions under a control come with it."""
    info = run_info(dataset=dataset, prepared="ferv39k-none", recipe="ferv39k", seed=seed, class_names=NAMES)
    logits = np.eye(2, dtype=np.float32)[[int(guess) for guess in guesses]]
    part = Predictions(tuple(CLIPS), tuple(CLIPS.values()), logits, np.ones(4, np.bool_), "last")
    parts = (part, replace(part, control=control)) if control else (part,)
    return Run(Path(f"runs/ferv39k-none/ferv39k/fold-1/seed-{seed}"), info, parts)


def test_a_scene_is_scored_on_its_own_clips_and_classes() -> None:
    rows = {row.scene: row for row in scene_rows([score_run(run("1011", control="repeated-frame"))])}
    assert list(rows) == ["Action", "War"]
    war = rows["War"]  # sad right, sad wrong, happy wrong
    assert (war.n, war.num_classes_present) == (3, 2)
    assert [war.war, war.uar] == pytest.approx([1 / 3, 0.25])
    assert (rows["Action"].war, rows["Action"].num_classes_present) == (0, 1)


def test_several_seeds_are_averaged() -> None:
    rows = {row.scene: row for row in scene_rows([score_run(run("1100")), score_run(run("1000", seed=3))])}
    assert rows["War"].seeds == (0, 3)
    assert rows["War"].war == pytest.approx((3 / 3 + 2 / 3) / 2)
    assert rows["Action"].war == 1


def test_a_scene_that_a_seed_did_not_test_is_a_row_of_the_other_seeds() -> None:
    """Such as runs of one name that leave out short clips, and runs that do not."""
    first, second = run("1100"), run("1000", seed=3)
    (part,) = second.predictions
    shorter = replace(
        part, clip_ids=part.clip_ids[:3], labels=part.labels[:3], logits=part.logits[:3], has_face=part.has_face[:3]
    )
    found = scene_rows(map(score_run, (first, replace(second, predictions=(shorter,)))))
    assert [(row.scene, row.seeds) for row in found] == [("Action", (0,)), ("War", (0, 3))]
    other_first = scene_rows(map(score_run, (replace(first, predictions=(shorter,)), second)))
    assert [(row.scene, row.seeds) for row in other_first] == [("Action", (3,)), ("War", (0, 3))]


def test_other_datasets_have_no_such_table() -> None:
    assert scene_rows([score_run(run("1100", dataset="dfew"))]) == ()


def test_the_report_has_the_table_in_every_format() -> None:
    found = build_report([run("1100")])
    (section,) = [one for one in sections(found) if "scenes" in one.title]
    assert section.title == "ferv39k-none, 2 scenes: ferv39k last, fold 1, seed 0: per cent"
    assert section.cells == (("Action", "1", "100.00", "100.00", "1"), ("War", "3", "100.00", "100.00", "2"))
    assert [row["scene"] for row in json.loads(RENDERERS["json"](found))["scenes"]] == ["Action", "War"]
    assert "| War | 3 | 100.00 |" in RENDERERS["md"](found)
    assert "2 scenes: ferv39k last, fold 1" in to_html(found)
    assert sum(line.startswith("scene,") for line in RENDERERS["csv"](found).splitlines()) == 2
