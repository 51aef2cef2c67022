"""Build the tables of a report: their rows, columns and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dfer_data.render.tables import Section, listed, per_cent
from dfer_data.shards.identity import OFFICIAL_SET
from lstpnet.dataset_identity import data_words
from lstpnet.finished_runs import UnfinishedRun
from lstpnet.reporting.audited_tests import audit_sections
from lstpnet.reporting.calibrated_systems import calibration_sections
from lstpnet.reporting.ferv39k_scenes import scene_sections
from lstpnet.reporting.groups.sections import group_sections
from lstpnet.reporting.multi_label.rows import multi_label_sections
from lstpnet.reporting.published_results import language_model_section, published_section
from lstpnet.reporting.ranking import against_section, own_lines
from lstpnet.reporting.rows import Row, grouped, is_complete, protocol_notes, section_key, with_all_numbers
from lstpnet.reporting.systems import system_key, systems_section
from lstpnet.reporting.uncertainty.dependence import headline_interval, interval_note, interval_text
from lstpnet.reporting.uncertainty.paired_tests import paired_section
from lstpnet.reporting.uncertainty.paired_trainings import trainings_section

if TYPE_CHECKING:
    from lstpnet.reporting.types import Report

_NAMES = ("recipe", "checkpoint", "control", "seed", "fold")
_DEVIATION_WORDS = {
    "fold_std": "over the folds, difficulty of the splits, training noise and sampling noise together",
    "seed_std": "over the seeds, training noise",
}
_DEVIATIONS = [(kind, name) for kind in _DEVIATION_WORDS for name in ("war", "uar")]


def sections(report: Report, *, short: bool = False) -> list[Section]:
    """Return the tables of a report; short ones omit the recalls and most published rows."""
    tables = [row_section(group, short=short) for group in grouped(report.rows, section_key)]
    if not short:
        tables += [table for group in grouped(report.rows, section_key) for table in class_sections(group)]
        tables += [confusion_section(row) for row in confusion_rows(report.rows)]
    tables += comparison_sections(report, short=short)
    tables += [row_section(group, short=short) for group in grouped(report.controls, section_key)]
    tables += [] if short else calibration_sections(report.calibrated)
    tables += multi_label_sections(report.multi_label) + audit_sections(report.audited)
    tables += scene_sections(report.scenes) + group_sections(report.groups)
    if report.unfinished:
        tables.append(unfinished_section(report.unfinished))
    return tables + published_sections(report, short=short)


def narrowed(section: Section) -> list[Section]:
    """Return a table of rows as two tables, one for its recalls, to fit a printed page; other tables stay unchanged."""
    recall_columns = [name for name in section.header if name.startswith("recall ")]
    name_columns = [name for name in section.header if name in _NAMES]
    if not recall_columns or not name_columns:
        return [section]
    other_columns = [name for name in section.header if name not in recall_columns]
    class_columns = [*name_columns, *(name for name in ("n", "WAR", "UAR") if name in other_columns), *recall_columns]
    return [
        _picked(section, other_columns),
        replace(_picked(section, class_columns), title=f"{section.title}, by class"),
    ]


def _picked(section: Section, names: Sequence[str]) -> Section:
    """Return the section with only the named columns."""
    indices = [section.header.index(name) for name in names]
    cells = tuple(tuple(line[index] for index in indices) for line in section.cells)
    return replace(section, header=tuple(names), cells=cells)


def comparison_sections(report: Report, *, short: bool = False) -> list[Section]:
    """Return the tables that compare systems, and the answers whether one is better; none for a single system.

    `short` omits the comparison training by training.
    """
    groups = [group for group in grouped(report.systems, lambda system: system.row.dataset) if len(group) > 1]
    tables = [systems_section(group, short=short) for group in groups]
    tables += [paired_section(group, short=short) for group in grouped(report.paired, lambda test: test.dataset)]
    details = () if short else grouped(report.paired_trainings, lambda line: line.dataset)
    return tables + [trainings_section(group) for group in details]


def published_sections(report: Report, *, short: bool = False) -> list[Section]:
    """Return the tables of published figures; requested ones are complete and include the report's own lines.

    Language models follow in a separate table, without ranks among the others.
    """
    tables = []
    for rows in grouped(report.published, lambda row: row.dataset):
        networks = [row for row in rows if not row.is_language_model]
        language_models = [row for row in rows if row.is_language_model]
        is_requested = rows[0].dataset in report.against
        if is_requested:
            tables.append(against_section(networks, own_lines(report), short=short))
        else:
            tables.append(published_section(networks, short=short))
        if language_models and (is_requested or not short):
            tables.append(language_model_section(language_models, short=short))
    return tables


def unfinished_section(runs: Sequence[UnfinishedRun]) -> Section:
    """Return the table of run folders without results."""
    cells = tuple((run.folder.as_posix(), run.reason) for run in runs)
    return Section("unfinished runs", ("run", "why"), cells, ())


def class_sections(rows: Sequence[Row]) -> list[Section]:
    """Return the tables of precision and of F1 by class of rows on the same data."""
    notes = {
        "precision": "no figure: class never predicted; in a mean: over the folds that predict the class",
        "F1": "harmonic mean of precision and recall, 0 if never predicted correctly; no figure: class without clips",
    }
    return [_class_section(rows, name, note=note) for name, note in notes.items()]


def _class_section(rows: Sequence[Row], figure: str, *, note: str) -> Section:
    columns = {name: cells for name, cells in _name_columns(rows).items() if set(cells) != {"-"}}
    for name in rows[0].recall:
        columns[f"{figure} {name}"] = [per_cent(getattr(row, figure.lower())[name]) for row in rows]
    cells = tuple(zip(*columns.values(), strict=True))
    return Section(f"{_title(rows[0])}: {figure}, per cent", tuple(columns), cells, (note, *_protocols(rows)))


def confusion_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that get a confusion table: those pooled over the folds of a seed, or its only fold."""
    kept_rows = []
    for group in grouped([row for row in rows if row.confusion], lambda row: (*system_key(row), row.seed)):
        kept_rows += [row for row in group if row.fold == "pooled"] or group
    return kept_rows


