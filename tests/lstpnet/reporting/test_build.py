"""Every figure of every format is computed again here, by scikit-learn, from the predictions on disk."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

import dfer_data
from dfer_data.errors import AnnotationError, UsageError
from dfer_data.render.tables import per_cent
from lstpnet.finished_runs import find_runs, load_runs
from lstpnet.predictions import Predictions
from lstpnet.predictions_table import write_predictions
from lstpnet.reporting.build import build_report, report_predictions
from lstpnet.reporting.formats import to_csv, to_json, to_latex, to_markdown
from lstpnet.reporting.html.page import to_html
from lstpnet.reporting.published_results import published_rows
from lstpnet.reporting.rows import Row
from lstpnet.reporting.sections import sections
from lstpnet.reporting.types import NEXT_COMMANDS, Report
from lstpnet.runs import PREDICTIONS_NAME, RunInfo, write_run
from tests.dfer_data.sealed import write_small_files

NAMES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
CONTROL = "shuffled-frames"


def write_folds(
    root: Path,
    *,
    folds: Sequence[int] = (1, 2, 3),
    seeds: Sequence[int] = (0, 1),
    checkpoints: Sequence[str] = ("last", "best"),
    synthetic: bool = False,
    faceless: bool = True,
) -> Path:
    """Write runs of random predictions; fold 2 has no clip of disgust, some clips have no face."""
    for fold in folds:
        for seed in seeds:
            rng = np.random.default_rng((fold, seed))
            number = 40 + 7 * fold
            classes = [name for name in NAMES if not (fold == 2 and name == "disgust")]
            labels = tuple(classes[i % len(classes)] for i in range(number))
            clip_ids = tuple(f"{1000 * fold + i:05d}" for i in range(number))
            has_face = rng.random(number) > (0.1 if faceless else -1)
            parts = [
                Predictions(clip_ids, labels, rng.normal(size=(number, 7)).astype(np.float32), has_face, name, control)
                for name in checkpoints
                for control in (("", CONTROL) if name == "last" else ("",))
            ]
            info = RunInfo(
                dataset="dfew",
                prepared="dfew-retinaface",
                dataset_sha256="ab" * 32,
                recipe="dfew_100%",
                fold=fold,
                seed=seed,
                class_names=NAMES,
                n_train=100 + fold,
                n_val=10,
                synthetic=synthetic,
                protocol=f"sampler segments-8x2; official fold {fold}; seed {seed}; selection: last | best",
                checkpoints=tuple(checkpoints),
                finished=True,
            )
            folder = root / "dfew-retinaface" / "dfew_100%" / f"fold-{fold}" / f"seed-{seed}"
            write_predictions(folder, parts)
            write_run(folder, info)
    return root


def report_of(root: Path) -> Report:
    return build_report(*load_runs(find_runs(root)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folds(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def report(root: Path) -> Report:
    return report_of(root)


def figures(table: pd.DataFrame) -> dict[str, Any]:
    """WAR, UAR, recalls by scikit-learn; `table` has label and guess."""
    present = sorted(set(table["label"]))
    macro = reference.recall_score(table["label"], table["guess"], labels=present, average="macro", zero_division=0)
    each = reference.recall_score(table["label"], table["guess"], labels=present, average=None, zero_division=0)
    recall = dict.fromkeys(NAMES) | dict(zip(present, each.tolist(), strict=True))
    guessed = sorted(set(table["guess"]))
    each = reference.precision_score(table["label"], table["guess"], labels=guessed, average=None, zero_division=0)
    f1 = reference.f1_score(table["label"], table["guess"], labels=present, average=None, zero_division=0)
    return {
        "n": len(table),
        "war": float(reference.accuracy_score(table["label"], table["guess"])),
        "uar": float(macro),
        "macro_f1": float(np.mean(f1)),
        "recall": recall,
        "f1": dict.fromkeys(NAMES) | dict(zip(present, f1.tolist(), strict=True)),
        "precision": dict.fromkeys(NAMES) | dict(zip(guessed, each.tolist(), strict=True)),
        "num_classes_present": len(present),
        "confusion": reference.confusion_matrix(table["label"], table["guess"], labels=NAMES).tolist(),
    }


def one(root: Path, fold: int, seed: int, checkpoint: str, control: str = "") -> pd.DataFrame:
    path = root / "dfew-retinaface" / "dfew_100%" / f"fold-{fold}" / f"seed-{seed}" / PREDICTIONS_NAME
    table = pd.read_parquet(path)
    table = table[(table["checkpoint"] == checkpoint) & (table["control"] == control)]
    return table.assign(guess=[NAMES[int(np.argmax(logits))] for logits in table["logits"]])


def mean_figures(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("war", "uar", "macro_f1")
    found: dict[str, Any] = {name: float(np.mean([part[name] for part in parts])) for name in names}
    for key in ("recall", "precision", "f1"):
        there = {name: [part[key][name] for part in parts if part[key][name] is not None] for name in NAMES}
        found[key] = {name: float(np.mean(values)) if values else None for name, values in there.items()}
    return found | {"confusion": None}


@functools.cache
def expected(root: Path, fold: Any, seed: Any, checkpoint: str, control: str, *, faces: bool = False) -> dict[str, Any]:
    """The figures of a row, named by its fold and seed, from the files."""
    if seed == "mean":
        return mean_figures([expected(root, fold, each, checkpoint, control, faces=faces) for each in (0, 1)])
    tables = {number: one(root, number, seed, checkpoint, control) for number in (1, 2, 3)}
    tables = {number: table[table["has_face"]] if faces else table for number, table in tables.items()}
    if fold == "pooled":
        return figures(pd.concat(tables.values()))
    if fold == "mean":
        parts = [figures(table) for table in tables.values()]
        total = {"n": sum(part["n"] for part in parts), "num_classes_present": 6}
        return mean_figures(parts) | total
    return figures(tables[fold])


def check(row: Mapping[str, Any], root: Path, *, tolerance: float, scale: float = 1.0) -> None:
    """Compare WAR, UAR, recalls, precisions, confusion and the figures on clips with a face of one row."""
    where = (row["fold"], row["seed"], row["checkpoint"], row.get("control") or "")
    wanted, faces = expected(root, *where), expected(root, *where, faces=True)
    for name in ("war", "uar"):
        assert row[name] == pytest.approx(scale * wanted[name], abs=tolerance), (where, name)
        assert row[f"{name}_with_face"] == pytest.approx(scale * faces[name], abs=tolerance), (where, name)
    if "macro_f1" in row:
        assert row["macro_f1"] == pytest.approx(scale * wanted["macro_f1"], abs=tolerance), where
    for key in ("recall", "precision", "f1"):
        for name, value in row[key].items():
            assert (value is None) == (wanted[key][name] is None), (where, key, name)
            assert value is None or value == pytest.approx(scale * wanted[key][name], abs=tolerance), (where, key, name)
    if "confusion" in row:
        assert row["confusion"] == wanted["confusion"], where


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


def test_json_holds_every_figure(report: Report, root: Path) -> None:
    document = json.loads(to_json(report))
    assert {"rows", "controls", "unfinished"} <= set(document)
    assert (len(document["rows"]), len(document["controls"]), document["unfinished"]) == (22, 11, [])
    for row in document["rows"] + document["controls"]:
        check(row, root, tolerance=1e-12)


def test_csv_runs_no_formula_in_a_spreadsheet(report: Report) -> None:
    odd = replace(report, rows=(replace(report.rows[0], recipe='=HYPERLINK("x")'), *report.rows[1:]))
    first = next(csv.DictReader(io.StringIO(to_csv(odd))))
    assert first["recipe"] == '\'=HYPERLINK("x")'
    assert float(first["war"]) == report.rows[0].war


def test_csv_holds_every_figure(report: Report, root: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(report))))
    kinds = [line["kind"] for line in lines]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        **{"row": 22, "control": 11, "published": 75},
        **{"system": 2, "paired": 1, "paired training": 2, "calibration": 2},
    }
    for line in lines[:33]:
        figure_names = ("war", "uar", "macro_f1", "war_with_face", "uar_with_face")
        row: dict[str, Any] = {name: float(line[name]) for name in figure_names}
        for key in ("recall", "precision", "f1"):
            row[key] = {name: float(line[f"{key}_{name}"]) if line[f"{key}_{name}"] else None for name in NAMES}
        counts = [[int(word) for word in part.split()] for part in line["confusion"].split(";") if part]
        row["confusion"] = counts or None
        numbers = {name: int(line[name]) if line[name].isdigit() else line[name] for name in ("fold", "seed")}
        check(row | numbers | {name: line[name] for name in ("checkpoint", "control")}, root, tolerance=1e-12)
    with_deviation = [line for line in lines if line.get("fold_std_war")]
    assert {(line["fold"], line["folds"]) for line in with_deviation} == {("mean", "1 2 3")}
    assert len(with_deviation) == 6


def cells_of_markdown(text: str) -> list[list[str]]:
    rows = [line[2:-2].split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.replace("\\", "") for cell in row] for row in rows]


def cells_of_latex(text: str) -> list[list[str]]:
    rows = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if line.endswith(r" \\")]
    return [[cell.replace("\\", "") for cell in row] for row in rows]


class _Tables(HTMLParser):
    """Gathers the cells of all tables, row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._is_cell = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._is_cell = True

    def handle_endtag(self, tag: str) -> None:
        self._is_cell = self._is_cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._is_cell:
            self.rows[-1][-1] += data


