from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfer_data.errors import CorruptDataError, UsageError
from lstpnet.finished_runs import Run, find_runs, load_runs
from lstpnet.predictions_table import write_predictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.formats import to_json
from lstpnet.reporting.sections import comparison_sections, sections
from lstpnet.reporting.systems import setting_text
from lstpnet.reporting.types import Report
from lstpnet.runs import CONFIG_NAME, RunInfo, read_run, write_config, write_run
from tests.lstpnet.reporting.random_runs import one, write_folds

SETTINGS = {"name": "x", "fold": 1, "seed": 0, "dataset_sha256": "ab", "attention": "tce", "epochs": 8, "model": ""}


def loaded(root: Path) -> tuple[list[Run], Report]:
    runs, unfinished = load_runs(find_runs(root))
    return runs, build_report(runs, unfinished)


def copied(run: Run, root: Path, settings: Mapping[str, Any] | None, **changes: Any) -> Run:
    """Write a run again, under another recipe or on other data."""
    info: RunInfo = replace(run.info, **changes)
    folder = root / info.prepared / info.recipe / f"fold-{info.fold}" / f"seed-{info.seed}"
    write_predictions(folder, run.predictions)
    if settings is not None:
        write_config(folder, {"settings": settings})
    write_run(folder, info)
    return Run(folder, read_run(folder), run.predictions)


@pytest.fixture
def last(tmp_path: Path) -> list[Run]:
    """Runs of folds 1 and 2 with one checkpoint."""
    runs, _ = loaded(write_folds(tmp_path / "first", folds=(1, 2), seeds=(0,), checkpoints=("last",)))
    return runs


def test_settings_that_differ_have_a_column_and_others_none(last: list[Run], tmp_path: Path) -> None:
    root = tmp_path / "runs"
    for run in last:
        copied(run, root, {**SETTINGS, "fold": run.info.fold, "name": "a"}, recipe="a")
        copied(run, root, {**SETTINGS, "fold": run.info.fold, "name": "b", "attention": "eca"}, recipe="b")
    _, report = loaded(root)
    assert [(system.name, dict(system.settings)) for system in report.systems] == [
        ("a", {"attention": "tce"}),
        ("b", {"attention": "eca"}),
    ]
    section, *_ = comparison_sections(report)
    assert section.header[:2] == ("system", "attention")
    assert [cells[:3] for cells in section.cells] == [("a", "tce", "1 2"), ("b", "eca", "1 2")]
    assert "settings that differ: attention" in section.notes
    document = json.loads(to_json(report))["systems"]
    assert [system["settings"] for system in document] == [{"attention": "tce"}, {"attention": "eca"}]
    assert document[0]["war"] == next(row.war for row in report.rows if (row.recipe, row.fold) == ("a", "mean"))


def test_a_hash_of_a_model_is_as_short_as_those_of_the_protocol_line() -> None:
    assert setting_text(["ab" * 32, "", 0.5]) == "abababababab, -, 0.5"


def test_other_detectors_and_data_made_anew_are_told_apart_by_name(last: list[Run], tmp_path: Path) -> None:
    for run in last:
        copied(run, tmp_path / "runs", SETTINGS, prepared="dfew-dlib", dataset_sha256="cd" * 32)
        copied(run, tmp_path / "runs", SETTINGS)
    _, report = loaded(tmp_path / "runs")
    assert [system.name for system in report.systems] == ["dfew-dlib/dfew_100%", "dfew-retinaface/dfew_100%"]
    assert [test.n for test in report.paired] == [101]
    again = [copied(run, tmp_path / "again", SETTINGS, dataset_sha256="ef" * 32) for run in last]
    names = [system.name for system in build_report([*last, *again]).systems]
    assert names == ["abababab/dfew_100%", "efefefef/dfew_100%"]


