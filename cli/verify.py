"""`dfer verify`: find damage in a prepared dataset."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import UsageError

from ._support import console
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag

if TYPE_CHECKING:
    from dfer_data.inspection.official_check import OfficialCheck


def verify(
    root: Annotated[str, typer.Argument(help="Folder or URL of a prepared dataset.")],
    deep: Annotated[bool, typer.Option("--deep", help="Also hash every shard and decode every frame.")] = False,
    against: Annotated[
        str | None, typer.Option(help="official: compare counts and clips with the dataset's official numbers.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check a prepared dataset against its hashes and list every damaged file; exit code 4 if there is one.

    With --against official, also list expected and found numbers and every clip that differs; exit code 1 if any does.
    """
    from dfer_data.inspection.official_check import compare_official
    from dfer_data.inspection.verify import verify as audit

    if against not in (None, "official"):
        raise UsageError(f"--against {against}: only official is supported")
    with console.progress("verifying", unit="shards") as advance:
        report = audit(root, deep=deep, on_shard=advance)
    comparison = compare_official(root) if against and not report.damages else None
    if as_json:
        official = {"official": _as_document(comparison)} if comparison else {}
        console.print_json({"root": root, "deep": deep, "intact": not report.damages, **asdict(report), **official})
    for damage in report.damages:
        clip = f" clip {damage.clip_id}:" if damage.clip_id else ""
        console.say(f"damaged: {damage.file}:{clip} {damage.message}", as_json=as_json)
    depth = (
        f", {report.num_frames_decoded} frames decoded" if deep else "; --deep also hashes shards and decodes frames"
    )
    for note in report.notes:
        console.say(f"note: {note}", as_json=as_json)
    state = f"{len(report.damages)} faults" if report.damages else "intact"
    console.say(f"{root}: {state} ({report.num_files} files, {report.num_clips} clips{depth})", as_json=as_json)
    if report.damages:
        console.say(
            "next: remove the .json file of each damaged shard and run the same `dfer prepare` again", as_json=as_json
        )
        raise typer.Exit(ExitCode.DAMAGED)
    if comparison is not None:
        _print_comparison(comparison, as_json=as_json)
        if not comparison.is_equal:
            raise typer.Exit(ExitCode.FAILED)


def _as_document(comparison: OfficialCheck) -> dict[str, Any]:
    return {"equal": comparison.is_equal, **asdict(comparison)}


def _print_comparison(comparison: OfficialCheck, *, as_json: bool) -> None:
    """Print the numbers and clips that differ from the official ones."""
    mismatches = [number for number in comparison.numbers if number.expected != number.found]
    num_equal = len(comparison.numbers) - len(mismatches)
    console.say(
        f"official {comparison.dataset}: {num_equal} of {len(comparison.numbers)} numbers as expected", as_json=as_json
    )
    if mismatches:
        cells = [(number.what, str(number.expected), str(number.found)) for number in mismatches]
        console.print_table(("what", "expected", "found"), cells, as_json=as_json)
    for clip in comparison.clips:
        console.say(f"differs: clip {clip.clip_id} {clip.what}", as_json=as_json)
    for note in comparison.notes:
        console.say(f"note: {note}", as_json=as_json)
    console.say(f"numbers from: {comparison.source}", as_json=as_json)
