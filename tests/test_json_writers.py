"""No JSON that this project writes holds NaN or Infinity, which JSON does not have and other readers refuse."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from dfer_cli._support import console
from tests.workspace import ROOT

PACKAGES = ("dfer_data", "lstpnet", "cli")


def unguarded_calls(path: Path) -> list[str]:
    """Lines of a file that write JSON without `allow_nan=False`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    writers = [call for call in calls if ast.unparse(call.func) in ("json.dump", "json.dumps")]
    guarded = [call for call in writers if any(ast.unparse(word) == "allow_nan=False" for word in call.keywords)]
    return [f"{path.relative_to(ROOT)}:{call.lineno}" for call in writers if call not in guarded]


def test_every_writer_of_json_refuses_nan() -> None:
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert [line for path in files for line in unguarded_calls(path)] == []


def test_the_command_line_prints_null_for_a_missing_number(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_json({"a": float("nan"), "b": [1.5, (float("inf"), 2)], "c": {"d": None}})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, [None, 2]],
        "c": {"d": None},
    }
