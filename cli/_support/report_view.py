"""Render a report on the terminal or as an HTML page."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.errors import DferError, UsageError

from . import console

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset
    from dfer_data.render.tables import Section
    from lstpnet.reporting.types import Report


def page(report: Report, *, data: Path | str | None, filmstrips: int | None) -> str:
    """Return the report as HTML, with filmstrips from the prepared datasets on this machine."""
    from lstpnet.reporting.html.clip_table import MAX_FILMSTRIPS
    from lstpnet.reporting.html.page import to_html

    datasets = prepared_datasets(report, data)
    max_filmstrips = MAX_FILMSTRIPS if filmstrips is None else filmstrips
    with console.progress("filmstrips", unit="clips") as advance:
        return to_html(report, datasets=datasets, max_filmstrips=max_filmstrips, on_progress=advance)


def prepared_datasets(report: Report, data: Path | str | None) -> Mapping[str, PreparedDataset]:
    """Return sha256 -> dataset for the datasets of the report's rows: `data`, and folders under `prepared`.

    Raises UsageError if no row uses `data`; a folder under `prepared` with another hash is ignored.
    """
    import dfer_data

    names = {row.dataset_sha256: row.prepared for row in report.rows}
    datasets: dict[str, PreparedDataset] = {}
    if data is not None:
        dataset = dfer_data.open_dataset(data)
        sha256 = dataset.document["sha256"]
        if names and sha256 not in names:
            expected = ", ".join(f"{name} {row_sha256[:12]}" for row_sha256, name in names.items())
            raise UsageError(f"--data {data} is dataset {sha256[:12]}; the runs were made with {expected}")
        datasets[sha256] = dataset
    for sha256, name in names.items():
        folder = Path("prepared") / name
        if sha256 in datasets or not folder.is_dir():
            continue
        try:
            dataset = dfer_data.open_dataset(folder)
        except DferError as error:
            console.say(f"without {folder}: {error}", as_json=True)
            continue
        if dataset.document["sha256"] == sha256:
            datasets[sha256] = dataset
    return datasets


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

    table = Table(title=section.title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    columns = list(zip(section.header, *section.cells, strict=True))
    widths = [max(len(word) for cell in column for word in cell.split()) for column in columns]
    widths = [
        min(width, 24) if column[0] in ("source", "why", "run") else width
        for column, width in zip(columns, widths, strict=True)
    ]
    if sum(widths) + 2 * len(widths) > console.console().width:
        return False
    for name, width, is_number in zip(section.header, widths, section.are_numbers(), strict=True):
        table.add_column(name, justify="right" if is_number else "left", min_width=width, overflow="fold")
    for row in section.cells:
        table.add_row(*row)
    console.console().print(table, soft_wrap=False)
    return True
