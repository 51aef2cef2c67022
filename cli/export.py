"""`dfer export`: take the clips of a prepared dataset out in a format of another project."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import UsageError
from dfer_data.exchange.settings import FORMATS, ExportSettings
from dfer_data.wording import counted

from ._support import console
from ._support.options import JsonFlag
from ._support.setting_options import takes_settings

if TYPE_CHECKING:
    from dfer_data.exchange.run import ExportSummary


@takes_settings(ExportSettings)
def export(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder or URL of a prepared dataset.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="New folder for the export.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written; write nothing.")] = False,
    as_json: JsonFlag = False,
    *,
    given: dict[str, Any],
) -> None:
    """Export clips in the formats of other projects.

    Frame folders with lists, videos, tar shards and tables. JPEG frames are copied, not encoded again. Interrupt it at
    any time: the same command resumes. The card in the export says how to read it and repeats the dataset's terms;
    `dfer verify DIR` checks it.
    """
    from dfer_data.exchange.run import plan_export, run_export

    if "format" not in given:
        raise UsageError(f"--format is missing: one of {', '.join(FORMATS)}")
    settings = ExportSettings(**given)
    if dry_run:
        _show(data, plan_export(data, settings, out), as_json=as_json, is_planned=True)
        return
    with console.progress("exporting", unit="clips") as advance:
        summary = run_export(data, settings, out, on_clip=advance)
    _show(data, summary, as_json=as_json, is_planned=False)


def _show(data: str, summary: ExportSummary, *, as_json: bool, is_planned: bool) -> None:
    """Print what is in the export, and what is not."""
    if as_json:
        console.print_json({"data": data, "dry_run": is_planned, **asdict(summary)})
    size = f"{'about ' * is_planned}{summary.num_bytes / 1e6:,.1f} MB"
    words = f"{counted(summary.num_clips, 'clip')}, {counted(summary.num_frames, 'frame')} as {summary.format}"
    if is_planned:
        console.say(f"{data}: {words}: {counted(summary.num_files, 'file')}, {size} in {summary.out}", as_json=as_json)
    else:
        console.say(f"{summary.out}: {words}: {counted(summary.num_files, 'file')}, {size}", as_json=as_json)
    notes = {
        "without a face left out; count them in a score": summary.num_without_face,
        "without a label or fold left out": summary.num_skipped,
        "without sound left out": summary.num_without_sound,
    }
    for fact, number in notes.items():
        if number:
            console.say(f"note: {counted(number, 'clip')} {fact} (clips.csv names them)", as_json=as_json)
    if not is_planned:
        console.say(
            f"how to read it: {summary.out}/README.md   check: dfer verify {shlex.quote(str(summary.out))}",
            as_json=as_json,
        )
