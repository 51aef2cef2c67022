"""`dfer synth`: render a small dataset of heads with the layout of a real one, to try dfer without data."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import typer

from dfer_data.errors import UsageError, did_you_mean
from dfer_data.processes import num_cores
from dfer_data.sources.catalog import SHAPES
from dfer_data.synth.config import Sound
from dfer_data.wording import counted

from ._support import console
from ._support.completions import rendered_datasets
from ._support.options import JsonFlag, NumWorkers
from ._support.settings import dataset_folder, load_settings


def synth(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="Dataset whose layout to imitate: dfew, ferv39k, afew, mafw...",
            autocompletion=rendered_datasets,
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder to write.", show_default="data/DATASET")] = None,
    identities: Annotated[
        int | None, typer.Option(help="Rendered people; a multiple of 5, at least 10; dfew only.", show_default="20")
    ] = None,
    takes: Annotated[
        int | None, typer.Option(help="Clips per person and emotion.", show_default="2, other datasets 1")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    sound: Annotated[
        Sound,
        typer.Option(help="Loud as the jaw is open: tones, the same everywhere, or speech of the installed espeak-ng."),
    ] = "tones",
    workers: NumWorkers = None,
    as_json: JsonFlag = False,
) -> None:
    """Render a small dataset of 3-D heads.

    No head is a real person: the heads are CC0 meshes with posed expressions, in the folder layout of the dataset, with
    its annotation files. The dfew clips make a demo; the others are fewer, shorter and smaller, to try file reading.
    """
    if dataset not in SHAPES:
        raise UsageError(
            f"synth cannot imitate dataset {dataset!r}{did_you_mean(dataset, SHAPES)}; known: {', '.join(SHAPES)}"
        )
    if identities is not None and dataset != "dfew":
        raise UsageError(f"--identities is only for dfew; use --takes for more clips of {dataset}")
    from dfer_data.synth import SynthConfig, write_dfew, write_tree
    from dfer_data.weights.fetch import weights_file

    default_source = dataset_folder(dataset, from_file=load_settings().get("prepare", {}).get("source"))
    out = out or Path("data") / dataset
    heads, num_workers = weights_file("heads"), workers or num_cores()
    with console.progress("rendering", unit="clips") as advance:
        if dataset == "dfew":
            config = SynthConfig(
                num_identities=identities or 20, takes=2 if takes is None else takes, seed=seed, sound=sound
            )
            summary = write_dfew(out, heads=heads, config=config, num_workers=num_workers, on_clip=advance)
        else:
            summary = write_tree(
                dataset,
                out,
                heads=heads,
                takes=1 if takes is None else takes,
                seed=seed,
                sound=sound,
                num_workers=num_workers,
                on_clip=advance,
            )
    if as_json:
        console.print_json({"out": str(out), "synthetic": True, **dataclasses.asdict(summary)})
    console.say(
        f"{out}: {counted(summary.num_clips, 'clip')} of {counted(summary.num_identities, 'rendered head')} "
        f"({counted(summary.num_frames, 'frame')}, {summary.num_bytes / 1e6:.1f} MB)\n"
        "They are synthetic: scores on them show that dfer works and say nothing about real expressions.",
        as_json=as_json,
    )
    source = "" if out == default_source else f" --source {shlex.quote(str(out))}"
    detector = "" if dataset == "ferv39k" else " --detector retinaface"  # it ships only crops
    console.say(f"next: dfer prepare {dataset}{detector}{source}", as_json=as_json)