def cells_of_html(text: str) -> list[list[str]]:
    parser = _Tables()
    parser.feed(text)
    return parser.rows


def lines_of(form: str, report: Report) -> list[list[str]]:
    """All lines of all tables, headers among them."""
    if form == "sections":
        return [list(row) for section in sections(report) for row in (section.header, *section.cells)]
    if form == "html":
        return cells_of_html(to_html(report))
    return cells_of_markdown(to_markdown(report)) if form == "md" else cells_of_latex(to_latex(report))


FORMS = pytest.mark.parametrize("form", ["md", "latex", "html", "sections"])


def named(cells: Mapping[str, str]) -> dict[str, Any]:
    """What a line of a table is about."""
    words = {name: cells[name].partition(" of ")[0] for name in ("fold", "seed")}
    row: dict[str, Any] = {name: int(word) if word.isdigit() else word for name, word in words.items()}
    return row | {"checkpoint": cells["checkpoint"], "control": cells.get("control", "")}


def shown(cells: Mapping[str, str], key: str) -> dict[str, float | None]:
    """The recalls or precisions of a line of a table."""
    found = {name: cells[f"{key} {name}"] for name in NAMES}
    return {name: None if cell == "-" else float(cell) for name, cell in found.items()}


@FORMS
def test_tables_hold_every_figure_in_per_cent(report: Report, root: Path, form: str) -> None:
    rows: dict[tuple[str, ...], dict[str, str]] = {}  # LaTeX has the recalls of a line in a table of their own
    header: list[str] = []
    for line in lines_of(form, report):
        if line[0] in ("recipe", "method", "system", "A"):
            header = line
        elif line[0] == "dfew_100%" and header[0] == "recipe":
            cells = dict(zip(header, line, strict=True))
            kind = next((name for name in ("precision", "F1") if f"{name} sad" in cells), "")
            key = (kind, *(cells.get(name, "") for name in ("checkpoint", "control", "seed", "fold")))
            rows.setdefault(key, {}).update(cells)
    for key, cells in rows.items():
        row = named(cells)
        if key[0]:
            wanted = expected(root, row["fold"], row["seed"], row["checkpoint"], "")[key[0].lower()]
            for name, value in shown(cells, key[0]).items():
                right = None if wanted[name] is None else 100 * wanted[name]
                assert value == (right and pytest.approx(right, abs=0.005 + 1e-9))
            continue
        for name in ("war", "uar"):
            row[name] = float(cells[name.upper()])
            row[f"{name}_with_face"] = float(cells[f"{name.upper()} with face"])
        row |= {"recall": shown(cells, "recall"), "precision": {}, "f1": {}, "macro_f1": float(cells["macro F1"])}
        assert all(re.fullmatch(r"\d+\.\d\d", cells[name]) for name in ("WAR", "UAR"))
        check(row, root, tolerance=0.005 + 1e-9, scale=100)
    kinds = [key[0] for key in rows]
    assert (kinds.count(""), kinds.count("precision"), kinds.count("F1")) == (33, 22, 22)


