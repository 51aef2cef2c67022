"""Phrases that do not come back: docstrings, comments, messages, help and documentation are plain English."""

from __future__ import annotations

import ast
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


COUNTED = re.compile(
    r" (?:(?!with )\w+ )?(?:clips|videos|frames|files|folds|runs|shards|faces|people|persons|groups|pairs|classes|"
    r"rows|lines|labels|predictions|names|seeds|failures|faults|pictures|folders|datasets)\b"
)
NUMBER = re.compile(r"\blen\(|\w*num_\w+\)*$|\bnumber$")
UNCOUNTED = {
    *("lstpnet/withdrawal/run_clips.py", "lstpnet/training/experiment.py"),  # read back from a run's protocol line
    *("dfer_data/faces/pipeline.py", "dfer_data/video/reader.py"),  # stored in clips.parquet and in locks
    *("dfer_data/locking/locked_clips.py", "lstpnet/recipe_files.py"),  # stored in the ledger, in run.json
    # more than one for sure:
    *("dfer_data/auditing/candidate_index.py", "dfer_data/auditing/people.py", "dfer_data/config.py"),
    *("dfer_data/exchange/label_orders.py", "dfer_data/inspection/self_check.py", "dfer_data/sources/list_files.py"),
    *("dfer_data/storage/walk.py", "lstpnet/models/nr_dfernet.py", "lstpnet/predictions_table.py"),
    *("lstpnet/replication/figures.py", "lstpnet/reporting/systems.py", "cli/evaluate.py", "cli/look.py"),
    *("lstpnet/reporting/uncertainty/paired_tests.py", "cli/train.py"),
}
"""Files that write a number and a plural themselves."""


def _plurals(path: Path) -> list[str]:
    """Return the numbers of a file that are followed by a plural, whatever they are."""
    found = []
    for text in (node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.JoinedStr)):
        for value, rest in zip(text.values, text.values[1:], strict=False):
            if isinstance(value, ast.FormattedValue) and isinstance(rest, ast.Constant) and isinstance(rest.value, str):
                is_number = NUMBER.search(ast.unparse(value.value)) and "counted(" not in ast.unparse(value.value)
                if is_number and COUNTED.match(rest.value):
                    found.append(f"line {value.lineno}: {ast.unparse(value.value)}{rest.value}")
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_one_is_not_written_with_a_plural(path: Path) -> None:
    """A count and its noun come from `counted`."""
    name = str(path.relative_to(ROOT))
    assert name.startswith("benchmarks/") or bool(_plurals(path)) == (name in UNCOUNTED), _plurals(path)
