"""The report on runs, or on anybody's predictions, and its formats.

    load (runs.py) -> build_report or report_predictions -> Report -> RENDERERS[format](report), or sections(report)
                                                                      page.py makes one HTML file of it

Figures are fractions 0..1 in rows, JSON and CSV, and per cent with two decimals in tables.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lstpnet.reporting.ferv39k_scenes import SceneRow, scene_rows, scene_rows_of_predictions
from lstpnet.reporting.paired_tests import PairedTest, paired_tests
from lstpnet.reporting.published_results import PublishedRow, published_rows
from lstpnet.reporting.rows import Row, row_of_predictions, rows_of_runs
from lstpnet.reporting.sections import narrowed, sections
from lstpnet.reporting.systems import System, systems_of
from lstpnet.runs import Run, UnfinishedRun

if TYPE_CHECKING:
    from dfer_data.preparation.manifest import PreparedDataset

NEXT_COMMANDS = ("dfer demo", "dfer train --fold 3")
"""What to type where there is no run yet: without a dataset, and with one."""
_TABLES_A_BATCH = 12  # LaTeX keeps a limited number of tables in mind until it places them
_NESTED = ("fold_std", "seed_std", "war_interval", "uar_interval")


@dataclass(frozen=True)
class Report:
    """All rows, in the order of the tables."""

    rows: tuple[Row, ...]
    """Results on the test clips as they are."""
    controls: tuple[Row, ...]
    """Results on changed test frames; never beside the others."""
    unfinished: tuple[UnfinishedRun, ...]
    """Run folders without results."""
    published: tuple[PublishedRow, ...]
    """Published figures: of the datasets asked for, else of those of the rows that are not synthetic; without rows: of
    three datasets."""
    systems: tuple[System, ...] = ()
    """A line for each recipe, data and checkpoint; empty for predictions from elsewhere."""
    paired: tuple[PairedTest, ...] = ()
    """Tests between systems on the same clips."""
    against: tuple[str, ...] = ()
    """Datasets whose published figures were asked for: their tables hold the report's own lines too."""
    scenes: tuple[SceneRow, ...] = ()
    """FERV39k's runs by scene; empty for other datasets."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; `next` says what to type where there are no rows."""
        return {
            "rows": [row.as_dict() for row in self.rows],
            "controls": [row.as_dict() for row in self.controls],
            "unfinished": [{"run": run.folder.as_posix(), "reason": run.reason} for run in self.unfinished],
            "published": [asdict(row) for row in self.published],
            "systems": [system.as_dict() for system in self.systems],
            "paired": [test.as_dict() for test in self.paired],
            "scenes": [row.as_dict() for row in self.scenes],
            "next": [] if self.rows else list(NEXT_COMMANDS),
        }


def build_report(
    runs: Sequence[Run],
    unfinished: Sequence[UnfinishedRun] = (),
    *,
    against: Sequence[str] = (),
    baseline: str | None = None,
) -> Report:
    """Score runs; `against` names datasets, `baseline` the system that the others are tested against.

    Raises UsageError if two folders hold the same fold and seed of one recipe on the same data, or for an unknown
    baseline; CorruptDataError for a damaged config.json.
    """
    rows = rows_of_runs(runs)
    plain = tuple(row for row in rows if not row.control)
    systems = systems_of(plain, runs)
    return Report(
        rows=plain,
        controls=tuple(row for row in rows if row.control),
        unfinished=tuple(unfinished),
        published=_published(rows, against),
        systems=systems,
        paired=paired_tests(systems, runs, baseline=baseline),
        against=tuple(against),
        scenes=scene_rows(runs),
    )


def _published(rows: Sequence[Row], against: Sequence[str]) -> tuple[PublishedRow, ...]:
    if against:
        return published_rows(tuple(dict.fromkeys(against)))
    datasets = dict.fromkeys(row.dataset for row in rows if not row.synthetic)
    return published_rows(tuple(datasets)) if rows else published_rows()


def report_predictions(path: Path, dataset: PreparedDataset, *, fold: int, against: Sequence[str] = ()) -> Report:
    """Score a CSV of anybody's predictions on an official fold; see `rows.row_of_predictions`."""
    row = row_of_predictions(path, dataset, fold=fold)
    scenes = scene_rows_of_predictions(path, dataset, fold=fold)
    return Report((row,), (), (), _published([row], against), against=tuple(against), scenes=scenes)


def to_json(report: Report) -> str:
    """Return the report as one JSON document."""
    return json.dumps(report.as_dict(), indent=2, allow_nan=False) + "\n"


def to_csv(report: Report) -> str:
    """Return all rows as one CSV table; `kind` is row, control, unfinished, published, system, paired or scene."""
    document = report.as_dict()
    kinds = {"row": "rows", "control": "controls", "unfinished": "unfinished", "published": "published"}
    kinds |= {"system": "systems", "paired": "paired", "scene": "scenes"}
    lines = [{"kind": kind, **_flat(row)} for kind, key in kinds.items() for row in document[key]]
    header = list(dict.fromkeys(name for line in lines for name in line)) or ["kind"]
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            cells |= {f"{name}_{key}": _cell(inner) for key, inner in value.items()}
        elif name not in _NESTED:  # None where other rows have columns `fold_std_war` and so on
            cells[name] = _cell(value)
    return cells


def _cell(value: Any) -> Any:
    """Return a list as words; one of lists (the confusion matrix) with a semicolon after each row."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "; ".join(_cell(inner) for inner in value)
    return " ".join(map(str, value)) if isinstance(value, list) else value


def to_markdown(report: Report) -> str:
    """Return the tables as GitHub Markdown."""
    return "\n".join(section.as_markdown() for section in sections(report))


def to_latex(report: Report) -> str:
    r"""Return the tables as LaTeX; the preamble needs \usepackage{booktabs} and \usepackage{graphicx}."""
    lines = ["% \\usepackage{booktabs}", "% \\usepackage{graphicx}", ""]
    parts = [part for section in sections(report) for part in narrowed(section)]
    for number, section in enumerate(parts):
        lines += ["\\clearpage"] if number and number % _TABLES_A_BATCH == 0 else []
        lines.append(section.as_latex())
    return "\n".join(lines)


RENDERERS: Mapping[str, Callable[[Report], str]] = MappingProxyType(
    {"json": to_json, "csv": to_csv, "md": to_markdown, "latex": to_latex}
)
"""Format -> function; the console's tables are drawn by the command line from `sections`."""