@FORMS
def test_tables_hold_the_confusion_pooled_over_folds(report: Report, root: Path, form: str) -> None:
    found, inside = [], False
    for line in lines_of(form, report):
        if line[1:] == list(NAMES):
            inside, counts = True, list[list[int]]()
            found.append(counts)
        elif inside and line[0] in NAMES:
            counts.append([int(cell.split()[0]) for cell in line[1:]])
        elif line[0] != "---":  # Markdown's line below the header
            inside = False
    wanted = [expected(root, "pooled", seed, name, "")["confusion"] for name in ("last", "best") for seed in (0, 1)]
    assert found == wanted


@pytest.mark.parametrize("text", [to_json, to_csv, to_markdown, to_latex])
def test_no_format_has_one_plus_minus(report: Report, text: Any) -> None:
    assert not re.search(r"±|\\pm|\+-|\+/-", text(report))


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


def test_unfinished_runs_are_listed_in_every_format(tmp_path: Path) -> None:
    write_folds(tmp_path, folds=(1,), seeds=(0,))
    begun = tmp_path / "dfew-retinaface" / "dfew_100%" / "fold-2" / "seed-0"
    begun.mkdir(parents=True)
    found = report_of(tmp_path)
    assert json.loads(to_json(found))["unfinished"] == [
        {"run": begun.as_posix(), "reason": "started, but has no run.json yet"}
    ]
    assert any(line["kind"] == "unfinished" for line in csv.DictReader(io.StringIO(to_csv(found))))
    for text in (to_markdown(found), to_latex(found)):
        assert "no run.json yet" in text.replace("\\", "")


