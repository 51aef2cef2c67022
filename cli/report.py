"""`dfer report`: WAR and UAR of runs, or of a file of predictions, beside the published figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dfer_data.errors import UsageError

from . import _console, _settings
from ._options import JsonFlag

if TYPE_CHECKING:
    from lstpnet.report import Report
    from lstpnet.tables import Section

Format = Literal["console", "md", "json", "csv", "latex"]


def report(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="RUNS", help="Run folders, or folders that hold them.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder of all runs.", show_default="runs")] = None,
    output: Annotated[Format | None, typer.Option("--format", help="How to print.", show_default="console")] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="CSV of anybody's predictions: clip_id and prediction, logits, or a column per class."),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Prepared dataset, folder or URL, that --predictions is about.")
    ] = None,
    fold: Annotated[int | None, typer.Option(min=1, help="Official fold that --predictions is about.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print WAR and UAR tables: per fold, mean, pooled, beside the published ones.

    Without runs: the published figures, and the next command.
    """
    from lstpnet.report import NEXT_COMMANDS, RENDERERS

    settings = _settings.load()
    about = data or (settings.train.data if predictions else None)
    _check(folders, runs, output, predictions, about, fold, as_json=as_json)
    chosen = "json" if as_json else output or "console"
    if predictions is not None and about is not None and fold is not None:
        found = _of_predictions(predictions, about, fold=fold)
    else:
        found = _of_runs(folders or [], runs, default=settings.train.out or Path("runs"))
    if chosen == "console":
        _draw(found)
    else:
        sys.stdout.write(RENDERERS[chosen](found))
    if not found.rows:
        commands = "   or: ".join(NEXT_COMMANDS)
        _console.say(f"no finished runs; next: {commands}", as_json=chosen != "console")


def _check(
    folders: list[Path] | None,
    runs: Path | None,
    output: Format | None,
    predictions: Path | None,
    data: Path | str | None,
    fold: int | None,
    *,
    as_json: bool,
) -> None:
    """Raise every contradiction between the flags as one UsageError."""
    faults = []
    if as_json and output not in (None, "json"):
        faults.append(f"--json and --format {output}: give one of them")
    if folders and runs is not None:
        faults.append("run folders and --runs: give one of them")
    if predictions is None:
        faults += [f"{flag} goes with --predictions" for flag, value in (("--data", data), ("--fold", fold)) if value]
    else:
        if folders or runs is not None:
            faults.append("--predictions and runs: one report at a time")
        if data is None:
            faults.append("--predictions needs --data, the prepared dataset (as in --data prepared/dfew-retinaface)")
        if fold is None:
            faults.append("--predictions needs --fold, the official fold that was tested")
    if faults:
        raise UsageError("; ".join(faults))


def _of_predictions(path: Path, data: Path | str, *, fold: int) -> Report:
    import dfer_data
    from lstpnet.report import report_predictions

    return report_predictions(path, dfer_data.open_dataset(data), fold=fold)


def _of_runs(folders: list[Path], runs: Path | None, *, default: Path) -> Report:
    """Report the folders named; without any, all runs below `runs` or the default, where there may be none yet."""
    from lstpnet.report import build_report
    from lstpnet.runs import find_runs, load_runs

    for folder in [*folders, *([runs] if runs else [])]:
        if not folder.is_dir():
            raise UsageError(f"no folder {folder}: give the folder of a run, or one that holds runs")
    found = []
    for folder in folders or [runs or default]:
        here = find_runs(folder)
        if folders and not here:
            raise UsageError(f"{folder} holds no runs (no run.json below it); `dfer train` makes them")
        found += here
    return build_report(*load_runs(found))


def _draw(found: Report) -> None:
    from lstpnet.report import sections

    for number, section in enumerate(sections(found, short=True)):
        if number:
            _console.say("")
        if not (sys.stdout.isatty() and _draw_with_rich(section)):
            _console.say(section.title)
            _console.print_table(section.header, section.cells)
        for note in section.notes:
            _console.say(note)


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
    if sum(widths) + 2 * len(widths) > _console.console().width:
        return False
    for name, width, is_number in zip(section.header, widths, section.are_numbers(), strict=True):
        table.add_column(name, justify="right" if is_number else "left", min_width=width, overflow="fold")
    for row in section.cells:
        table.add_row(*row)
    _console.console().print(table, soft_wrap=False)
    return True
