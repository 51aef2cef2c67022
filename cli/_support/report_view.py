"""A report on the screen, and as the file of a page."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.errors import DferError, UsageError

from . import console

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset
    from dfer_data.render.tables import Section
    from lstpnet.reporting.types import Report
    from lstpnet.runs import Run


def page(found: Report, runs: Sequence[Run], *, data: Path | str | None, filmstrips: int | None) -> str:
    """Return the report as HTML, with what the prepared datasets on this machine add to it."""
    from lstpnet.reporting.html.clip_table import MAX_FILMSTRIPS
    from lstpnet.reporting.html.page import to_html

    datasets = prepared_datasets(found, data)
    most = MAX_FILMSTRIPS if filmstrips is None else filmstrips
    with console.progress("filmstrips", unit="clips") as advance:
        return to_html(found, runs, datasets=datasets, max_filmstrips=most, on_progress=advance)


def prepared_datasets(found: Report, data: Path | str | None) -> Mapping[str, PreparedDataset]:
    """Return hash -> dataset of those that the report's rows are about: `data`, and folders below `prepared`.

    Raises UsageError for a `data` that no row is about; a folder below `prepared` that does not fit is passed over.
    """
    import dfer_data

    wanted = {row.dataset_sha256: row.prepared for row in found.rows}
    datasets: dict[str, PreparedDataset] = {}
    if data is not None:
        dataset = dfer_data.open_dataset(data)
        sha256 = dataset.document["sha256"]
        if wanted and sha256 not in wanted:
            made_with = ", ".join(f"{name} {other[:12]}" for other, name in wanted.items())
            raise UsageError(f"--data {data} is dataset {sha256[:12]}; the runs were made with {made_with}")
        datasets[sha256] = dataset
    for sha256, name in wanted.items():
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


def draw(found: Report) -> None:
    """Print the short tables."""
    from lstpnet.reporting.sections import sections

    for number, section in enumerate(sections(found, short=True)):
        if number:
            console.say("")
        if not (sys.stdout.isatty() and _draw_with_rich(section)):
            console.say(section.title)
            console.print_table(section.header, section.cells)
        for note in section.notes:
            console.say(note)


def _draw_with_rich(section: Section) -> bool:
    """Draw a table and return True, or do nothing and return False if the terminal would cut words or figures."""
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
