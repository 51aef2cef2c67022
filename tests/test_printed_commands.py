"""Commands that dfer prints can be copied into a shell, also where a folder's name has spaces."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dfer_data.errors import UsageError
from dfer_data.sources.registry import adapter

ROOT = Path(__file__).parents[1]
PATHS = {"data", "out", "root", "folder", "path"}
"""Names of values that are paths."""


def is_path(value: ast.expr) -> bool:
    name = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
    return name in PATHS


def unquoted(source: str) -> list[int]:
    """Return the lines of f-strings that put a path into a command without quotes."""
    return [
        text.lineno
        for text in ast.walk(ast.parse(source))
        if isinstance(text, ast.JoinedStr)
        for before, value in zip(text.values, text.values[1:], strict=False)
        if isinstance(before, ast.Constant)
        and re.search(r"\bdfer [a-z]+( [a-z]+| --?[a-z-]+)* $", str(before.value))
        and isinstance(value, ast.FormattedValue)
        and is_path(value.value)
    ]


def test_paths_in_printed_commands_are_quoted() -> None:
    assert unquoted('f"next: dfer verify --deep {folder}"') == [1]
    assert unquoted('f"next: dfer verify {shlex.quote(str(folder))}; {folder} is whole"') == []
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for package in ("cli", "dfer_data", "lstpnet")
        for path in (ROOT / package).rglob("*.py")
        for line in unquoted(path.read_text(encoding="utf-8"))
    }
    assert not found


def test_a_folder_in_the_place_of_a_dataset_comes_back_as_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("My videos").mkdir()
    with pytest.raises(UsageError, match=r"for a folder: folder --source 'My videos'$"):
        adapter("My videos")
