"""`dfer report`: WAR and UAR of runs, or of a file of predictions, next to the published figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dfer_data.errors import UsageError
from lstpnet.dataset_identity import FoldSettings
from lstpnet.reporting.groups.settings import GroupSettings

from ._support import console, report_view
from ._support.options import JsonFlag, refuse_targets
from ._support.setting_options import own_settings, takes_settings
from ._support.settings import load_settings

if TYPE_CHECKING:
    from lstpnet.reporting.types import Report

Format = Literal["console", "md", "json", "csv", "latex", "html"]
ENDINGS: dict[str, Format] = {".html": "html", ".md": "md", ".json": "json", ".csv": "csv", ".tex": "latex"}
"""Ending of a file -> format."""


@takes_settings(GroupSettings, FoldSettings)
def report(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="RUNS", help="Run folders, or folders that hold them.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder of all runs.", show_default="runs")] = None,
    output: Annotated[Format | None, typer.Option("--format", help="How to print.", show_default="console")] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"Write a file; its ending selects the format: {' '.join(ENDINGS)}.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="DATASET", help="Compare with all published figures of DFEW, FERV39k, AFEW, MAFW..."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="Test the others against this row of `side by side`.")
    ] = None,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="CSV of any model's predictions: clip_id and prediction, logits, or a column per class."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Prepared dataset, folder or URL: clips of --predictions and --by; pictures in HTML."),
    ] = None,
    fold: Annotated[
        list[int] | None, typer.Option(min=1, help="Fold of each --predictions file; else its column fold.")
    ] = None,
    filmstrips: Annotated[
        int | None, typer.Option(min=0, help="Clips with pictures in HTML, errors first.", show_default="2000")
    ] = None,
    as_json: JsonFlag = False,
    *,
    given: dict[str, Any],
) -> None:
    """Print WAR and UAR tables, or write them to a file or page.

    The tables show each fold, the mean, all folds pooled, systems side by side, and published figures. Without runs, it
    prints the published figures and the next command.
    """
    import lstpnet
    from lstpnet.reporting.published_results import dataset_named
    from lstpnet.reporting.types import NEXT_COMMANDS

    groups, fold_set = GroupSettings(**own_settings(GroupSettings, given)), given.get("fold_set")
    settings = load_settings().get("train", {})
    output_format = _choose_format(output, out, as_json=as_json)
    data_location = data or (settings.get("data") if predictions else None)
    is_page, by = output_format == "html", groups.by
    _check(folders, runs, predictions, data_location, fold, fold_set, filmstrips, by, is_page=is_page)
    if out is not None:
        refuse_targets(out, force=True)
    datasets = [dataset_named(name) for name in against or []]
    root = runs or settings.get("out") or Path("runs")
    options: dict[str, Any] = {"against": datasets, "baseline": baseline}
    options |= {**own_settings(GroupSettings, given), "data": data} if groups.by is not None else {}
    if predictions:
        options |= {"predictions": predictions, "folds": fold or (), "fold_set": fold_set, "data": data_location}
    result = lstpnet.report(folders or ([runs] if predictions and runs else None), root=root, **options).report
    if output_format == "console":
        report_view.draw(result)
    else:
        text = _render(result, output_format, data=data_location, filmstrips=filmstrips)
        _write(text, out)
    if not result.rows:
        commands = "   or: ".join(NEXT_COMMANDS)
        console.say(f"no finished runs; next: {commands}", as_json=output_format != "console" and out is None)


def _choose_format(output: Format | None, out: Path | None, *, as_json: bool) -> Format:
    """Return the format that the flags select. Raises UsageError if they contradict each other."""
    if as_json and output not in (None, "json"):
        raise UsageError(f"--json and --format {output}: use only one of them")
    explicit: Format | None = "json" if as_json else output
    if out is None:
        return explicit or "console"
    if explicit == "console":
        raise UsageError("--format console prints to the screen: remove --out, or choose another format")
    if explicit is None and out.suffix.lower() not in ENDINGS:
        raise UsageError(f"--out {out}: unknown file ending; use one of {' '.join(ENDINGS)}, or add --format")
    return explicit or ENDINGS[out.suffix.lower()]


def _check(
    folders: list[Path] | None,
    runs: Path | None,
    predictions: list[Path] | None,
    data: Path | str | None,
    fold: list[int] | None,
    fold_set: str | None,
    filmstrips: int | None,
    by: str | None,
    *,
    is_page: bool,
) -> None:
    """Raise one UsageError that lists every contradiction between the flags."""
    faults = []
    if folders and runs is not None:
        faults.append("run folders and --runs: use only one of them")
    if runs is not None and not runs.is_dir():
        faults.append(f"no folder {runs}: give the folder of a run, or a folder of runs")
    if not predictions:
        reads_data = data is None or is_page or by is not None
        faults += [] if reads_data else ["--data needs --predictions, --by or an HTML file"]
        faults += ["--fold needs --predictions"] if fold else []
        faults += ["--fold-set needs --predictions: runs know their folds"] if fold_set else []
    else:
        if data is None:
            faults.append("--predictions needs --data, the prepared dataset (as in --data prepared/dfew-retinaface)")
        if fold and len(fold) != len(predictions):
            faults.append(f"{len(predictions)} --predictions and {len(fold)} --fold: give one --fold for each file")
    if filmstrips is not None and not is_page:
        faults.append("--filmstrips needs an HTML file (--out report.html)")
    if faults:
        raise UsageError("; ".join(faults))


def _render(result: Report, output_format: Format, *, data: Path | str | None, filmstrips: int | None) -> str:
    from lstpnet.reporting.formats import RENDERERS

    if output_format == "html":
        return report_view.page(result, data=data, filmstrips=filmstrips)
    return RENDERERS[output_format](result)


def _write(text: str, out: Path | None) -> None:
    """Write the text to a file atomically and print the file's size; print the text if there is no file."""
    from dfer_data.render.visible import visible
    from dfer_data.storage.files import write_atomically

    if out is None:
        sys.stdout.write(visible(text, keeps_lines=True) if sys.stdout.isatty() else text)
        return
    content = text.encode("utf-8", "backslashreplace")  # file names are not always valid text
    write_atomically(out, content)
    size = f"{len(content) / 1e6:.1f} MB" if len(content) >= 1e6 else f"{max(1, round(len(content) / 1e3))} kB"
    console.say(f"{out}: {size}")
