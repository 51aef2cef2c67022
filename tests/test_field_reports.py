"""The log of other people's bug reports: each row has its form, and the tests that it names exist."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from tests.workspace import ROOT

_TEXT = (ROOT / "docs/explanation/field-reports.md").read_text(encoding="utf-8")
_HEADER = ["report", "symptom", "tried how", "verdict"]
_VERDICTS = {"right", "mended in [Unreleased]", "said, not mended", "not dfer's"}
_REPORT = re.compile(r"\[([\w.-]+/[\w.-]+)#(\d+)\]\(https://github\.com/([\w.-]+/[\w.-]+)/(?:issues|pull)/(\d+)\)")
_NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def _rows() -> list[list[str]]:
    """Return the cells of every report, from the tables below the headings."""
    tables = re.findall(r"^\| report \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", _TEXT, flags=re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for table in tables for line in table.splitlines()]


def _functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_bytes())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_row_has_a_report_a_trial_and_a_verdict_of_the_list() -> None:
    headers = re.findall(r"^\| report .*\|$", _TEXT, flags=re.MULTILINE)
    assert {tuple(header.strip("| ").split(" | ")) for header in headers} == {tuple(_HEADER)}
    rows = _rows()
    assert len(rows) == _TEXT.count("](https://github.com/") >= 40
    assert [row for row in rows if len(row) != len(_HEADER) or not all(row)] == []
    assert [row[0] for row in rows if row[3] not in _VERDICTS] == []


def test_a_report_is_linked_to_its_own_thread_and_listed_once() -> None:
    reports = [(row[0], _REPORT.fullmatch(row[0])) for row in _rows()]
    assert [cell for cell, found in reports if not found or found.group(1, 2) != found.group(3, 4)] == []
    assert [report for report, number in Counter(cell.casefold() for cell, _ in reports).items() if number > 1] == []


def test_every_test_that_a_row_names_exists() -> None:
    named = {found for row in _rows() for found in _NAMED_TEST.findall(row[2])}
    assert len(named) >= 40
    paths = {path for path, _ in named}
    assert sorted(path for path in paths if not (ROOT / path).is_file()) == []
    functions = {path: _functions(path) for path in paths}
    assert sorted(f"{path}::{name}" for path, name in named if name not in functions[path]) == []
    assert [row[0] for row in _rows() if row[2].count("`tests/") != len(_NAMED_TEST.findall(row[2]))] == []


@pytest.mark.parametrize("verdict", ["right", "mended in [Unreleased]"])
def test_what_is_right_was_tried(verdict: str) -> None:
    """By a test, or with input that the row describes."""
    tried = [row[2] for row in _rows() if row[3] == verdict]
    assert tried
    assert [cell for cell in tried if not _NAMED_TEST.search(cell) and len(cell.split()) < 8] == []
