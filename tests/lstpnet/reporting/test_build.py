"""The rows of a report, each with the figures that scikit-learn computes from the predictions on disk."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfer_data.errors import UsageError
from dfer_data.render.tables import per_cent
from lstpnet.finished_runs import find_runs, load_runs
from lstpnet.reporting.build import build_report
from lstpnet.reporting.formats import to_csv, to_json, to_latex, to_markdown
from lstpnet.reporting.published_results import published_rows
from lstpnet.reporting.types import NEXT_COMMANDS, Report
from tests.lstpnet.reporting.random_runs import CONTROL, cells_of_markdown, check, expected, report_of, write_folds


def test_there_is_a_row_for_each_run_its_folds_and_its_seeds(report: Report) -> None:
    a_seed = [1, 2, 3, "mean", "pooled"]
    of_a_checkpoint = [(fold, seed) for seed in (0, 1) for fold in a_seed] + [("mean", "mean")]
    wanted = [(fold, seed, name) for name in ("last", "best") for fold, seed in of_a_checkpoint]
    assert [(row.fold, row.seed, row.checkpoint) for row in report.rows] == wanted
    assert [(row.fold, row.seed) for row in report.controls] == of_a_checkpoint
    assert {row.control for row in report.rows} == {""}
    assert {row.control for row in report.controls} == {CONTROL}


def test_every_figure_is_that_of_scikit_learn(report: Report, root: Path) -> None:
    for row in (*report.rows, *report.controls):
        check(row.as_dict(), root, tolerance=1e-12)
        wanted = expected(root, row.fold, row.seed, row.checkpoint or "", row.control)
        if row.seed != "mean":
            assert (row.n, row.num_classes_present) == (wanted["n"], wanted["num_classes_present"])
            faces = expected(root, row.fold, row.seed, row.checkpoint or "", row.control, faces=True)
            assert row.n_with_face == faces["n"]


def test_fold_and_seed_deviations_stand_apart(report: Report, root: Path) -> None:
    for row in report.rows:
        assert (row.fold_std is not None) == (row.fold == "mean" and row.seed != "mean")
        assert (row.seed_std is not None) == (row.seed == "mean")
        for name in ("war", "uar"):
            if row.fold_std:
                values = [expected(root, fold, row.seed, row.checkpoint or "", "")[name] for fold in (1, 2, 3)]
                assert row.fold_std[name] == pytest.approx(np.std(values, ddof=1), abs=1e-12)
            if row.seed_std:
                values = [expected(root, "mean", seed, row.checkpoint or "", "")[name] for seed in (0, 1)]
                assert row.seed_std[name] == pytest.approx(np.std(values, ddof=1), abs=1e-12)


def test_rows_say_what_they_rest_on(report: Report, root: Path) -> None:
    rows = {(row.fold, row.seed): row for row in report.rows if row.checkpoint == "last"}
    single, mean, both = rows[2, 0], rows["mean", 0], rows["mean", "mean"]
    assert single.run == (root / "dfew-retinaface/dfew_100%/fold-2/seed-0").as_posix()
    assert mean.run == both.run == (root / "dfew-retinaface/dfew_100%").as_posix()
    assert (single.n_train, mean.n_train, mean.n_val) == (102, None, 10)
    assert (mean.folds, mean.seeds, both.folds, both.seeds) == ((1, 2, 3), (0,), (1, 2, 3), (0, 1))
    assert mean.protocol == ("sampler segments-8x2; seed 0; selection: last | best; the rest differs between its runs")


def test_published_rows_stand_beside_real_runs_only(report: Report, tmp_path: Path) -> None:
    assert report.published == published_rows(("dfew",))
    made = report_of(write_folds(tmp_path, folds=(1,), seeds=(0,), synthetic=True))
    assert made.published == ()
    assert "not comparable" in made.rows[0].note
    assert "not comparable" in to_markdown(made)


def test_one_fold_has_no_mean_and_full_faces_no_second_figure(tmp_path: Path) -> None:
    found = report_of(write_folds(tmp_path, folds=(3,), seeds=(0,), checkpoints=("last",), faceless=False))
    (row,) = found.rows
    assert (row.fold, row.seed, row.n_with_face) == (3, 0, row.n)
    assert (row.war_with_face, row.uar_with_face, row.fold_std, row.seed_std) == (None, None, None, None)
    assert "with face" not in to_markdown(found)


def test_seeds_of_one_fold_have_a_deviation(tmp_path: Path) -> None:
    found = report_of(write_folds(tmp_path, folds=(3,), seeds=(0, 1, 2), checkpoints=("last",)))
    *singles, both = found.rows
    assert (both.fold, both.seed, both.seeds) == (3, "mean", (0, 1, 2))
    assert both.seed_std is not None
    assert both.seed_std["war"] == pytest.approx(np.std([row.war for row in singles], ddof=1))


def test_a_mean_of_seeds_with_other_clips_says_so(tmp_path: Path) -> None:
    write_folds(tmp_path, folds=(3,), seeds=(0, 1), checkpoints=("last",))
    (first, second), _ = load_runs(find_runs(tmp_path))
    parts = tuple(
        replace(
            part, clip_ids=part.clip_ids[1:], labels=part.labels[1:], logits=part.logits[1:], has_face=part.has_face[1:]
        )
        for part in second.predictions
    )
    rows = build_report([first, replace(second, predictions=parts)]).rows
    numbers = [row.n for row in rows if row.seed != "mean"]
    (mean,) = [row for row in rows if row.seed == "mean"]
    assert f"the seeds tested other clips ({numbers[0]}, {numbers[0] - 1})" in mean.note
    assert mean.war_interval is None


def test_seeds_with_other_folds_are_not_averaged(tmp_path: Path) -> None:
    write_folds(tmp_path, folds=(1, 2), seeds=(0,), checkpoints=("last",))
    write_folds(tmp_path, folds=(1, 2, 3), seeds=(1,), checkpoints=("last",))
    assert "mean" not in {row.seed for row in report_of(tmp_path).rows}


def test_data_prepared_anew_is_other_data(tmp_path: Path) -> None:
    write_folds(tmp_path, folds=(1, 2), seeds=(0,), checkpoints=("last",))
    runs, _ = load_runs(find_runs(tmp_path))
    other = replace(runs[1], info=replace(runs[1].info, dataset_sha256="cd" * 32))
    assert [row.fold for row in build_report([runs[0], other]).rows] == [1, 2]


@pytest.mark.parametrize(
    "change", [{"labels_sha256": "cd" * 32, "folds_sha256": "ef" * 32}, {"fold_set": "mine"}], ids=str
)
def test_runs_on_other_labels_or_another_set_of_folds_are_never_combined(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    write_folds(tmp_path, folds=(1, 2), seeds=(0,), checkpoints=("last",))
    runs, _ = load_runs(find_runs(tmp_path))
    other = replace(runs[1], info=replace(runs[1].info, **change))
    report = build_report([runs[0], other])
    assert {row.fold for row in report.rows} == {1, 2}
    document = report.as_dict()["rows"]
    names = ("dataset_sha256", "labels_sha256", "folds_sha256", "fold_set")
    expected = {"dataset_sha256": "ab" * 32, "labels_sha256": "ab" * 32, "folds_sha256": "ab" * 32}
    expected |= {"fold_set": "official"}
    found = [{name: row[name] for name in names} for row in sorted(document, key=lambda row: row["fold"])]
    assert found == [expected, expected | change]


def test_data_of_another_pipeline_version_are_never_combined(tmp_path: Path) -> None:
    write_folds(tmp_path, folds=(1, 2), seeds=(0,), checkpoints=("last",))
    runs, _ = load_runs(find_runs(tmp_path))
    newer = replace(runs[1], info=replace(runs[1].info, pipeline_version=2))
    report = build_report([runs[0], newer])
    assert [(row.fold, row.pipeline_version) for row in report.rows] == [(1, 1), (2, 2)]
    assert [row.note for row in report.rows] == [
        f"data of pipeline version {number}: never combined with other versions" for number in (1, 2)
    ]
    assert not any("pipeline" in row.note for row in build_report(runs).rows)
    assert len(report.systems) == 2
    assert report.as_dict()["rows"][1]["pipeline_version"] == 2


def test_the_same_fold_twice_is_refused_naming_both(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_folds(tmp_path / name, folds=(3,), seeds=(0,))
    with pytest.raises(UsageError, match=r"a/dfew.* and .*b/dfew.*fold 3 seed 0"):
        report_of(tmp_path)


def test_a_fold_where_no_clip_has_a_face_has_no_figure_on_faces(tmp_path: Path) -> None:
    runs, _ = load_runs(find_runs(write_folds(tmp_path, folds=(1, 2), seeds=(0,), checkpoints=("last",))))
    blind = replace(runs[0].predictions[0], has_face=np.zeros(len(runs[0].predictions[0].labels), np.bool_))
    rows = build_report([replace(runs[0], predictions=(blind,)), runs[1]]).rows
    assert [row.war_with_face is None for row in rows] == [True, False, True, False]  # 1, 2, mean, pooled
    assert rows[0].n_with_face == 0


def test_every_row_has_intervals_around_its_figures(report: Report, root: Path) -> None:
    for row in (*report.rows, *report.controls):
        for figure, intervals in ((row.war, row.war_interval), (row.uar, row.uar_interval)):
            assert intervals is not None
            assert set(intervals) == {"clips"}
            for interval in intervals.values():
                assert 0 <= interval.low < interval.high <= 1
                assert interval.low - 0.05 <= figure <= interval.high + 0.05
    line = json.loads(to_json(report))["rows"][0]
    first = report.rows[0].war_interval
    assert first is not None
    assert (line["unit"], line["war_interval"]["clips"]) == ("clips", [first["clips"].low, first["clips"].high])
    cells = cells_of_markdown(to_markdown(report))
    column = cells[0].index("WAR 95 %")
    assert cells[2][column] == f"{per_cent(first['clips'].low)} to {per_cent(first['clips'].high)}"
    csv_line = next(csv.DictReader(io.StringIO(to_csv(report))))
    assert csv_line["uar_interval_clips"].count(" ") == 1


def test_clips_without_a_face_are_listed_by_id(tmp_path: Path) -> None:
    runs, _ = load_runs(find_runs(write_folds(tmp_path, folds=(1, 2), seeds=(0,), checkpoints=("last",))))
    parts = [run.predictions[0] for run in runs]
    hidden = [np.arange(len(part.clip_ids)) >= number for part, number in zip(parts, (2, 25), strict=True)]
    changed = [replace(part, has_face=seen) for part, seen in zip(parts, hidden, strict=True)]
    found = build_report([replace(run, predictions=(part,)) for run, part in zip(runs, changed, strict=True)])
    lost = [tuple(sorted(part.clip_ids[:number])) for part, number in zip(parts, (2, 25), strict=True)]
    both = tuple(sorted(lost[0] + lost[1]))
    assert [row.clips_without_face for row in found.rows] == [*lost, both, both]  # folds 1 and 2, mean, pooled
    assert json.loads(to_json(found))["rows"][1]["clips_without_face"] == list(lost[1])
    text = to_markdown(found)
    assert f"test clips without a face, fold 1: {', '.join(lost[0])}\n" in text
    assert f"test clips without a face, fold 2: {', '.join(lost[1][:20])} and 5 more\n" in text


def test_without_runs_the_published_rows_and_the_next_command_are_there() -> None:
    found = build_report([])
    document = json.loads(to_json(found))
    assert (document["rows"], document["next"]) == ([], list(NEXT_COMMANDS))
    assert {row["dataset"] for row in document["published"]} == {"dfew", "ferv39k", "afew"}
    assert len(document["published"]) == 155
    for text in (to_markdown(found), to_latex(found)):
        assert "71.16" in text
        assert "11,683 of 11,697" in text
