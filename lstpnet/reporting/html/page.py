"""Render the report as one self-contained HTML file; all inserted values are escaped text.

    to_html(report, datasets=[dataset]) -> str

jinja2 renders the template with autoescaping. A content security policy allows only embedded images and, by their
hashes, one style sheet and one script, so injected code can neither run nor contact a server. Learning curves and clips
come from the run folders; data reliability and filmstrips also need the prepared dataset.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from dfer_data.errors import CorruptDataError
from dfer_data.inspection.reliability import reliability_sections
from dfer_data.render.html import page_template, policy, read_text
from dfer_data.render.tables import Section, per_cent
from dfer_data.wording import counted
from lstpnet.dataset_identity import clips_key, fold_words, folds_words
from lstpnet.learning_curves import draw_curves, epochs_section
from lstpnet.reporting.audited_tests import audit_sections
from lstpnet.reporting.calibrated_systems import calibration_sections
from lstpnet.reporting.ferv39k_scenes import scene_sections
from lstpnet.reporting.groups.sections import group_sections
from lstpnet.reporting.html.clip_table import MAX_BYTES, MAX_FILMSTRIPS, drilldown_of, filmstrips
from lstpnet.reporting.html.filmstrip import FRAME_PX, FRAMES_PER_LINE
from lstpnet.reporting.html.reliability_diagram import draw_reliability
from lstpnet.reporting.multi_label.rows import multi_label_sections
from lstpnet.reporting.ranking import own_lines
from lstpnet.reporting.rows import Row, grouped, section_key
from lstpnet.reporting.run_facts import run_sections
from lstpnet.reporting.sections import (
    class_sections,
    comparison_sections,
    confusion_rows,
    narrowed,
    published_sections,
    row_name,
    row_section,
    unfinished_section,
)
from lstpnet.reporting.systems import system_key
from lstpnet.reporting.uncertainty.dependence import UNIT_NOTES, headline_interval, interval_text
from lstpnet.runs import read_epochs

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset
    from lstpnet.finished_runs import ScoredRun
    from lstpnet.reporting.types import Report

_CURVES_DPI = 75
SHADES = 10
"""Steps of a confusion matrix's shading."""


@dataclass(frozen=True)
class SystemCard:
    """One system in the summary."""

    name: str
    """Name of the system."""
    row: Row
    """Row of its headline figures."""
    war: str
    """WAR in per cent."""
    uar: str
    """UAR in per cent."""
    intervals: str
    """Confidence intervals as text; empty if there are none."""
    rests_on: str
    """Clips, folds, seeds and classes behind the figures, as text."""


@dataclass(frozen=True)
class Cell:
    """One cell of a confusion matrix."""

    count: int
    """Number of clips."""
    share: str
    """Share of the label's clips, in per cent without decimals; `-` for a class without clips."""
    shade: int
    """Shade of the cell, from 0 (no clips) to SHADES (all clips)."""


@dataclass(frozen=True)
class ConfusionTable:
    """A confusion matrix for the template."""

    title: str
    """System and row of the matrix."""
    names: tuple[str, ...]
    """Class names."""
    rows: tuple[tuple[Cell, ...], ...]
    """Cells by label, then by prediction."""
    view: str
    """Name of the view with the clips of the matrix; empty if there is none."""


@dataclass(frozen=True)
class Curves:
    """Learning curves of a run."""

    title: str
    """Prepared folder, recipe, fold and seed of the run."""
    image: str
    """PNG in base64."""
    table: Section
    """The numbers of the curves."""


@dataclass(frozen=True)
class ReliabilityDiagram:
    """The reliability diagram of a system."""

    title: str
    """Name of the system."""
    image: str
    """PNG in base64."""