def test_without_runs_the_published_rows_and_the_next_command_are_there() -> None:
    found = build_report([])
    document = json.loads(to_json(found))
    assert (document["rows"], document["next"]) == ([], list(NEXT_COMMANDS))
    assert {row["dataset"] for row in document["published"]} == {"dfew", "ferv39k", "afew"}
    assert len(document["published"]) == 155
    for text in (to_markdown(found), to_latex(found)):
        assert "71.16" in text
        assert "11,683 of 11,697" in text


def test_published_rows_are_cited_and_lstpnet_is_marked() -> None:
    rows = published_rows(("dfew", "ferv39k", "afew", "mafw", "cremad", "ravdess"))
    assert len(rows) == 207
    assert all(row.source for row in rows)
    assert all(0 < figure < 1 for row in rows for figure in (row.war, row.uar) if figure is not None)
    mine = {row.dataset: row for row in rows if row.method.startswith("LSTPNet")}
    assert {name: (row.war, row.uar) for name, row in mine.items()} == {
        "dfew": (0.7116, 0.6018),
        "ferv39k": (0.5007, 0.4063),
        "afew": (0.5354, 0.4992),
    }
    for name, words in {"dfew": "11,683 of 11,697", "ferv39k": "7,034 of 7,847", "afew": "381 of 383"}.items():
        assert words in mine[name].mismatch
    assert mine["dfew"].recall["disgust"] == 0.1389
    assert all("source" in section.header for section in sections(build_report([]), short=True))


def test_sources_that_disagree_name_each_other() -> None:
    rows = published_rows(("dfew", "ferv39k", "afew", "mafw"))
    marked = [row for row in rows if row.conflict]
    assert len(marked) == 43
    assert all(row.marked_method.endswith("\N{DAGGER}") for row in marked)
    others = {(row.dataset, f"{100 * row.war:.2f}/{100 * row.uar:.2f}") for row in rows if row.war and row.uar}
    named = [
        (row.dataset, figures[0]) for row in marked if (figures := re.findall(r"^\d\d\.\d\d/\d\d\.\d\d", row.conflict))
    ]
    assert len(named) == 26
    assert set(named) <= others


@FORMS
def test_the_systems_side_by_side_have_the_figures_of_their_seeds(report: Report, root: Path, form: str) -> None:
    wanted = {name: expected(root, "mean", "mean", name, "") for name in ("last", "best")}
    header: list[str] = []
    found = {}
    for line in lines_of(form, report):
        if line[0] == "system":
            header = line
        elif header and line[0].startswith("dfew_100% ") and len(line) == len(header):
            found[line[0].split()[1]] = dict(zip(header, line, strict=True))
    assert set(found) == set(wanted)
    for name, cells in found.items():
        for figure in ("war", "uar"):
            assert float(cells[figure.upper()]) == pytest.approx(100 * wanted[name][figure], abs=0.005 + 1e-9)
            seeds = [expected(root, "mean", seed, name, "")[figure] for seed in (0, 1)]
            std = float(cells[f"{figure.upper()} seed std"])
            assert std == pytest.approx(100 * np.std(seeds, ddof=1), abs=0.005 + 1e-9)


def test_the_cards_of_the_page_have_the_figures_of_their_seeds(report: Report, root: Path) -> None:
    figures = re.findall(r"<dt>(WAR|UAR)</dt><dd>([\d.]+)</dd>", to_html(report))
    wanted = [
        (figure, f"{100 * expected(root, 'mean', 'mean', name, '')[figure.lower()]:.2f}")
        for name in ("last", "best")
        for figure in ("WAR", "UAR")
    ]
    assert figures == wanted


