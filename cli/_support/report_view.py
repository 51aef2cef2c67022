"""Render a report on the terminal or as an HTML page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.render.visible import visible

from . import console

if TYPE_CHECKING:
    from dfer_data.render.tables import Section
    from lstpnet.reporting.types import Report


def page(report: Report, *, data: Path | str | None, filmstrips: int | None) -> str:
    """Return the report as HTML, with filmstrips from the prepared datasets on this machine."""
    from lstpnet.reporting.html.clip_table import MAX_FILMSTRIPS
    from lstpnet.reporting.html.page import to_html
    from lstpnet.reporting.prepared_data import prepared_datasets

    datasets, notes = prepared_datasets(report.rows, data)
    for note in notes:
        console.say(note, as_json=True)
    max_filmstrips = MAX_FILMSTRIPS if filmstrips is None else filmstrips
    with console.progress("filmstrips", unit="clips") as advance:
        return to_html(report, datasets=list(datasets.values()), max_filmstrips=max_filmstrips, on_progress=advance)


def draw(report: Report) -> None:
    """Print the short tables."""
    from lstpnet.reporting.sections import sections

    for number, section in enumerate(sections(report, short=True)):
        if number:
            console.say("")
        if not (sys.stdout.isatty() and _draw_with_rich(section)):
            console.say(section.title)
            console.print_table(section.header, section.cells)
        for note in section.notes:
            console.say(note)


def _draw_with_rich(section: Section) -> bool:
    """Draw a table and return True; do nothing and return False if the terminal is too narrow for whole words."""
    from rich import box
    from rich.table import Table

    table = Table(title=visible(section.title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    lines = [[visible(cell) for cell in line] for line in (section.header, *section.cells)]
    columns = list(zip(*lines, strict=True))
    widths = [max(len(word) for cell in column for word in cell.split()) for column in columns]
    widths = [
        min(width, 24) if column[0] in ("source", "why", "run") else width
        for column, width in zip(columns, widths, strict=True)
    ]
    if sum(widths) + 2 * len(widths) > console.console().width:
        return False
    for name, width, is_number in zip(lines[0], widths, section.are_numbers(), strict=True):
        table.add_column(name, justify="right" if is_number else "left", min_width=width, overflow="fold")
    for row in lines[1:]:
        table.add_row(*row)
    console.console().print(table, soft_wrap=False)
    return True
