"""`dfer relabel`: correct labels and persons in a prepared dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfer_data.wording import counted

from ._support import console
from ._support.options import JsonFlag


def relabel(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Folder or URL of a prepared dataset.")],
    table: Annotated[
        Path, typer.Option("--from", metavar="FILE", help="CSV with clip_id, and label, group (the person) or both.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """Correct labels and persons of a prepared dataset from a CSV.

    Pictures stay as they are. All files change together, or none. The corrections stay when the dataset is updated
    from its source.
    """
    from dfer_data.changes.relabel import relabel as correct
    from dfer_data.loading.prepared import open_dataset

    number = correct(data, table)
    identity = open_dataset(data).identity()
    if as_json:
        console.print_json({"data": data, "changed": number, "labels_sha256": identity.labels_sha256})
    words = f"{counted(number, 'clip')} changed" if number else "nothing to change: all clips have these labels"
    console.say(f"{data}: {words}; labels {identity.labels_sha256[:12]}", as_json=as_json)
    if number:
        console.say("next: train again; reports list runs of the old labels apart", as_json=as_json)
