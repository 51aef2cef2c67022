"""`dfer demo`: the whole pipeline on rendered heads; each command is printed before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfer_data.errors import DferError, UsageError

from ._support import console
from ._support.options import require_torch
from ._support.subprocess import run_line

_LINES = (
    "synth dfew",
    "prepare dfew --detector retinaface",
    "train --fold 3",
    "report",
)


def demo(out: Annotated[Path, typer.Option(help="New folder to work in.")] = Path("dfer-demo")) -> None:
    """Try the whole way on rendered heads: prepare, train, report.

    Needs no dataset and no GPU; takes minutes on two cores.
    """
    require_torch()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists and is not an empty folder; remove it or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    console.say(f"working in {out}")
    for line in _LINES:
        console.say(f"\n$ dfer {line}")
        if code := run_line(line.split(), cwd=out):
            raise DferError(f"`dfer {line}` ended with exit code {code}; see the lines above for the cause")
    console.say(
        "\nThe faces are rendered: this score shows that decoding, detection, shards, training and metrics work "
        "together, and says nothing about real expressions.\nfiles under " + str(out) + ":"
    )
    for path, content in (
        ("data/dfew", "videos of rendered heads, split files, ground-truth landmarks"),
        ("prepared/dfew-retinaface", "aligned face clips; contact sheets in preview/"),
        ("runs/dfew-retinaface/demo/fold-3/seed-0", "settings, metrics per epoch, checkpoint, test predictions"),
    ):
        console.say(f"  {path:42} {content}")
