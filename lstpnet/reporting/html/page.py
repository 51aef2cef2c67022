"""The report as one HTML file: no network, no other file, everything from elsewhere is text.

    to_html(report, runs, datasets={sha256: dataset}) -> str

The template is rendered by jinja2 with autoescaping. A content security policy allows pictures inside the page, and
the one style sheet and the one script by their hashes: should anything slip through, it neither runs nor calls home.
Learning curves and clips come from the run folders; data reliability and filmstrips need the prepared dataset as well.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from dfer_data.errors import CorruptDataError
from dfer_data.inspection.reliability import reliability_sections
from dfer_data.render.html import page_template, policy, read_text
from dfer_data.render.tables import Section, per_cent
from lstpnet.reporting.ferv39k_scenes import scene_sections
from lstpnet.reporting.html import filmstrip
from lstpnet.reporting.html import svg_curves as charts
from lstpnet.reporting.html.clip_table import MAX_BYTES, MAX_FILMSTRIPS, drilldown_of, filmstrips
from lstpnet.reporting.ranking import own_lines
from lstpnet.reporting.rows import Row, grouped, section_key
from lstpnet.reporting.sections import (
    comparison_sections,
    confusion_rows,
    precision_section,
    published_sections,
    row_name,
    row_section,
    unfinished_section,
)
from lstpnet.reporting.systems import system_key
from lstpnet.runs import read_epochs

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset
    from lstpnet.reporting.types import Report
    from lstpnet.runs import Run

SHADES = 10
"""Steps of a confusion matrix's shading."""


@dataclass(frozen=True)
class SystemCard:
    """One system in the summary."""

    name: str
    """Of the system."""
    row: Row
    """Its headline figures."""
    war: str
    """Per cent."""
    uar: str
    """Per cent."""
    intervals: str
    """In words; empty where there are none."""
    rests_on: str
    """Folds, seeds, clips, in words."""


@dataclass(frozen=True)
class Cell:
    """One field of a confusion matrix."""

    count: int
    """Clips."""
    share: str
    """Of the label's clips, per cent without decimals; `-` for a class without clips."""
    shade: int
    """0 (none) to SHADES (all)."""


@dataclass(frozen=True)
class ConfusionTable:
    """A confusion matrix to be drawn."""

    title: str
    """What it is of."""
    names: tuple[str, ...]
    """Class names."""
    rows: tuple[tuple[Cell, ...], ...]
    """By label, then prediction."""
    view: str
    """Name of the view of the clips that it counts; empty: there is none."""


@dataclass(frozen=True)
class Curves:
    """Learning curves of a run."""

    title: str
    """Its folder."""
    panels: list[charts.Chart]
    """One or two."""
    table: Section
    """The numbers."""


