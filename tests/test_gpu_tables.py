"""The GPU figures of README and docs come from the results files: written by a script, and none added by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_tables import PAGES, REGION, changed_pages, floor_share, results_files, training, written
from tests.workspace import ROOT

_CARD = re.compile(r"(?<![\w-])(?:[ABHLVPT]\d{1,3}|GB?\d{3}|RTX \w+|GTX \w+|CUDA|GPUs?|MI\d{3}X?)\b", re.IGNORECASE)
_UNITS = {
    r"clips/s|clips (?:per|a) second": "clips_per_second",
    r"frames/s|frames (?:per|a) second": "frames_per_second",
    r"TFLOP/s|TFLOPS": "tflops",
    r"TB/s": "tb_per_second",
    r"GB/s": "gb_per_second",
    r"ms|milliseconds": "ms",
    r"s|seconds": "seconds",
    r"minutes?|min|hours?|h": "hours",
}
"""Unit of a figure -> the end of its key in a results file."""
_FIGURE = re.compile(rf"(?<![\w.,-])(\d[\d,]*(?:\.\d+)?) ?({'|'.join(_UNITS)})\b")


def _leaves(figures: Any, key: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a results file with their keys."""
    if isinstance(figures, dict):
        for name, part in figures.items():
            yield from _leaves(part, name)
    elif isinstance(figures, list):
        for part in figures:
            yield from _leaves(part, key)
    elif isinstance(figures, int | float) and not isinstance(figures, bool):
        yield key.replace("frames/s", "frames_per_second"), float(figures)


_MEASURED = [leaf for file in results_files() for leaf in _leaves(file.figures)]


def _blocks(page: str) -> Iterator[str]:
    """Yield sentences and rows outside regions and code; a row has its table's head and the sentence before that."""
    prose = re.sub(r"^```.*?^```|\b(?:no|without a) GPU\b", "", REGION.sub("", page), flags=re.DOTALL | re.MULTILINE)
    last = ""
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )", prose):
        if block.lstrip().startswith("|"):
            head, *rows = block.strip().splitlines()
            yield from (f"{last} {head} {_with_units(row, head)}" for row in rows)
            continue
        for sentence in re.split(r"(?<=[.;])\s+", " ".join(block.split())):
            last = sentence
            yield sentence


def _with_units(row: str, head: str) -> str:
    """Return a row of a table with the units of its head after its numbers."""
    units = [re.search(rf"(?<![\w/])(?:{'|'.join(_UNITS)})$", name.strip()) for name in head.split("|")]
    cells = row.split("|")
    return "|".join(f"{cell.rstrip()} {unit[0] if unit else ''}" for cell, unit in zip(cells, units, strict=False))


def _unmeasured(page: str) -> list[str]:
    """Return the rates and times that a page gives of a GPU and that no results file holds."""
    strays = []
    for block in _blocks(page):
        if not _CARD.search(block):
            continue
        for number, unit in _FIGURE.findall(block):
            ending = next(end for units, end in _UNITS.items() if re.fullmatch(units, unit))
            decimals = len(number.partition(".")[2])
            values = [round(value, decimals) for key, value in _MEASURED if key.endswith(ending)]
            if float(number.replace(",", "")) not in values:
                strays.append(f"{number} {unit}: {block[:100]}")
    return strays


def test_the_regions_hold_what_the_script_writes() -> None:
    assert [str(path.relative_to(ROOT)) for path, _ in changed_pages(results_files())] == [], "make gpu-tables"
    assert sum(len(REGION.findall(path.read_text(encoding="utf-8"))) for path in PAGES) >= 5


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_gives_a_figure_of_a_gpu_that_no_results_file_holds(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert page.count("<!-- gpu:") == page.count("<!-- /gpu -->") == len(REGION.findall(page))
    assert _unmeasured(page) == []


@pytest.mark.parametrize(
    "page",
    [
        "An H100 trains 140 clips/s.",
        "On a GPU,\nit takes 140\nclips per second.",
        "- On one A100: 12,345 frames/s.",
        "With `--device cuda` it takes 123.4 s.",
        "On one H200:\n\n| size | rate |\n|---|---|\n| 224 px | 9,999 clips/s |",
        "| | one H200, clips/s |\n|---|---|\n| 224 px | 9,999 |",
        "One NVIDIA L4 takes 3 hours.",
    ],
)
def test_a_figure_that_nobody_measured_is_found(page: str) -> None:
    assert len(_unmeasured(page)) == 1


def test_figures_of_the_results_and_of_a_cpu_are_left_alone() -> None:
    assert _unmeasured("One H200 trains 806 clips/s. Two threads of a CPU take 1.63 clips/s.") == []
    assert _unmeasured("<!-- gpu:training -->\nOn one H200: 1 clips/s\n<!-- /gpu -->\n") == []


def _save(folder: Path, name: str, **figures: Any) -> None:
    machine = {"torch": "2.11.0+cu130", "cores": 16, "device": "NVIDIA X1"}
    (folder / name).write_text(json.dumps({"machine": machine, **figures}))


def _trained(rate: float) -> list[dict[str, Any]]:
    row = {"size_px": 64, "batch": 32, "threads": 8, "clips_per_epoch": 640, "waiting_share": 0.05}
    return [row | {"clips_per_second": rate}]


def test_a_section_comes_from_the_newest_file_that_has_it(tmp_path: Path) -> None:
    _save(
        tmp_path,
        "gpu-x1-2026-01-01.json",
        training=_trained(100),
        floor={"matmul_tflops": 500.0},
        steps=[{"size_px": 64, "tflops": 10.0, "clips_per_second": 200.0}],
    )
    _save(tmp_path, "gpu-x1-2026-01-02.json", training=_trained(300), **{"training, again": _trained(400)})
    _save(tmp_path, "gpu-y1-2026-01-03.json", training=[], floor={"matmul_tflops": 1.0})
    files = results_files(tmp_path)
    assert [file.date for file in files] == ["2026-01-03", "2026-01-02", "2026-01-01"]
    assert floor_share(files, "x1", size_px=64, clips_per_second=1000) == pytest.approx(0.1)
    assert floor_share(files, "y1", size_px=64, clips_per_second=1000) is None  # another card
    table = training(files)
    assert "one NVIDIA X1 with 16 cores (2026-01-02, PyTorch 2.11.0)" in table
    assert "| 64 px | 8 | off | false | 300, 400 | 3.0 %, 4.0 % | 5.0 % |" in table


def test_without_results_the_docs_say_so() -> None:
    page = "a\n<!-- gpu:training -->\nold\n<!-- /gpu -->\nb\n"
    assert written(page, []) == "a\n<!-- gpu:training -->\nNot measured on a GPU.\n<!-- /gpu -->\nb\n"
    with pytest.raises(KeyError):
        written(page.replace("training", "unknown"), [])