def test_latex_and_markdown_escape_what_they_would_interpret(tmp_path: Path) -> None:
    found = report_of(write_folds(tmp_path, folds=(1,), seeds=(0,), checkpoints=("last",)))
    assert r"dfew\_100\% & last" in to_latex(found)
    assert r"selection: last \| best" in to_markdown(found)
    assert to_latex(found).count(r"\toprule") == to_latex(found).count(r"\end{table}") == 10


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="apt-get install texlive-latex-recommended")
def test_latex_compiles(report: Report, tmp_path: Path) -> None:
    many = build_report([], against=("dfew",))
    (tmp_path / "tables.tex").write_text(to_latex(report) + 5 * to_latex(many), encoding="utf-8")
    preamble = r"\documentclass{article}\usepackage{booktabs}\usepackage{graphicx}"
    (tmp_path / "paper.tex").write_text(preamble + r"\begin{document}\input{tables}\end{document}")
    line = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000


# ---- predictions from elsewhere


def write_prepared(root: Path, *, synthetic: bool = False) -> Path:
    """Write the small files of a prepared dataset: fold 3 tests 00010..00016, one clip a class; 00012 has no face."""
    test = [(f"{10 + i:05d}", name) for i, name in enumerate(NAMES)]
    train = [(f"{100 + i:05d}", name) for i, name in enumerate(("sad", "sad", "happy", "fear"))]
    clips = pd.DataFrame(
        {
            "clip_id": [clip_id for clip_id, _ in test + train],
            "label": pd.array([label for _, label in test + train], dtype="string"),
            "status": ["failed" if clip_id == "00012" else "ok" for clip_id, _ in test + train],
        }
    )
    splits = {clip_id: "test" for clip_id, _ in test} | {clip_id: "train" for clip_id, _ in train}
    return write_small_files(root, clips, {"3": splits}, class_names=NAMES, synthetic=synthetic)


GUESSES = {"00010": "happy", "00011": "sad", "00012": "neutral", "00013": "sad", "00014": "surprise", "00015": "fear"}
GUESSES["00016"] = "fear"


def logits_of(name: str) -> list[float]:
    return [1.5 if name == each else -0.5 for each in NAMES]


def as_names(guesses: Mapping[str, str]) -> str:
    return "clip_id,prediction,comment\n" + "".join(f"{clip_id},{name},x\n" for clip_id, name in guesses.items())


def as_columns(guesses: Mapping[str, str]) -> str:
    order = list(reversed(NAMES))
    rows = [[clip_id, *map(str, reversed(logits_of(name)))] for clip_id, name in guesses.items()]
    return "\n".join(",".join(row) for row in [["clip_id", *order], *rows])


def as_json(guesses: Mapping[str, str]) -> str:
    rows = [f'{clip_id},"{json.dumps(logits_of(name))}"' for clip_id, name in guesses.items()]
    return "\ufeffclip_id,logits\r\n" + "\r\n".join(rows) + "\r\n\r\n"


def given(folder: Path, text: str, *, synthetic: bool = False) -> Row:
    (folder / "mine.csv").write_text(text, encoding="utf-8", newline="")
    dataset = dfer_data.open_dataset(write_prepared(folder / "dfew-retinaface", synthetic=synthetic))
    found = report_predictions([folder / "mine.csv"], dataset, folds=[3])
    assert len(found.rows) == 1
    assert bool(found.published) != synthetic
    return found.rows[0]


@pytest.mark.parametrize("form", [as_names, as_columns, as_json])
def test_predictions_from_elsewhere_are_scored_in_three_forms(tmp_path: Path, form: Any) -> None:
    row = given(tmp_path, form(GUESSES))
    table = pd.DataFrame({"label": NAMES, "guess": list(GUESSES.values()), "clip_id": list(GUESSES)})
    wanted, faces = figures(table), figures(table[table["clip_id"] != "00012"])
    assert [row.war, row.uar, row.n] == pytest.approx([wanted["war"], wanted["uar"], 7])
    assert dict(row.recall) == wanted["recall"]
    assert [row.war_with_face, row.uar_with_face, row.n_with_face] == pytest.approx([faces["war"], faces["uar"], 6])
    assert (row.fold, row.seed, row.recipe, row.checkpoint) == (3, None, None, None)
    lacking = "neutral (1 of test), angry (1 of test), surprise (1 of test), disgust (1 of test)"
    assert row.note == f"fold 3: train has no clip of {lacking}"
    assert (row.dataset, row.prepared) == ("dfew", "dfew-retinaface")
    assert row.protocol.startswith("predictions from mine.csv, fold 3, n_test 7, dataset ")


