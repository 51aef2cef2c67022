"""`dfer remove`: take clips out of a prepared dataset for good."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfer_data.errors import DferError, UsageError
from dfer_data.wording import counted

from ._support import console
from ._support.options import JsonFlag, confirm, refuse_targets

if TYPE_CHECKING:
    from lstpnet.withdrawal.copies import Done

_SHOWN = 10


def remove(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder or URL of a prepared dataset.")],
    reason: Annotated[str, typer.Option(help="Why; the dataset keeps it with the number of clips.")],
    clips: Annotated[
        list[str] | None, typer.Option("--clip", metavar="ID", help="Id of a clip or video; repeatable.")
    ] = None,
    persons: Annotated[
        list[str] | None,
        typer.Option("--person", metavar="NAME", help="All clips of a person (column group); repeatable."),
    ] = None,
    file: Annotated[Path | None, typer.Option(metavar="LIST", help="File with ids, one per line.")] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append the ids to this file of yours, for `dfer prepare --exclude`."),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Folder with copies elsewhere: runs, reports, pages, tables; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed; change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Remove clips for good, and everything that shows or names them.

    No video is decoded. The dataset keeps the number of clips and the reason, but no id. Run the same command again to
    finish an interrupted removal.
    """
    from dfer_data.changes.remove import clips_to_remove, remove_clips
    from dfer_data.sources.subset import read_ids
    from dfer_data.storage.files import place_of
    from dfer_data.storage.url_cache import forget
    from lstpnet.withdrawal.copies import find_copies, withdraw_copies

    ids = [*(clips or ()), *(read_ids(file, flag="--file") if file is not None else ())]
    if not ids and not persons:
        raise UsageError("say what to remove: --clip ID, --person P or --file LIST")
    refuse_targets(*filter(None, [exclude]), force=True)  # before copies are rewritten
    chosen = clips_to_remove(data, clips=ids, persons=persons or ())
    if not chosen:  # unknown ids are a fault unless an interrupted change was just finished
        console.say(f"{data}: an interrupted change is finished; none of these clips is left", as_json=as_json)
    _list(chosen, data, as_json=as_json)
    kept = [path for path in (exclude, file) if path is not None]
    with console.progress("searching copies", unit="files") as advance:
        copies = find_copies(also or (), chosen, data=data, keep=kept, on_file=advance) if chosen else []
    for copy in copies:
        note = f"; {copy.note}" if copy.note else ""
        console.say(f"  {copy.action}: {copy.path} ({copy.kind}{note})", as_json=as_json)
    found = [{"path": str(copy.path), "kind": copy.kind, "action": copy.action, "note": copy.note} for copy in copies]
    if dry_run or not chosen:
        if as_json:
            console.print_json({"data": data, "clips": chosen, "copies": found, "dry_run": dry_run})
        return
    if not yes:
        number = counted(len(chosen), "clip")
        confirm(f"remove {number} for good?", threat=f"this would remove {number} for good")
    with console.progress("rewriting copies", unit="files") as advance:
        done = withdraw_copies(copies, on_file=advance)  # first: the dataset is what still knows the ids
    _refuse_failed(done, data)
    with console.progress("writing", unit="shards") as advance:
        removal = remove_clips(
            data, clips=ids, persons=persons or (), reason=reason, exclude_file=exclude, on_shard=advance
        )
    if isinstance(place := place_of(data), str):
        forget(place)
    if as_json:
        results = [{"path": str(one.copy.path), "result": one.result, "note": one.note} for one in done]
        console.print_json({"data": data, "clips": removal.clip_ids, "copies": results, "reason": reason})
    console.say(f"{data}: {counted(len(removal.clip_ids), 'clip')} removed", as_json=as_json)
    if removal.has_deleted_audit:
        console.say(
            f"note: the audit is deleted, it named these clips; make it again: dfer audit {shlex.quote(str(data))}",
            as_json=as_json,
        )
    for one in done:
        if one.result == "left":
            console.say(f"  left: {one.copy.path}: {one.note or one.copy.note}", as_json=as_json)
    _print_next_steps(searched=bool(also), excluded=exclude is not None or not removal.video_ids, as_json=as_json)


def _refuse_failed(done: Iterable[Done], data: str) -> None:
    """Raise DferError if a copy could not be changed: without the clips, the dataset could not name them again."""
    if reasons := "; ".join(f"{one.copy.path}: {one.note}" for one in done if one.result == "failed"):
        raise DferError(
            f"{data} keeps the clips, because not every copy could be changed: {reasons}; mend or delete that, or "
            "leave its folder out of --also, and run the same command again"
        )


def _print_next_steps(*, searched: bool, excluded: bool, as_json: bool) -> None:
    """Print what is left to do: copies that were not searched, videos that could be prepared again."""
    if not searched:
        console.say(
            "note: runs, reports and pages may hold copies: `--also DIR` finds them before the clips go",
            as_json=as_json,
        )
    if not excluded:
        console.say(
            "note: the source still has the videos; keep a list of what must not be prepared again, for "
            "`dfer prepare --update --exclude FILE`",
            as_json=as_json,
        )


def _list(chosen: Iterable[str], data: str, *, as_json: bool) -> None:
    ids = list(chosen)
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    words = f"{', '.join(ids[:_SHOWN])}{more}" if ids else "none"
    console.say(f"{data}: clips to remove: {len(ids)} ({words})", as_json=as_json)
