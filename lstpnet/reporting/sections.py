"""The tables of a report: which rows stand together, under which columns, with which notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dfer_data.render.tables import Section, listed, per_cent
from lstpnet.reporting.ferv39k_scenes import scene_sections
from lstpnet.reporting.paired_tests import paired_section
from lstpnet.reporting.published_results import published_section
from lstpnet.reporting.ranking import against_section, own_lines
from lstpnet.reporting.rows import Row, grouped, protocol_notes, section_key
from lstpnet.reporting.significance import Interval
from lstpnet.reporting.systems import system_key, systems_section
from lstpnet.runs import UnfinishedRun

if TYPE_CHECKING:
    from lstpnet.reporting.types import Report

_NAMES = ("recipe", "checkpoint", "control", "seed", "fold")
_DEVIATION_WORDS = {
    "fold_std": "over the folds, how hard the splits differ",
    "seed_std": "over the seeds, training noise",
}
_DEVIATIONS = [(kind, name) for kind in _DEVIATION_WORDS for name in ("war", "uar")]


def sections(report: Report, *, short: bool = False) -> list[Section]:
    """Return the tables of a report; short ones lack the recalls and most published rows."""
    found = [row_section(group, short=short) for group in grouped(report.rows, section_key)]
    if not short:
        found += [precision_section(group) for group in grouped(report.rows, section_key)]
        found += [confusion_section(row) for row in confusion_rows(report.rows)]
    found += comparison_sections(report, short=short)
    found += [row_section(group, short=short) for group in grouped(report.controls, section_key)]
    found += scene_sections(report.scenes)
    if report.unfinished:
        found.append(unfinished_section(report.unfinished))
    return found + published_sections(report, short=short)


def narrowed(section: Section) -> list[Section]:
    """Return a table of rows with its recalls in a table of their own, as printed pages need it; others as they are."""
    recalls = [name for name in section.header if name.startswith("recall ")]
    names = [name for name in section.header if name in _NAMES]
    if not recalls or not names:
        return [section]
    rest = [name for name in section.header if name not in recalls]
    by_class = [*names, *(name for name in ("n", "WAR", "UAR") if name in rest), *recalls]
    return [_picked(section, rest), replace(_picked(section, by_class), title=f"{section.title}, by class")]


def _picked(section: Section, names: Sequence[str]) -> Section:
    """Return the columns of these names."""
    places = [section.header.index(name) for name in names]
    cells = tuple(tuple(line[place] for place in places) for line in section.cells)
    return replace(section, header=tuple(names), cells=cells)


def comparison_sections(report: Report, *, short: bool = False) -> list[Section]:
    """Return the tables of systems side by side and of their paired tests; none for a single system."""
    several = [group for group in grouped(report.systems, lambda system: system.row.dataset) if len(group) > 1]
    found = [systems_section(group, short=short) for group in several]
    return found + [paired_section(group) for group in grouped(report.paired, lambda test: test.dataset)]


def published_sections(report: Report, *, short: bool = False) -> list[Section]:
    """Return the tables of published figures; those that were asked for are whole, with the report's own lines."""
    found = []
    for rows in grouped(report.published, lambda row: row.dataset):
        if rows[0].dataset in report.against:
            found.append(against_section(rows, own_lines(report), short=short))
        else:
            found.append(published_section(rows, short=short))
    return found


def unfinished_section(runs: Sequence[UnfinishedRun]) -> Section:
    """Return the table of run folders without results."""
    cells = tuple((run.folder.as_posix(), run.reason) for run in runs)
    return Section("unfinished runs", ("run", "why"), cells, ())


def precision_section(rows: Sequence[Row]) -> Section:
    """Return the precisions of the rows of one table, class by class."""
    columns = _names_of_rows(rows)
    for name in rows[0].precision:
        columns[f"precision {name}"] = [per_cent(row.precision[name]) for row in rows]
    kept = {name: cells for name, cells in columns.items() if name.startswith("precision") or set(cells) != {"-"}}
    notes = ["without a figure: never predicted; in a mean: over the folds that predict the class", *_protocols(rows)]
    title = f"{_title(rows[0])}: precision, per cent"
    return Section(title, tuple(kept), tuple(zip(*kept.values(), strict=True)), tuple(notes))


