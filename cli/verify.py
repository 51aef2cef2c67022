"""`dfer verify`: find damage in a prepared dataset."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from . import _console
from ._exit import ExitCode
from ._options import JsonFlag


def verify(
    root: Annotated[Path, typer.Argument(help="Folder of a prepared dataset.")],
    deep: Annotated[bool, typer.Option("--deep", help="Also hash every shard and decode every frame.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check a prepared dataset against the hashes it was written with; exit code 4 names every damaged file."""
    from dfer_data.audit import verify as audit

    with _console.progress("verifying", unit="shards") as advance:
        report = audit(root, deep=deep, on_shard=advance)
    if as_json:
        _console.print_json({"root": str(root), "deep": deep, "intact": not report.damages, **asdict(report)})
    for damage in report.damages:
        clip = f" clip {damage.clip_id}:" if damage.clip_id else ""
        _console.say(f"damaged: {damage.file}:{clip} {damage.message}", as_json=as_json)
    done = f", {report.num_frames_decoded} frames decoded" if deep else "; --deep also hashes shards and decodes frames"
    state = f"{len(report.damages)} faults" if report.damages else "intact"
    _console.say(f"{root}: {state} ({report.num_files} files, {report.num_clips} clips{done})", as_json=as_json)
    if report.damages:
        _console.say("next: remove the .json of a damaged shard and run the same `dfer prepare` again", as_json=as_json)
        raise typer.Exit(ExitCode.DAMAGED)
