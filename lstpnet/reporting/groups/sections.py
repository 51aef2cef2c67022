"""The tables of a report by groups: figures per system, and missed faces per prepared dataset."""

from __future__ import annotations

from collections.abc import Sequence

from dfer_data.render.tables import Section, per_cent
from lstpnet.dataset_identity import folds_words
from lstpnet.reporting.groups.rows import FEW_CLIPS, DetectionRow, GroupReport, GroupRow
from lstpnet.reporting.rows import grouped, protocol_notes
from lstpnet.reporting.uncertainty.dependence import headline_interval, interval_note, interval_text
from lstpnet.reporting.uncertainty.significance import FEW_OF_CLASS


def group_sections(report: GroupReport | None) -> list[Section]:
    """Return a table of figures per system, and a table of detection per prepared dataset; [] without groups."""
    if report is None:
        return []
    sections = [_figures_section(rows, report) for rows in grouped(report.rows, lambda row: row.system)]
    by_dataset = grouped(report.detection, lambda row: (row.dataset_sha256, row.labels_sha256))
    return sections + [_detection_section(rows) for rows in by_dataset]


def _figures_section(rows: Sequence[GroupRow], report: GroupReport) -> Section:
    first = rows[0]
    columns = {
        first.by: [_marked(row) for row in rows],
        "n": [str(row.n) for row in rows],
        "no face": [str(row.n_without_face) for row in rows],
        "WAR": [per_cent(row.war) for row in rows],
        "WAR 95 %": [interval_text(headline_interval(row.war_interval, row.unit)) for row in rows],
        "UAR": [per_cent(row.uar) for row in rows],
        "UAR 95 %": [interval_text(headline_interval(row.uar_interval, row.unit)) for row in rows],
        "classes": [str(row.num_classes_present) for row in rows],
        "classes without clips": [", ".join(row.missing_classes) or "-" for row in rows],
    }
    rests_on = folds_words(first.folds, first.fold_set)
    rests_on += f", seeds {' '.join(map(str, first.seeds))}" if len(first.seeds) > 1 else ""
    notes = ["UAR over the classes that a group has test clips of: compare it among groups with the same classes"]
    notes += ["folds are counted together"] if len(first.folds) > 1 else []
    notes += ["a clip counts as the share of the seeds that predict it correctly"] if len(first.seeds) > 1 else []
    notes += _few_clips_note(rows)
    if any(row.n and not row.uar_interval for row in rows):
        least = f"under {FEW_CLIPS} clips, or of UAR with under {FEW_OF_CLASS} clips of one of its classes"
        notes.append(f"no interval for a group with {least}: it would be too narrow")
    if units := dict.fromkeys(row.unit for row in rows if row.war_interval):
        notes += [*map(interval_note, units), "intervals hold no training noise"]
    notes += [*report.notes, *protocol_notes([(first.system, report.protocols[first.system])])]
    kept_columns = {name: cells for name, cells in columns.items() if set(cells) != {"-"}}
    title = f"{first.prepared} by {first.by}: {first.system}, {rests_on}: per cent"
    return Section(title, tuple(kept_columns), tuple(zip(*kept_columns.values(), strict=True)), tuple(notes))


def _detection_section(rows: Sequence[DetectionRow]) -> Section:
    first = rows[0]
    columns = {
        first.by: [_marked(row) for row in rows],
        "clips": [str(row.n) for row in rows],
        "no face": [str(row.n_without_face) for row in rows],
        "no face %": [per_cent(row.without_face_share) for row in rows],
        "failed otherwise": [str(row.n_failed_otherwise) for row in rows],
        "detection rate %": [per_cent(row.detection_rate) for row in rows],
    }
    notes = ["train and test clips; detection rate: frames with a detected subject, mean of the clips with a face"]
    title = f"{first.prepared} by {first.by}: faces that the detector misses"
    cells = tuple(zip(*columns.values(), strict=True))
    return Section(title, tuple(columns), cells, (*notes, *_few_clips_note(rows)))


def _marked(row: GroupRow | DetectionRow) -> str:
    return f"{row.group} *" if row.few_clips else row.group


def _few_clips_note(rows: Sequence[GroupRow] | Sequence[DetectionRow]) -> list[str]:
    return [f"* under {FEW_CLIPS} clips: too few to compare"] if any(row.few_clips for row in rows) else []