def to_html(
    report: Report,
    runs: Sequence[Run] = (),
    *,
    datasets: Mapping[str, PreparedDataset] | None = None,
    max_filmstrips: int = MAX_FILMSTRIPS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Return the page.

    Args:
        report: the figures.
        runs: the runs behind it, for curves and clips.
        datasets: prepared datasets on this machine by the hash of their dataset.json; without one its runs have neither
            filmstrips nor data reliability.
        max_filmstrips: 0: none.
        on_progress: called with the number of filmstrips made and of all.

    Raises UsageError without jinja2, CorruptDataError for damaged files of a run.
    """
    found = datasets or {}
    drilldown = drilldown_of(report.systems, runs)
    clips = drilldown.as_dict()
    room = MAX_BYTES - len(json.dumps(clips, separators=(",", ":")))
    strips, notes = filmstrips(drilldown, found, most=max_filmstrips, max_bytes=room, on_progress=on_progress)
    style, script = read_text("page.css"), read_text("page.js")
    absent = sorted({table.prepared for table in drilldown.datasets if table.sha256 not in found})
    return str(
        page_template("report.html.j2", package="lstpnet.reporting.html").render(
            version=version("dfer"),
            report=report,
            cards=_cards(report),
            own_tables=[row_section(rows) for rows in grouped(report.rows, section_key)],
            precision_tables=[precision_section(rows) for rows in grouped(report.rows, section_key)],
            control_tables=[row_section(rows) for rows in grouped(report.controls, section_key)],
            scene_tables=scene_sections(report.scenes),
            comparisons=comparison_sections(report),
            unfinished=[unfinished_section(report.unfinished)] if report.unfinished else [],
            published=published_sections(report),
            matrices=_matrices(report, {view.name for view in drilldown.views}),
            curves=_curves(runs),
            reliability=_reliability(found),
            absent=absent,
            clips=clips,
            num_clips=sum(len(table.ids) for table in drilldown.datasets),
            strips=strips,
            strip_notes=notes,
            strip_size=(filmstrip.FILMSTRIP_WIDTH_PX, filmstrip.FILMSTRIP_HEIGHT_PX),
            style=style,
            script=script,
            policy=policy(style, script, images="data:"),
        )
    )


def _cards(report: Report) -> list[SystemCard]:
    return [_card(line.name, line.row, report.rows) for line in own_lines(report)]


def _card(name: str, row: Row, rows: Sequence[Row]) -> SystemCard:
    """Return a system's card; intervals of a mean over folds are those of its pooled row."""
    same = [other for other in rows if system_key(other) == system_key(row) and other.seeds == row.seeds]
    pooled = [other for other in same if other.fold == "pooled" and other.folds == row.folds]
    holder = row if row.war_interval else pooled[0] if pooled else row
    parts = []
    for figure, intervals in (("WAR", holder.war_interval), ("UAR", holder.uar_interval)):
        if intervals:
            blocks = intervals["blocks"]
            parts.append(f"{figure} {per_cent(blocks.low)} to {per_cent(blocks.high)}")
    words = f"95 %{'' if holder is row else ', pooled'}: {', '.join(parts)}" if parts else ""
    folds = f"fold{'s' * (len(row.folds) > 1)} {' '.join(map(str, row.folds))}"
    seeds = [f"seed{'s' * (len(row.seeds) > 1)} {' '.join(map(str, row.seeds))}"] if row.seeds else []
    classes = f"{row.num_classes_present} of {len(row.recall)} classes"
    rests_on = ", ".join([f"{row.n:,} test clips", folds, *seeds, classes])
    return SystemCard(name, row, per_cent(row.war), per_cent(row.uar), words, rests_on)


def _matrices(report: Report, views: set[str]) -> list[ConfusionTable]:
    names = {system_key(system.row): system.name for system in report.systems}
    found = []
    for row in confusion_rows(report.rows):
        name = names.get(system_key(row), row.run)
        view = next((view for view in (name, f"{name} seed {row.seed}") if view in views), "")
        cells = tuple(tuple(_cell(count, sum(counts)) for count in counts) for counts in row.confusion or ())
        found.append(ConfusionTable(f"{name}, {row_name(row)}", tuple(row.recall), cells, view))
    return found


def _cell(count: int, total: int) -> Cell:
    share = count / total if total else 0.0
    return Cell(count, f"{100 * share:.0f}" if total else "-", round(SHADES * share))


def _curves(runs: Sequence[Run]) -> list[Curves]:
    found = []
    for run in runs:
        epochs = read_epochs(run.folder)
        if epochs:
            info = run.info
            title = f"{info.prepared}, {info.recipe}, fold {info.fold}, seed {info.seed}"
            found.append(Curves(title, charts.charts_of(epochs), charts.epochs_section(epochs)))
    return found


def _reliability(datasets: Mapping[str, PreparedDataset]) -> list[Section]:
    found = []
    for dataset in datasets.values():
        try:
            found += reliability_sections(dataset)
        except CorruptDataError as error:
            found.append(Section(f"{dataset.root}: reliability", ("damage",), ((str(error),),), ()))
    return found
