"""The report on runs, or on anybody's predictions: its tables and formats.

    load (runs.py) -> build_report or report_predictions -> Report -> RENDERERS[format](report), or sections(report)

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

from lstpnet.published import PublishedRow, published_rows, published_section
from lstpnet.resampling import Interval
from lstpnet.rows import Row, common_parts, grouped, row_of_predictions, rows_of_runs, section_key
from lstpnet.runs import Run, UnfinishedRun
from lstpnet.scenes import SceneRow, scene_rows, scene_rows_of_predictions, scene_sections
from lstpnet.tables import Section, listed, per_cent

if TYPE_CHECKING:
    from dfer_data.manifest import PreparedDataset

NEXT_COMMANDS = ("dfer demo", "dfer train --fold 3")
"""What to type where there is no run yet: without a dataset, and with one."""
_DEVIATION_WORDS = {
    "fold_std": "over the folds, how hard the splits differ",
    "seed_std": "over the seeds, training noise",
}
_NESTED = ("fold_std", "seed_std", "war_interval", "uar_interval")
_DEVIATIONS = [(kind, name) for kind in _DEVIATION_WORDS for name in ("war", "uar")]


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
    """Published figures of the datasets of the rows that are not synthetic; without rows: of three datasets."""
    scenes: tuple[SceneRow, ...] = ()
    """FERV39k's runs by scene; empty for other datasets."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; `next` says what to type where there are no rows."""
        return {
            "rows": [row.as_dict() for row in self.rows],
            "controls": [row.as_dict() for row in self.controls],
            "unfinished": [{"run": run.folder.as_posix(), "reason": run.reason} for run in self.unfinished],
            "published": [asdict(row) for row in self.published],
            "scenes": [row.as_dict() for row in self.scenes],
            "next": [] if self.rows else list(NEXT_COMMANDS),
        }


def build_report(runs: Sequence[Run], unfinished: Sequence[UnfinishedRun] = ()) -> Report:
    """Score runs. Raises UsageError if two folders hold the same fold and seed of one recipe on the same data."""
    rows = rows_of_runs(runs)
    datasets = dict.fromkeys(row.dataset for row in rows if not row.synthetic)
    return Report(
        rows=tuple(row for row in rows if not row.control),
        controls=tuple(row for row in rows if row.control),
        unfinished=tuple(unfinished),
        published=published_rows(tuple(datasets)) if rows else published_rows(),
        scenes=scene_rows(runs),
    )


def report_predictions(path: Path, dataset: PreparedDataset, *, fold: int) -> Report:
    """Score a CSV of anybody's predictions on an official fold; see `rows.row_of_predictions`."""
    row = row_of_predictions(path, dataset, fold=fold)
    scenes = scene_rows_of_predictions(path, dataset, fold=fold)
    return Report((row,), (), (), () if row.synthetic else published_rows((row.dataset,)), scenes)


def sections(report: Report, *, short: bool = False) -> list[Section]:
    """Return the tables of a report; short ones lack the recalls and most published rows."""
    found = [_row_section(group, short=short) for group in grouped(report.rows, section_key)]
    found += [_row_section(group, short=short) for group in grouped(report.controls, section_key)]
    found += scene_sections(report.scenes)
    if report.unfinished:
        cells = tuple((run.folder.as_posix(), run.reason) for run in report.unfinished)
        found.append(Section("unfinished runs", ("run", "why"), cells, ()))
    found += [published_section(group, short=short) for group in grouped(report.published, lambda row: row.dataset)]
    return found


