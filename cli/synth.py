"""`dfer synth`: a small dataset of rendered heads in the shape of a real one, to try everything without data."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Annotated

import typer

from dfer_data.errors import UsageError

from . import _console, _settings
from ._options import JsonFlag, NumWorkers, num_cores


def synth(
    dataset: Annotated[str, typer.Argument(help="The dataset whose shape is taken: dfew.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("data/dfew"),
    identities: Annotated[int, typer.Option(help="Rendered people; a multiple of 5, at least 10.")] = 20,
    takes: Annotated[int, typer.Option(help="Clips per person and emotion.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    workers: NumWorkers = None,
    as_json: JsonFlag = False,
) -> None:
    """Render a small dataset of 3-D heads.

    Nobody is real: the heads are CC0 meshes with posed expressions, in the folder layout of the dataset named.
    """
    if dataset != "dfew":
        raise UsageError(f"synth knows no dataset {dataset!r}; known: dfew")
    from dfer_data import weights
    from dfer_data.synth import SynthConfig, write_dfew

    source_by_default = _settings.dataset_folder(dataset, settings=_settings.load())
    config = SynthConfig(num_identities=identities, takes=takes, seed=seed)
    heads = weights.resolve("heads")
    with _console.progress("rendering", unit="clips") as advance:
        summary = write_dfew(out, heads=heads, config=config, num_workers=workers or num_cores(), on_clip=advance)
    if as_json:
        _console.print_json({"out": str(out), "synthetic": True, **dataclasses.asdict(summary)})
    _console.say(
        f"{out}: {summary.num_clips} clips of {summary.num_identities} rendered heads ({summary.num_frames} frames, "
        f"{summary.num_bytes / 1e6:.1f} MB)\n"
        "They are synthetic: scores on them check the plumbing and say nothing about real expressions.",
        as_json=as_json,
    )
    source = "" if out == source_by_default else f" --source {shlex.quote(str(out))}"
    _console.say(f"next: dfer prepare dfew --detector retinaface{source}", as_json=as_json)