def test_missing_clips_count_as_the_most_frequent_class_of_train(tmp_path: Path) -> None:
    row = given(tmp_path, as_names({"00010": "happy", "00016": "fear"}), synthetic=True)
    assert [row.n, row.war] == pytest.approx([7, 3 / 7])  # 00011 is sad
    assert row.note.startswith("5 of 7 test clips are not in the file: predicted as 'sad', the most frequent class")
    assert row.note.endswith("not comparable with published figures")


def test_all_faults_of_a_file_are_told_with_their_lines(tmp_path: Path) -> None:
    columns = ",".join(NAMES)
    rows = [
        "00010,1,0,0,0,0,0,0",
        "99999,1,0,0,0,0,0,0",
        "00010,1,0,0,0,0,0,0",
        "11,1,0,0,0,0,0,0",
        "00100,1,0,0,0,0,0,0",
        "00011,nan,0,0,0,0,0,0",
        "00012,1,0",
        '"00013\n",1,0,0,0,0,0,0',
        "00014,one,0,0,0,0,0,0",
    ]
    with pytest.raises(AnnotationError) as caught:
        given(tmp_path, "\n".join([f"clip_id,{columns}", *rows]))
    path = tmp_path / "mine.csv"
    assert set(caught.value.faults) == {
        f"{path}:3: unknown clip '99999'",
        f"{path}:5: unknown clip '11' (the zeros of 00011 are missing)",
        f"{path}:4: clip '00010' is already in line 2",
        f"{path}:6: clip '00100' is in train of fold 3, not in its test part",
        f"{path}:7: a logit is NaN or +inf, or all are -inf",
        f"{path}:8: 3 cells, the header has 8",
        f"{path}:11: logits cannot be read: could not convert string to float: 'one'",
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ":1: no column clip_id in: (empty file)"),
        ("clip,prediction\n", ":1: no column clip_id in: clip, prediction"),
        ("clip_id,label\n", ":1: expected either `prediction`, or `logits`, or one column for each of happy"),
        ("clip_id,prediction,logits\n", "found: clip_id, prediction, logits"),
        ("clip_id,happy,sad\n", ":1: no column for the class neutral, angry, surprise, disgust, fear"),
        ("clip_id,prediction,prediction\n", ":1: a column is listed twice"),
        ("clip_id,prediction\n00010,joy\n", ":2: unknown label 'joy'; known: happy, sad"),
        ('clip_id,logits\n00010,"[1, 2]"\n', ":2: logits cannot be read: expected a list of 7 numbers"),
        ('clip_id,logits\n00010,"[1, 2, 3, 4, 5, 6, true]"\n', "not all of them are numbers"),
        ('clip_id,logits\n00010,"[1, 2, 3, 4, 5, 6, NaN]"\n', ":2: a logit is NaN"),
        ("clip_id,logits\n00010," + "[" * 50_000 + "\n", ":2: logits cannot be read"),
    ],
)
def test_a_fault_of_a_file_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(AnnotationError) as caught:
        given(tmp_path, text)
    assert any(words in fault for fault in caught.value.faults)


def test_a_file_of_another_fold_does_not_flood_the_screen(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError) as caught:
        given(tmp_path, "clip_id,prediction\n" + "".join(f"{i},sad\n" for i in range(20000, 22000)))
    assert len(caught.value.faults) == 51
    assert caught.value.faults[-1].endswith("and 1950 more faults like the last one")


@pytest.mark.parametrize("content", [b"clip_id,prediction\n\xff,sad\n", b'clip_id,prediction\n"00010,sad\n'])
def test_a_file_that_is_no_csv_is_named(tmp_path: Path, content: bytes) -> None:
    dataset = dfer_data.open_dataset(write_prepared(tmp_path / "data"))
    (tmp_path / "mine.csv").write_bytes(content)
    for path in (tmp_path / "mine.csv", tmp_path / "nowhere.csv"):
        with pytest.raises(UsageError, match=f"{path.name} cannot be read"):
            report_predictions([path], dataset, folds=[3])


def test_an_unknown_fold_is_named(tmp_path: Path) -> None:
    dataset = dfer_data.open_dataset(write_prepared(tmp_path / "data"))
    with pytest.raises(UsageError, match="no fold '6'; it has: 3"):
        report_predictions([tmp_path / "mine.csv"], dataset, folds=[6])
