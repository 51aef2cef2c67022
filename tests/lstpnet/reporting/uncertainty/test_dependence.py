"""Which clips are drawn together, by dataset, and what the report says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lstpnet
from dfer_data.sources.official_counts import IdOrder, official
from lstpnet.finished_runs import Run, score_run
from lstpnet.predictions import Predictions
from lstpnet.reporting.sections import sections
from lstpnet.reporting.uncertainty.dependence import (
    UNIT_NOTES,
    headline_interval,
    interval_text,
    num_blocks,
    order_of_runs,
    resampling_units,
    unit_of,
)
from tests.lstpnet.small_run import run_info

NAMES = ("happy", "sad", "fear")
ORDERED, NONE_SEEN = IdOrder("ordered"), IdOrder("none seen")


def run_of(
    clip_ids: Sequence[str], labels: Sequence[str], *, dataset: str, id_order: str = "", synthetic: bool = False
) -> Run:
    """A run on one fold that predicts films of ten neighbouring clips right or wrong together."""
    rng = np.random.default_rng(4)
    is_right = np.repeat(rng.random(-(-len(labels) // 10)) < 0.6, 10)[: len(labels)]
    numbers = np.array([NAMES.index(label) for label in labels])
    logits = np.eye(3, dtype=np.float32)[np.where(is_right, numbers, (numbers + 1) % 3)]
    part = Predictions(tuple(clip_ids), tuple(labels), logits, np.ones(len(labels), np.bool_), "last")
    info = run_info(
        dataset=dataset,
        prepared=f"{dataset}-none",
        recipe="r",
        class_names=NAMES,
        synthetic=synthetic,
        id_order=id_order,
    )
    return Run(Path(f"runs/{dataset}"), info, (part,))


def ids(number: int) -> list[str]:
    return [f"{index:05d}" for index in range(number)]


def mixed(number: int) -> list[str]:
    """Labels in random order."""
    return [NAMES[index] for index in np.random.default_rng(1).integers(0, 3, number)]


def runs_of_labels(number: int) -> list[str]:
    """Labels in runs of ten."""
    return [label for label in mixed(number // 10) for _ in range(10)]


def test_without_an_order_each_clip_is_a_unit() -> None:
    assert resampling_units(NONE_SEEN, ["b", "a", "c"]).tolist() == [1, 0, 2]


def test_blocks_are_neighbours_over_all_classes_of_about_the_square_root_and_of_one_length() -> None:
    clip_ids = ids(100)
    units = resampling_units(ORDERED, clip_ids)
    assert units.tolist() == [number // 10 for number in range(100)]
    shuffled = np.random.default_rng(0).permutation(100)
    assert resampling_units(ORDERED, [clip_ids[index] for index in shuffled]).tolist() == units[shuffled].tolist()
    for number in (1, 2, 3, 23, 383, 1839):
        sizes = np.bincount(resampling_units(ORDERED, ids(number)))
        assert len(sizes) == num_blocks(number)
        assert sizes.max() - sizes.min() <= 1


def test_the_number_of_blocks_is_about_the_square_root() -> None:
    assert [num_blocks(number) for number in (1, 2, 29, 383, 1839, 2340)] == [1, 1, 5, 20, 43, 48]


def test_no_clip_at_all_has_no_unit() -> None:
    assert resampling_units(ORDERED, []).tolist() == resampling_units(NONE_SEEN, []).tolist() == []


@pytest.mark.parametrize(
    ("dataset", "clip_ids", "units"),
    [
        ("cremad", ["1003_IEO_SAD_LO", "1001_DFA_ANG_XX", "1003_DFA_ANG_XX", "1001_WSI_HAP_XX"], [1, 0, 1, 0]),
        ("ravdess", ["02-01-01-01-01-01-02", "02-01-01-01-01-01-01", "02-01-08-02-02-02-02"], [1, 0, 1]),
    ],
)
def test_clips_of_one_actor_are_one_unit_where_ids_name_the_actor(
    dataset: str, clip_ids: list[str], units: list[int]
) -> None:
    order = official(dataset).order
    assert unit_of(order) == "people"
    assert resampling_units(order, clip_ids).tolist() == units


def test_clips_that_an_audit_groups_are_one_unit_unless_people_or_blocks_are_known() -> None:
    clusters = {"a": "000001", "c": "000001", "x": "000009"}
    audited = replace(NONE_SEEN, clusters=clusters)
    assert unit_of(audited) == "clusters"
    units = resampling_units(audited, ["c", "b", "a", "000001"]).tolist()
    assert units[0] == units[2]
    assert len(set(units)) == 3
    assert unit_of(replace(ORDERED, clusters=clusters)) == "blocks"
    assert unit_of(replace(official("cremad").order, clusters=clusters)) == "people"


@pytest.mark.parametrize(
    ("dataset", "id_order", "labels", "synthetic", "kind"),
    [
        ("dfew", "", mixed, False, "none seen"),
        ("dfew", "none seen", mixed, False, "none seen"),
        ("ferv39k", "", mixed, False, "none seen"),
        ("mafw", "none seen", mixed, False, "ordered"),  # known of the dataset
        ("mafw", "none seen", mixed, True, "none seen"),  # a rendered tree in its shape
        ("afew", "ordered", mixed, False, "ordered"),  # as the test on the user's tree says
        ("afew", "none seen", runs_of_labels, False, "none seen"),
        ("afew", "", runs_of_labels, False, "ordered"),  # nothing recorded: the labels of the test clips
        ("afew", "", mixed, False, "none seen"),
        ("folder", "ordered", mixed, False, "ordered"),
        ("folder", "", runs_of_labels, False, "ordered"),
        ("dfew", "ordered", mixed, False, "ordered"),  # a user's own ids under the dataset's name
    ],
)
def test_the_order_is_that_of_the_dataset_or_of_its_own_test(
    dataset: str, id_order: str, labels: Callable[[int], list[str]], synthetic: bool, kind: str
) -> None:
    run = run_of(ids(200), labels(200), dataset=dataset, id_order=id_order, synthetic=synthetic)
    assert order_of_runs([score_run(run)]).kind == kind


def test_one_order_holds_for_all_runs_on_the_same_data() -> None:
    first = run_of(ids(200), mixed(200), dataset="folder", id_order="none seen")
    second = replace(first, info=replace(first.info, fold=2, id_order="ordered"), folder=Path("runs/second"))
    report = lstpnet.report([first, second]).report
    assert {row.unit for row in report.rows} == {"blocks"}


@pytest.mark.parametrize(("dataset", "unit"), [("dfew", "clips"), ("mafw", "blocks")])
def test_the_headline_interval_and_its_line_follow_the_dataset(dataset: str, unit: str) -> None:
    report = lstpnet.report(run_of(ids(400), mixed(400), dataset=dataset)).report
    (row,) = report.rows
    assert row.unit == unit
    assert row.war_interval is not None
    assert set(row.war_interval) == {"clips", unit}
    table = sections(report)[0]
    shown = dict(zip(table.header, table.cells[0], strict=True))["WAR 95 %"]
    assert shown == interval_text(row.war_interval[unit])
    assert [note for note in table.notes if note.startswith("95 %")] == [f"95 %: {UNIT_NOTES[row.unit]}"]


def test_the_line_of_single_clips_does_not_claim_independence() -> None:
    assert UNIT_NOTES["clips"] == (
        "clips treated as independent; film membership unknown; a lower bound of the uncertainty"
    )


def test_blocks_are_wider_where_neighbours_are_right_together() -> None:
    (row,) = lstpnet.report(run_of(ids(400), mixed(400), dataset="mafw")).report.rows
    assert row.war_interval is not None
    blocks, clips = (row.war_interval[name] for name in ("blocks", "clips"))
    assert blocks.high - blocks.low > 2 * (clips.high - clips.low)


def test_an_interval_that_is_missing_is_a_dash() -> None:
    assert headline_interval(None, "blocks") is None
    assert interval_text(None) == "-"
