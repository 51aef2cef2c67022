"""Every figure of every format is computed again here, by scikit-learn, from the predictions on disk."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstpnet.reporting.build import build_report
from lstpnet.reporting.formats import to_csv, to_json, to_latex, to_markdown
from lstpnet.reporting.html.page import to_html
from lstpnet.reporting.sections import sections
from lstpnet.reporting.types import Report
from tests.lstpnet.reporting.random_runs import NAMES, cells_of_markdown, check, expected, named, report_of, write_folds


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


def test_csv_leaves_out_nothing_of_the_json(report: Report) -> None:
    document = json.loads(to_json(report))
    lines = list(csv.DictReader(io.StringIO(to_csv(report))))
    kinds = {"row": "rows", "control": "controls", "published": "published", "system": "systems", "paired": "paired"}
    kinds |= {"paired training": "paired_trainings", "calibration": "calibration"}
    for kind, key in kinds.items():
        kind_lines = [line for line in lines if line["kind"] == kind]
        for line, row in zip(kind_lines, document[key], strict=True):
            flat = {name: value for name, value in row.items() if not isinstance(value, dict)}
            for name, value in row.items():
                flat |= {f"{name}_{inner}": cell for inner, cell in value.items()} if isinstance(value, dict) else {}
            for name, value in flat.items():
                if isinstance(value, list):
                    assert bool(line[name]) == bool(value), name
                elif value is not None:
                    assert line[name] == str(value), name
    (paired,) = (line for line in lines if line["kind"] == "paired")
    for name in ("war_interval", "uar_interval"):
        assert [float(word) for word in paired[name].split()] == document["paired"][0][name]


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