def _row_section(rows: Sequence[Row], *, short: bool) -> Section:
    columns: dict[str, list[str]] = {
        "recipe": [row.recipe or "-" for row in rows],
        "checkpoint": [row.checkpoint or "-" for row in rows],
        "control": [row.control or "-" for row in rows],
        "seed": ["-" if row.seed is None else _of(row.seed, row.seeds) for row in rows],
        "fold": [_of(row.fold, row.folds) for row in rows],
        "n": [str(row.n) for row in rows],
        "WAR": [per_cent(row.war) for row in rows],
        "UAR": [per_cent(row.uar) for row in rows],
        "classes": [f"{row.num_classes_present}/{len(row.recall)}" for row in rows],
    }
    for name in ("war", "uar") if not short else ():
        columns[f"{name.upper()} 95 %"] = [_range(getattr(row, f"{name}_interval")) for row in rows]
    for name in () if short else rows[0].recall:
        columns[f"recall {name}"] = [per_cent(row.recall[name]) for row in rows]
    columns["n with face"] = [str(row.n_with_face) if row.n_with_face < row.n else "-" for row in rows]
    columns["WAR with face"] = [per_cent(row.war_with_face) for row in rows]
    columns["UAR with face"] = [per_cent(row.uar_with_face) for row in rows]
    for kind, name in () if short else _DEVIATIONS:
        columns[f"{name.upper()} {kind.replace('_', ' ')}"] = [per_cent(_deviation(row, kind, name)) for row in rows]
    kept = {name: cells for name, cells in columns.items() if name.startswith("recall") or set(cells) != {"-"}}
    words = "control, changed test frames; " if rows[0].control else ""
    title = f"{rows[0].prepared} ({rows[0].dataset}, sha256 {rows[0].dataset_sha256[:12]}): {words}per cent"
    return Section(title, tuple(kept), tuple(zip(*kept.values(), strict=True)), tuple(_row_notes(rows, short=short)))


def _range(intervals: Mapping[str, Interval] | None) -> str:
    """Return the interval from blocks of neighbours as per cent; `-` where there is none."""
    return f"{per_cent(intervals['blocks'].low)} to {per_cent(intervals['blocks'].high)}" if intervals else "-"


def _deviation(row: Row, kind: str, name: str) -> float | None:
    return (getattr(row, kind) or {}).get(name)


def _of(name: int | str, parts: Sequence[int]) -> str:
    return str(name) if len(parts) < 2 or name in parts else f"{name} of {' '.join(map(str, parts))}"


def _row_notes(rows: Sequence[Row], *, short: bool) -> list[str]:
    groups = grouped([row for row in rows if len(row.folds) < 2 and len(row.seeds) < 2], lambda row: row.protocol)
    common = common_parts([group[0].protocol for group in groups])
    notes = [f"protocol: {'; '.join(common)}"] if common else []
    for group in groups:
        own = "; ".join(part for part in group[0].protocol.split("; ") if part not in common)
        notes += (
            [f"protocol of {', '.join(dict.fromkeys(f'{row.recipe} {_row_name(row)}' for row in group))}: {own}"]
            if own
            else []
        )
    faceless = [row for row in rows if len(row.folds) < 2 and row.clips_without_face]
    for row, *_ in grouped(faceless, lambda row: row.folds):
        notes.append(f"test clips without a face, fold {row.fold}: {listed(row.clips_without_face)}")
    for kind, words in _DEVIATION_WORDS.items():
        mine = [row for row in rows if getattr(row, kind)]
        notes += [f"{kind.replace('_', ' ')}: {words}; ddof 1, in points"] if mine else []
        for row in mine if short else ():
            values = ", ".join(f"{name.upper()} {per_cent(_deviation(row, kind, name))}" for name in ("war", "uar"))
            control = f" {row.control}" if row.control else ""
            notes.append(f"  {row.recipe} {row.checkpoint}{control}, {_row_name(row)}: {values}")
    return notes + list(dict.fromkeys(row.note for row in rows if row.note))


def _row_name(row: Row) -> str:
    seed = "" if row.seed is None else f" seed {_of(row.seed, row.seeds)}"
    return f"fold {_of(row.fold, row.folds)}{seed}"


def to_json(report: Report) -> str:
    """Return the report as one JSON document."""
    return json.dumps(report.as_dict(), indent=2, allow_nan=False) + "\n"


def to_csv(report: Report) -> str:
    """Return all rows as one CSV table; `kind` is row, control, unfinished, published or scene."""
    document = report.as_dict()
    kinds = {
        "row": "rows",
        "control": "controls",
        "unfinished": "unfinished",
        "published": "published",
        "scene": "scenes",
    }
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
    return " ".join(map(str, value)) if isinstance(value, list) else value


def to_markdown(report: Report) -> str:
    """Return the tables as GitHub Markdown."""
    return "\n".join(section.as_markdown() for section in sections(report))


def to_latex(report: Report) -> str:
    r"""Return the tables as LaTeX; the preamble needs \usepackage{booktabs}."""
    return "\n".join(["% \\usepackage{booktabs}\n", *(section.as_latex() for section in sections(report))])


RENDERERS: Mapping[str, Callable[[Report], str]] = MappingProxyType(
    {"json": to_json, "csv": to_csv, "md": to_markdown, "latex": to_latex}
)
"""Format -> function; the console's tables are drawn by the command line from `sections`."""