def confusion_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose confusion is worth a table: pooled over the folds of a seed, or its only fold."""
    found = []
    for group in grouped([row for row in rows if row.confusion], lambda row: (*system_key(row), row.seed)):
        found += [row for row in group if row.fold == "pooled"] or group
    return found


def confusion_section(row: Row) -> Section:
    """Return the confusion matrix of a row: clips by label and prediction."""
    names = list(row.recall)
    cells = tuple((name, *map(str, counts)) for name, counts in zip(names, row.confusion or (), strict=True))
    what = " ".join(filter(None, [row.recipe, row.checkpoint, row_name(row)]))
    notes = tuple(protocol_notes([(what, row.protocol)]))
    return Section(f"{_title(row)}: confusion of {what}, clips", ("label \\ prediction", *names), cells, notes)


def _title(row: Row) -> str:
    return f"{row.prepared} ({row.dataset}, sha256 {row.dataset_sha256[:12]})"


def row_section(rows: Sequence[Row], *, short: bool = False) -> Section:
    """Return the table of rows on the same data; short ones lack recalls, intervals and deviations."""
    columns = _names_of_rows(rows) | {
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
    title = f"{_title(rows[0])}: {words}per cent"
    return Section(title, tuple(kept), tuple(zip(*kept.values(), strict=True)), tuple(_row_notes(rows, short=short)))


def _names_of_rows(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the first columns of a table of rows."""
    return {
        "recipe": [row.recipe or "-" for row in rows],
        "checkpoint": [row.checkpoint or "-" for row in rows],
        "control": [row.control or "-" for row in rows],
        "seed": ["-" if row.seed is None else _of(row.seed, row.seeds) for row in rows],
        "fold": [_of(row.fold, row.folds) for row in rows],
    }


def _range(intervals: Mapping[str, Interval] | None) -> str:
    """Return the interval from blocks of neighbours as per cent; `-` where there is none."""
    return f"{per_cent(intervals['blocks'].low)} to {per_cent(intervals['blocks'].high)}" if intervals else "-"


def _deviation(row: Row, kind: str, name: str) -> float | None:
    return (getattr(row, kind) or {}).get(name)


def _of(name: int | str, parts: Sequence[int]) -> str:
    return str(name) if len(parts) < 2 or name in parts else f"{name} of {' '.join(map(str, parts))}"


def _row_notes(rows: Sequence[Row], *, short: bool) -> list[str]:
    notes = _protocols(rows)
    faceless = [row for row in rows if len(row.folds) < 2 and row.clips_without_face]
    for row, *_ in grouped(faceless, lambda row: row.folds):
        notes.append(f"test clips without a face, fold {row.fold}: {listed(row.clips_without_face)}")
    for kind, words in _DEVIATION_WORDS.items():
        mine = [row for row in rows if getattr(row, kind)]
        notes += [f"{kind.replace('_', ' ')}: {words}; ddof 1, in points"] if mine else []
        for row in mine if short else ():
            values = ", ".join(f"{name.upper()} {per_cent(_deviation(row, kind, name))}" for name in ("war", "uar"))
            control = f" {row.control}" if row.control else ""
            notes.append(f"  {row.recipe} {row.checkpoint}{control}, {row_name(row)}: {values}")
    return notes + list(dict.fromkeys(row.note for row in rows if row.note))


def _protocols(rows: Sequence[Row]) -> list[str]:
    singles = [row for row in rows if len(row.folds) < 2 and len(row.seeds) < 2]
    return protocol_notes([(f"{row.recipe} {row_name(row)}", row.protocol) for row in singles])


def row_name(row: Row) -> str:
    """Return fold and seed of a row in words."""
    seed = "" if row.seed is None else f" seed {_of(row.seed, row.seeds)}"
    return f"fold {_of(row.fold, row.folds)}{seed}"
