"""`dfer compact`: cut a dataset that has grown or shrunk into even shards."""

from __future__ import annotations

from typing import Annotated

import typer

from dfer_data.wording import counted

from ._support import console
from ._support.options import JsonFlag


def compact(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder or URL of a prepared dataset.")],
    as_json: JsonFlag = False,
) -> None:
    """Rewrite the shards of a prepared dataset so that they are even.

    They become those that one preparation of all its videos would make; no video is decoded. It needs free space for a
    second copy of the shards. Run the same command again to finish an interrupted one.
    """
    from dfer_data.changes.compact import compact as cut_anew

    with console.progress("writing", unit="shards") as advance:
        number = cut_anew(data, on_shard=advance)
    if as_json:
        console.print_json({"data": data, "shards_made": number})
    words = f"{counted(number, 'shard')} made" if number else "nothing to do: its shards are even"
    console.say(f"{data}: {words}", as_json=as_json)