def confusion_section(row: Row) -> Section:
    """Return the confusion matrix of a row: clips by label and prediction."""
    names = list(row.recall)
    cells = tuple((name, *map(str, counts)) for name, counts in zip(names, row.confusion or (), strict=True))
    row_title = " ".join(filter(None, [row.recipe, row.checkpoint, row_name(row)]))
    notes = tuple(protocol_notes([(row_title, row.protocol)]))
    return Section(f"{_title(row)}: confusion of {row_title}, clips", ("label \\ prediction", *names), cells, notes)


def _title(row: Row) -> str:
    folds = "" if row.fold_set == OFFICIAL_SET else f", folds of {row.fold_set}"
    return f"{row.prepared} ({row.dataset}, sha256 {data_words(row.identity)}{folds})"


def row_section(rows: Sequence[Row], *, short: bool = False) -> Section:
    """Return the table of rows on the same data; a short one omits recalls, intervals and deviations."""
    columns = _name_columns(rows) | {
        "n": [str(row.n) for row in rows],
        "WAR": [per_cent(row.war) for row in rows],
        "UAR": [per_cent(row.uar) for row in rows],
        "classes": [f"{row.num_classes_present}/{len(row.recall)}" for row in rows],
    }
    columns |= {} if short else {"macro F1": [per_cent(row.macro_f1) for row in rows]}
    for name in ("war", "uar") if not short else ():
        columns[f"{name.upper()} 95 %"] = [_interval(row, name) for row in rows]
    for name in () if short else rows[0].recall:
        columns[f"recall {name}"] = [per_cent(row.recall[name]) for row in rows]
    columns["n with face"] = [str(row.n_with_face) if row.n_with_face < row.n else "-" for row in rows]
    columns["WAR with face"] = [per_cent(row.war_with_face) for row in rows]
    columns["UAR with face"] = [per_cent(row.uar_with_face) for row in rows]
    for kind, name in () if short else _DEVIATIONS:
        columns[f"{name.upper()} {kind.replace('_', ' ')}"] = [per_cent(_deviation(row, kind, name)) for row in rows]
    kept_columns = {
        name: values for name, values in columns.items() if name.startswith("recall") or set(values) != {"-"}
    }
    control_words = "control, changed test frames; " if rows[0].control else ""
    title = f"{_title(rows[0])}: {control_words}per cent"
    cells = tuple(zip(*kept_columns.values(), strict=True))
    return Section(title, tuple(kept_columns), cells, tuple(_row_notes(rows, short=short)))