def test_rows_before_and_after_a_change_of_labels_or_folds_have_their_own_names(
    last: list[Run], tmp_path: Path
) -> None:
    hashes = {"dataset_sha256": "ab" * 32, "labels_sha256": "cd" * 32, "folds_sha256": "ef" * 32}
    changes: dict[str, dict[str, Any]] = {
        "first": {},
        "relabelled": {"labels_sha256": "01" * 32},
        "refolded": {"folds_sha256": "02" * 32},
        "own": {"folds_sha256": "03" * 32, "fold_set": "mine"},
    }
    names: dict[str, list[str]] = {}
    for other in ("relabelled", "refolded", "own"):
        runs = [
            copied(run, tmp_path / other / kind, SETTINGS, **(hashes | changes[kind]))
            for kind in ("first", other)
            for run in last
        ]
        report = build_report(runs)
        names[other] = [system.name for system in report.systems]
        assert [row.folds for row in report.rows if row.fold == "mean"] == [(1, 2), (1, 2)]
        assert len({section.title for section in sections(report) if section.header[0] == "recipe"}) >= 2
    assert names == {
        "relabelled": ["labels 01010101/dfew_100%", "labels cdcdcdcd/dfew_100%"],
        "refolded": ["folds 02020202/dfew_100%", "folds efefefef/dfew_100%"],
        "own": ["folds mine/dfew_100%", "folds official/dfew_100%"],
    }


def test_a_set_of_folds_is_a_setting_and_part_of_the_folds_column(last: list[Run], tmp_path: Path) -> None:
    for run in last:
        copied(run, tmp_path / "runs", SETTINGS)
        hashes = {"labels_sha256": "cd" * 32, "folds_sha256": "ef" * 32, "fold_set": "mine"}
        copied(run, tmp_path / "runs/own", SETTINGS, **hashes)
    _, report = loaded(tmp_path / "runs")
    section, *_ = comparison_sections(report)
    shown = [dict(zip(section.header, cells, strict=True)) for cells in section.cells]
    assert [(cells["fold_set"], cells["folds"]) for cells in shown] == [("official", "1 2"), ("mine", "1 2 of mine")]
    assert "settings that differ: fold_set" in section.notes
    assert "the lines do not all have the same test clips: compare `folds` and `n` first" in section.notes


def test_runs_of_one_system_that_differ_among_themselves_are_named(last: list[Run], tmp_path: Path) -> None:
    for run in last:
        copied(run, tmp_path / "runs", {**SETTINGS, "epochs": 10 + run.info.fold}, recipe="a")
        copied(run, tmp_path / "runs", SETTINGS, recipe="b")
    _, report = loaded(tmp_path / "runs")
    assert [system.mixed for system in report.systems] == [("epochs",), ()]
    section, *_ = comparison_sections(report)
    assert section.cells[0][1] == "11, 12"
    assert "the runs of a differ in epochs: they are not one experiment" in section.notes


def test_a_folder_without_a_config_is_scored_and_said_to_be_silent(last: list[Run], tmp_path: Path) -> None:
    for run in last:
        copied(run, tmp_path / "runs", None, recipe="a")
        copied(run, tmp_path / "runs", SETTINGS, recipe="b")
    _, report = loaded(tmp_path / "runs")
    section, *_ = comparison_sections(report)
    assert "settings unknown, config.json is missing: a" in section.notes


@pytest.mark.parametrize("text", ["{", "[]", '{"settings": 3}', "{}"])
def test_a_damaged_config_is_named(last: list[Run], tmp_path: Path, text: str) -> None:
    run = copied(last[0], tmp_path / "runs", SETTINGS)
    (run.folder / CONFIG_NAME).write_text(text)
    with pytest.raises(CorruptDataError, match=r"config\.json is damaged: .*--force"):
        build_report([run])


