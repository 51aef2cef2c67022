from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_data.errors import UsageError
from dfer_data.sources.official_counts import official
from lstpnet.finished_runs import Run, find_runs, load_runs
from lstpnet.predictions import Predictions
from lstpnet.reporting.build import build_report
from lstpnet.reporting.published_results import dataset_named, published_rows
from lstpnet.reporting.ranking import own_mismatch
from lstpnet.reporting.rows import is_complete
from lstpnet.reporting.sections import published_sections, sections
from lstpnet.reporting.types import Report
from tests.lstpnet.reporting.random_runs import write_folds


def whole_runs(root: Path, *, right: float) -> list[Run]:
    """Runs on all official test clips of DFEW, of which a share is right."""
    runs, _ = load_runs(find_runs(write_folds(root, folds=(1,), seeds=(0,), checkpoints=("last",))))
    facts, rng = official("dfew"), np.random.default_rng(0)
    found = []
    for fold, counts in facts.num_test.items():
        labels = [name for name, count in zip(facts.class_names, counts, strict=True) for _ in range(count)]
        logits = rng.normal(size=(len(labels), 7)).astype(np.float32)
        is_right = rng.random(len(labels)) < right
        logits[is_right, [facts.class_names.index(labels[place]) for place in np.flatnonzero(is_right)]] += 20
        ids = tuple(f"{fold}{number:04d}" for number in range(len(labels)))
        part = Predictions(ids, tuple(labels), logits, np.ones(len(labels), np.bool_), "last")
        info = replace(runs[0].info, fold=int(fold), class_names=facts.class_names)
        found.append(Run(root / fold, info, (part,)))
    return found


def test_the_lines_are_sorted_by_war_with_ones_own_among_them(tmp_path: Path) -> None:
    report = build_report(whole_runs(tmp_path, right=0.65), against=("dfew",))
    section, language_models = published_sections(report)
    assert len(section.cells) == 71 + 1
    figures = [float(cells[2]) for cells in section.cells]
    assert figures == sorted(figures, reverse=True)
    (own,) = [cells for cells in section.cells if cells[0].startswith(">")]
    (row,) = [row for row in report.rows if row.fold == "mean"]
    assert own[:4] == ("> dfew_100%", "-", f"{100 * row.war:.2f}", f"{100 * row.uar:.2f}")
    assert own[section.header.index("n")] == "11697"
    assert own_mismatch(row) == []
    lstpnet = next(cells for cells in section.cells if cells[0].startswith("LSTPNet"))
    assert lstpnet[0] == "LSTPNet (journal) *"
    assert any(note.startswith("* LSTPNet (journal): drops test clips") for note in section.notes)
    assert any(note.startswith("\N{DAGGER} STT: WAR 66.65 in") for note in section.notes)
    assert language_models.title == "published language models, DFEW: per cent"
    names = [cells[0] for cells in language_models.cells]
    assert sorted(names) == ["Emotion-LLaMA (A+V)", "FaVChat", "HumanOmni (A+V)", "SignificantOther-7B \N{DAGGER}"]
    assert not {cells[0] for cells in section.cells} & set(names)
    assert any("no ranks among the others" in note for note in language_models.notes)


def test_rendered_heads_short_clips_left_out_and_missing_folds_are_marked(tmp_path: Path) -> None:
    runs = whole_runs(tmp_path, right=0.5)
    synthetic = [replace(run, info=replace(run.info, synthetic=True)) for run in runs]
    (mean,) = [row for row in build_report(synthetic).rows if row.fold == "mean"]
    assert own_mismatch(mean) == ["synthetic heads: not comparable with published figures"]
    part = runs[0].predictions[0]
    cut = replace(
        part, clip_ids=part.clip_ids[3:], labels=part.labels[3:], logits=part.logits[3:], has_face=part.has_face[3:]
    )
    (mean,) = [
        row for row in build_report([replace(runs[0], predictions=(cut,)), *runs[1:]]).rows if row.fold == "mean"
    ]
    assert own_mismatch(mean) == ["11,694 test clips instead of the official 11,697"]
    assert own_mismatch(build_report(runs[2:3]).rows[0]) == ["official folds 1, 2, 4, 5 are missing"]
    own = [replace(run, info=replace(run.info, fold_set="mine")) for run in runs]
    (mean,) = [row for row in build_report(own).rows if row.fold == "mean"]
    assert own_mismatch(mean) == ["folds of mine, not the official ones"]


def test_sizes_are_compared_where_counts_per_class_are_unknown(tmp_path: Path) -> None:
    (mean,) = [row for row in build_report(whole_runs(tmp_path, right=0.5)).rows if row.fold == "mean"]
    assert own_mismatch(replace(mean, dataset="mafw", n=9172)) == []
    assert own_mismatch(replace(mean, dataset="mafw", n=9171)) == ["9,171 test clips instead of the official 9,172"]
    assert own_mismatch(replace(mean, dataset="caer")) == []


def test_a_mean_in_which_a_class_is_missing_somewhere_is_marked_and_ranked_last(tmp_path: Path) -> None:
    runs = whole_runs(tmp_path, right=0.99)
    part = runs[1].predictions[0]
    kept = np.array([label != "disgust" for label in part.labels])
    cut = Predictions(
        tuple(np.array(part.clip_ids)[kept].tolist()),
        tuple(np.array(part.labels)[kept].tolist()),
        part.logits[kept],
        part.has_face[kept],
        "last",
    )
    report = build_report([replace(runs[1], predictions=(cut,)), runs[0], *runs[2:]], against=("dfew",))
    (mean,) = [row for row in report.rows if row.fold == "mean"]
    assert not is_complete(mean)
    assert "incomplete mean, fold 2 has no test clips of disgust" in own_mismatch(mean)
    section, _ = published_sections(report)
    assert section.cells[-1][0] == "> dfew_100% *"
    assert float(section.cells[-1][2]) > float(section.cells[0][2])
    (table,) = [table for table in sections(report) if "recipe" in table.header and "WAR 95 %" in table.header]
    folds = [cells[table.header.index("fold")] for cells in table.cells]
    assert [fold for fold in folds if "incomplete" in fold] == ["mean of 1 2 3 4 5 (incomplete)"]


def test_a_dataset_without_official_counts_has_nothing_to_compare(tmp_path: Path) -> None:
    run = whole_runs(tmp_path, right=0.5)[0]
    row = build_report([replace(run, info=replace(run.info, dataset="mine"))]).rows[0]
    assert own_mismatch(row) == []
    report = build_report([run], against=("mafw",))
    assert isinstance(report, Report)
    section, _ = published_sections(report)
    assert section.notes[0] == "this report has no line on this dataset"


@pytest.mark.parametrize(
    ("name", "dataset"),
    [("DFEW", "dfew"), ("FERV39k", "ferv39k"), ("afew", "afew"), ("AFEW7.0-val", "afew"), ("MAFW", "mafw")],
)
def test_datasets_have_the_names_that_people_use(name: str, dataset: str) -> None:
    assert dataset_named(name) == dataset
    assert {row.dataset for row in published_rows((dataset,))} == {dataset}


def test_an_unknown_dataset_is_named() -> None:
    with pytest.raises(UsageError, match=r"no published figures on 'FER2013'; choose one of dfew, ferv39k"):
        dataset_named("FER2013")
