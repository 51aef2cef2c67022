"""Phrases that do not come back: docstrings, comments, messages, help and documentation are plain English."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import pytest

from tests.workspace import ROOT

BANNED = (
    r"\blies? (in|below|beside|under|there|where|at)\b",
    r"\bstands? (in|there|where|beside|below|still|for itself)\b",
    r"\bstood still\b",
    r"\b(is|are|be|was|were) told\b",
    r"\bsomebody\b",
    r"\banybody's\b",
    r"\bnobody's\b",
    r"\bis dear\b|\bdearer\b",
    r"\bin (its |their )?hands\b",
    r"\b(goes|go|gone|going|went) on (with|where|from|as)\b",
    r"\bgoes by\b",
    r"\bof (its|one's|their|your|his|our) own\b",
    r"\ba (row|line|file|sheet|folder|run|task|process|clip|frame|column|shard|picture|window|person) a \w+",
    r"\b(Which|What) [^.?]* says?\b",
    r"\bsay in (a|one) (few words|line|words)\b",
    r"\bhas a look\b",
    r"\bas it comes\b",
)
PATTERN = re.compile("|".join(f"(?:{phrase})" for phrase in BANNED))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CODE = sorted(path for top in ("cli", "dfer_data", "lstpnet", "benchmarks") for path in (ROOT / top).rglob("*.py"))


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_code_speaks_plainly(path: Path) -> None:
    found = []
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            text = " ".join(token.string.split())
            found += [f"line {token.start[0]}: {match.group()!r}" for match in PATTERN.finditer(text)]
    assert found == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_documentation_speaks_plainly(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    flat = re.sub(r"\s", " ", text)  # as long as the text, so that a place gives its line
    found = [f"line {text.count(chr(10), 0, match.start()) + 1}: {match.group()!r}" for match in PATTERN.finditer(flat)]
    assert found == []