def _name_columns(rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return the columns that name the rows of a table."""
    return {
        "recipe": [row.recipe or "-" for row in rows],
        "checkpoint": [row.checkpoint or "-" for row in rows],
        "control": [row.control or "-" for row in rows],
        "seed": ["-" if row.seed is None else _with_members(row.seed, row.seeds) for row in rows],
        "fold": [_with_members(row.fold, row.folds) + _mark(row) for row in rows],
    }


def _interval(row: Row, name: str) -> str:
    """Return the headline interval of WAR or UAR (`name`) in per cent; `-` if there is none."""
    return interval_text(headline_interval(getattr(row, f"{name}_interval"), row.unit))


def _deviation(row: Row, kind: str, name: str) -> float | None:
    return (getattr(row, kind) or {}).get(name)


def _mark(row: Row) -> str:
    """Return the mark of a mean over folds of which some have no test clips of a class."""
    return " (incomplete)" if row.fold == "mean" and not is_complete(row) else ""


def _with_members(name: int | str, members: Sequence[int]) -> str:
    return str(name) if len(members) < 2 or name in members else f"{name} of {' '.join(map(str, members))}"


def _row_notes(rows: Sequence[Row], *, short: bool) -> list[str]:
    notes = _protocols(rows)
    units = dict.fromkeys(row.unit for row in rows if row.war_interval and not short)
    notes += [interval_note(unit) for unit in units]
    if units:
        means = "; those of a mean of seeds do (t)" if any(row.seed == "mean" for row in rows) else ""
        notes.append(f"intervals of one training hold no training noise{means}")
    faceless = [row for row in rows if len(row.folds) < 2 and row.clips_without_face]
    for row, *_ in grouped(faceless, lambda row: row.folds):
        notes.append(f"test clips without a face, fold {row.fold}: {listed(row.clips_without_face)}")
    for kind, words in _DEVIATION_WORDS.items():
        deviating_rows = [row for row in rows if getattr(row, kind)]
        notes += [f"{kind.replace('_', ' ')}: {words}; ddof 1, in points"] if deviating_rows else []
        for row in deviating_rows if short else ():
            values = ", ".join(f"{name.upper()} {per_cent(_deviation(row, kind, name))}" for name in ("war", "uar"))
            control = f" {row.control}" if row.control else ""
            notes.append(f"  {row.recipe} {row.checkpoint}{control}, {row_name(row)}: {values}")
    return notes + list(dict.fromkeys(row.note for row in rows if row.note))


def _protocols(rows: Sequence[Row]) -> list[str]:
    singles = [row for row in rows if len(row.folds) < 2 and len(row.seeds) < 2]
    protocols = with_all_numbers([row.protocol for row in singles])
    return protocol_notes(list(zip((f"{row.recipe} {row_name(row)}" for row in singles), protocols, strict=True)))


def row_name(row: Row) -> str:
    """Return a row's fold and seed as words."""
    seed = "" if row.seed is None else f" seed {_with_members(row.seed, row.seeds)}"
    return f"fold {_with_members(row.fold, row.folds)}{seed}"
