"""`dfer report`: WAR and UAR of runs, or of a file of predictions, beside the published figures."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dfer_data.errors import UsageError

from ._support import console, report_view
from ._support.options import JsonFlag
from ._support.settings import load_settings

if TYPE_CHECKING:
    from lstpnet.reporting.types import Report
    from lstpnet.runs import Run

Format = Literal["console", "md", "json", "csv", "latex", "html"]
_ENDINGS: dict[str, Format] = {".html": "html", ".md": "md", ".json": "json", ".csv": "csv", ".tex": "latex"}


def report(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="RUNS", help="Run folders, or folders that hold them.")
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder of all runs.", show_default="runs")] = None,
    output: Annotated[Format | None, typer.Option("--format", help="How to print.", show_default="console")] = None,
    out: Annotated[
        Path | None, typer.Option(help=f"Write a file; its ending says the format: {' '.join(_ENDINGS)}.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="DATASET", help="Stand among all published figures of DFEW, FERV39k, AFEW, MAFW..."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="Test the others against this line of `side by side`.")
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="CSV of anybody's predictions: clip_id and prediction, logits, or a column per class."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Prepared dataset, folder or URL: what --predictions is about; pictures of clips in HTML."),
    ] = None,
    fold: Annotated[int | None, typer.Option(min=1, help="Official fold that --predictions is about.")] = None,
    filmstrips: Annotated[
        int | None, typer.Option(min=0, help="Clips with pictures in HTML, errors first.", show_default="2000")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print WAR and UAR tables: per fold, mean, pooled, side by side, beside the published ones; or one HTML file.

    Without runs: the published figures, and the next command.
    """
    import lstpnet
    from lstpnet.reporting.published_results import dataset_named
    from lstpnet.reporting.types import NEXT_COMMANDS

    settings = load_settings()
    chosen = _chosen(output, out, as_json=as_json)
    about = data or (settings.train.data if predictions else None)
    _check(folders, runs, predictions, about, fold, baseline, filmstrips, is_page=chosen == "html")
    datasets = [dataset_named(name) for name in against or []]
    found_runs: Sequence[Run] = ()
    if predictions is not None and about is not None and fold is not None:
        found = _of_predictions(predictions, about, fold=fold, against=datasets)
    else:
        root = runs or settings.train.out or Path("runs")
        document = lstpnet.report(folders or None, root=root, against=datasets, baseline=baseline)
        found, found_runs = document.report, document.runs
    if chosen == "console":
        report_view.draw(found)
    else:
        text = _text(found, found_runs, chosen, data=about, filmstrips=filmstrips)
        _write(text, out)
    if not found.rows:
        commands = "   or: ".join(NEXT_COMMANDS)
        console.say(f"no finished runs; next: {commands}", as_json=chosen != "console" and out is None)


def _chosen(output: Format | None, out: Path | None, *, as_json: bool) -> Format:
    """Return the format that the flags ask for. Raises UsageError where they contradict each other."""
    if as_json and output not in (None, "json"):
        raise UsageError(f"--json and --format {output}: give one of them")
    named: Format | None = "json" if as_json else output
    if out is None:
        return named or "console"
    if named == "console":
        raise UsageError("--format console goes to the screen: leave --out away, or choose another format")
    if named is None and out.suffix.lower() not in _ENDINGS:
        raise UsageError(f"--out {out}: the ending says no format; use one of {' '.join(_ENDINGS)}, or add --format")
    return named or _ENDINGS[out.suffix.lower()]


def _check(
    folders: list[Path] | None,
    runs: Path | None,
    predictions: Path | None,
    data: Path | str | None,
    fold: int | None,
    baseline: str | None,
    filmstrips: int | None,
    *,
    is_page: bool,
) -> None:
    """Raise every contradiction between the flags as one UsageError."""
    faults = []
    if folders and runs is not None:
        faults.append("run folders and --runs: give one of them")
    if runs is not None and not runs.is_dir():
        faults.append(f"no folder {runs}: give the folder of a run, or one that holds runs")
    if predictions is None:
        faults += ["--data goes with --predictions or an HTML file"] if data is not None and not is_page else []
        faults += ["--fold goes with --predictions"] if fold is not None else []
    else:
        faults += ["--predictions and runs: one report at a time"] if folders or runs is not None else []
        faults += ["--baseline compares runs, not --predictions"] if baseline is not None else []
        if data is None:
            faults.append("--predictions needs --data, the prepared dataset (as in --data prepared/dfew-retinaface)")
        if fold is None:
            faults.append("--predictions needs --fold, the official fold that was tested")
    if filmstrips is not None and not is_page:
        faults.append("--filmstrips goes with an HTML file (--out report.html)")
    if faults:
        raise UsageError("; ".join(faults))


def _of_predictions(path: Path, data: Path | str, *, fold: int, against: Sequence[str]) -> Report:
    import dfer_data
    from lstpnet.reporting.build import report_predictions

    return report_predictions(path, dfer_data.open_dataset(data), fold=fold, against=against)


def _text(
    found: Report, runs: Sequence[Run], chosen: Format, *, data: Path | str | None, filmstrips: int | None
) -> str:
    from lstpnet.reporting.formats import RENDERERS

    if chosen == "html":
        return report_view.page(found, runs, data=data, filmstrips=filmstrips)
    return RENDERERS[chosen](found)


def _write(text: str, out: Path | None) -> None:
    """Write a file whole or not at all, and say so; without one, print."""
    from dfer_data.storage.files import write_atomically

    if out is None:
        sys.stdout.write(text)
        return
    content = text.encode("utf-8", "backslashreplace")  # names of files need not be valid text
    try:
        write_atomically(out, content, work=out.parent)
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {error.strerror or error}") from error
    size = f"{len(content) / 1e6:.1f} MB" if len(content) >= 1e6 else f"{max(1, round(len(content) / 1e3))} kB"
    console.say(f"{out}: {size}")