def to_html(
    report: Report,
    *,
    datasets: Sequence[PreparedDataset] = (),
    max_filmstrips: int = MAX_FILMSTRIPS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Return the report as an HTML page.

    Args:
        report: the figures, and the runs for curves and clips.
        datasets: prepared datasets on this machine. Runs whose dataset is none of them, or changed since, get neither
            filmstrips nor data reliability.
        max_filmstrips: maximum number of filmstrips; 0: none.
        on_progress: called with the number of finished filmstrips and their total.

    Raises UsageError without matplotlib, CorruptDataError for damaged files of a run.
    """
    by_clips = {clips_key(dataset): dataset for dataset in datasets}
    drilldown = drilldown_of(report.systems, report.runs)
    clips = drilldown.as_dict()
    curves = _curves(report.runs)
    diagrams = [
        ReliabilityDiagram(system.name, _image(draw_reliability(system.figures, system.scaled, dpi=_CURVES_DPI)))
        for system in report.calibrated
    ]
    clips_bytes = len(json.dumps(clips, separators=(",", ":"), allow_nan=False))
    images = [*(run.image for run in curves), *(diagram.image for diagram in diagrams)]
    max_bytes = MAX_BYTES - clips_bytes - sum(map(len, images))
    strips, notes = filmstrips(drilldown, by_clips, most=max_filmstrips, max_bytes=max_bytes, on_progress=on_progress)
    style, script = read_text("page.css"), read_text("page.js")
    own_groups, control_groups = (grouped(rows, section_key) for rows in (report.rows, report.controls))
    absent = sorted({table.prepared for table in drilldown.datasets if table.clips not in by_clips})
    return str(
        page_template("report.html.j2", package="lstpnet.reporting.html").render(
            version=version("dfer"),
            report=report,
            cards=_cards(report),
            own_tables=[
                *(table for rows in own_groups for table in narrowed(row_section(rows))),
                *multi_label_sections(report.multi_label),
                *audit_sections(report.audited),
            ],
            class_tables=[table for rows in own_groups for table in class_sections(rows)],
            control_tables=[table for rows in control_groups for table in narrowed(row_section(rows))],
            run_tables=run_sections(report.runs),
            date=datetime.now(UTC).date().isoformat(),
            scene_tables=scene_sections(report.scenes),
            group_tables=group_sections(report.groups),
            comparisons=comparison_sections(report),
            unfinished=[unfinished_section(report.unfinished)] if report.unfinished else [],
            published=published_sections(report),
            matrices=_matrices(report, {view.name for view in drilldown.views}),
            curves=curves,
            calibration_tables=calibration_sections(report.calibrated),
            diagrams=diagrams,
            reliability=_reliability(datasets),
            absent=absent,
            clips=clips,
            num_clips=sum(len(table.ids) for table in drilldown.datasets),
            strips=strips,
            strip_notes=notes,
            strip_cell=(FRAME_PX, FRAMES_PER_LINE),
            style=style,
            script=script,
            policy=policy(style, script, images="data:"),
        )
    )


def _cards(report: Report) -> list[SystemCard]:
    return [_card(line.name, line.row, report.rows) for line in own_lines(report)]


def _card(name: str, row: Row, rows: Sequence[Row]) -> SystemCard:
    """Return a system's card; a mean over folds without intervals gets those of its pooled row."""
    system_rows = [other for other in rows if system_key(other) == system_key(row) and other.seeds == row.seeds]
    pooled_rows = [other for other in system_rows if other.fold == "pooled" and other.folds == row.folds]
    source = row if row.war_interval else pooled_rows[0] if pooled_rows else row
    ranges = []
    for figure, intervals in (("WAR", source.war_interval), ("UAR", source.uar_interval)):
        if interval := headline_interval(intervals, source.unit):
            ranges.append(f"{figure} {interval_text(interval)}")
    of_pooled = "" if source is row else ", pooled"
    shown_intervals = f"95 %{of_pooled}: {', '.join(ranges)} ({UNIT_NOTES[source.unit]})" if ranges else ""
    folds = folds_words(row.folds, row.fold_set)
    seeds = [f"seed{'s' * (len(row.seeds) > 1)} {' '.join(map(str, row.seeds))}"] if row.seeds else []
    classes = f"{row.num_classes_present} of {counted(len(row.recall), 'class')}"
    rests_on = ", ".join([counted(row.n, "test clip"), folds, *seeds, classes])
    return SystemCard(name, row, per_cent(row.war), per_cent(row.uar), shown_intervals, rests_on)


def _matrices(report: Report, views: set[str]) -> list[ConfusionTable]:
    names = {system_key(system.row): system.name for system in report.systems}
    tables = []
    for row in confusion_rows(report.rows):
        name = names.get(system_key(row), row.run)
        view = next((view for view in (name, f"{name} seed {row.seed}") if view in views), "")
        cells = tuple(tuple(_cell(count, sum(counts)) for count in counts) for counts in row.confusion or ())
        tables.append(ConfusionTable(f"{name}, {row_name(row)}", tuple(row.recall), cells, view))
    return tables


def _cell(count: int, total: int) -> Cell:
    share = count / total if total else 0.0
    return Cell(count, f"{100 * share:.0f}" if total else "-", round(SHADES * share))


def _curves(runs: Sequence[ScoredRun]) -> list[Curves]:
    curves = []
    for run in runs:
        epochs = read_epochs(run.folder, run.info)
        if epochs:
            info = run.info
            title = f"{info.prepared}, {info.recipe}, {fold_words(info.fold, info.fold_set)}, seed {info.seed}"
            curves.append(Curves(title, _image(draw_curves(epochs, dpi=_CURVES_DPI)), epochs_section(epochs)))
    return curves


def _image(png: bytes) -> str:
    return base64.b64encode(png).decode("ascii")


def _reliability(datasets: Sequence[PreparedDataset]) -> list[Section]:
    sections = []
    for dataset in datasets:
        try:
            sections += reliability_sections(dataset)
        except CorruptDataError as error:
            sections.append(Section(f"{dataset.root}: reliability", ("damage",), ((str(error),),), ()))
    return sections