def test_every_table_of_runs_carries_a_protocol_line(last: list[Run], tmp_path: Path) -> None:
    dropped = "short clips drop; official fold 1"
    runs = [
        copied(last[0], tmp_path / "runs", SETTINGS, recipe="a", protocol="short clips edge; official fold 1"),
        copied(last[0], tmp_path / "runs", SETTINGS, recipe="b", protocol=dropped),
    ]
    for section in sections(build_report(runs, against=("dfew",))):
        if not section.title.startswith(("paired", "published language models")):
            assert any(note.startswith("protocol: ") for note in section.notes), section.title
    section, *_ = comparison_sections(build_report(runs))
    assert section.notes[:3] == (
        "protocol: official fold 1",
        "protocol of a: short clips edge",
        "protocol of b: short clips drop",
    )


def test_a_single_system_has_no_comparison(last: list[Run]) -> None:
    assert comparison_sections(build_report(last)) == []


def test_paired_trainings_count_what_only_one_has_right(tmp_path: Path) -> None:
    root = write_folds(tmp_path)
    _, report = loaded(root)
    assert [(line.a, line.b, line.seed, line.folds) for line in report.paired_trainings] == [
        ("dfew_100% best", "dfew_100% last", seed, (1, 2, 3)) for seed in (0, 1)
    ]
    for line in report.paired_trainings:
        right = {}
        for name in ("last", "best"):
            tables = [one(root, fold, line.seed or 0, name) for fold in (1, 2, 3)]
            right[name] = np.concatenate([table["label"] == table["guess"] for table in tables])
        assert line.n == len(right["last"])
        assert line.num_only_a == int((right["best"] & ~right["last"]).sum())
        assert line.num_only_b == int((right["last"] & ~right["best"]).sum())
        assert line.war_difference == pytest.approx(right["best"].mean() - right["last"].mean())
        pooled = {row.checkpoint: row for row in report.rows if (row.fold, row.seed) == ("pooled", line.seed)}
        assert line.uar_difference == pytest.approx(pooled["best"].uar - pooled["last"].uar)


def test_runs_on_other_clips_are_not_compared(last: list[Run], tmp_path: Path) -> None:
    for run in last:
        part = run.predictions[0]
        fewer = slice(0, -1) if run.info.fold == 1 else slice(None)
        cut = replace(
            part,
            clip_ids=part.clip_ids[fewer],
            labels=part.labels[fewer],
            logits=part.logits[fewer],
            has_face=part.has_face[fewer],
        )
        copied(replace(run, predictions=(cut,)), tmp_path / "runs", SETTINGS, recipe="cut")
        copied(run, tmp_path / "runs", SETTINGS, recipe="whole")
    _, report = loaded(tmp_path / "runs")
    assert [test.folds for test in report.paired] == [(2,)]
    side_by_side, *_ = comparison_sections(report)
    assert any("do not all have the same test clips" in note for note in side_by_side.notes)


def test_many_systems_are_tested_against_one(last: list[Run], tmp_path: Path) -> None:
    runs = [copied(last[0], tmp_path / "runs", SETTINGS, recipe=f"r{number}") for number in range(8)]
    assert len(build_report(runs[:6]).paired) == 15
    assert {test.b for test in build_report(runs).paired} == {"r0"}
    named = build_report(runs, baseline="r3").paired
    assert {test.b for test in named} == {"r3"}
    assert len(named) == 7
    with pytest.raises(UsageError, match=r"no system 'r9' .*there are: r0, r1"):
        build_report(runs, baseline="r9")


def test_seeds_with_other_folds_have_lines_of_their_own(tmp_path: Path) -> None:
    write_folds(tmp_path, folds=(1, 2), seeds=(0,), checkpoints=("last",))
    write_folds(tmp_path, folds=(1,), seeds=(1,), checkpoints=("last",))
    _, report = loaded(tmp_path)
    assert [(system.row.fold, system.row.seed, system.row.n) for system in report.systems] == [
        ("mean", 0, 101),
        (1, 1, 47),
    ]
    assert len({system.name for system in report.systems}) == 2
