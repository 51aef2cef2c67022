"""`dfer model`: list networks with their cost, convert the authors' checkpoints, export a run's model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dfer_data.errors import UsageError
from dfer_data.wording import counted

from ._support import console
from ._support.command_help import HelpCommand, command_group
from ._support.options import JsonFlag, refuse_targets, require_torch

if TYPE_CHECKING:
    from lstpnet.models.catalogue import NetworkFacts

model_app = command_group("List networks, convert the authors' files, export a run.")
_FORMATS = ("onnx",)


@model_app.command("list", cls=HelpCommand)
def list_models(
    timed: Annotated[
        bool, typer.Option("--time/--no-time", help="Time one clip of each on this machine; takes half a minute.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """List the networks with their costs and licences.

    `dfer train --model NAME` trains one. Parameters are counted for seven classes, GMAC for a clip of 16 frames.
    """
    require_torch()
    from dfer_data.extras import install_command
    from lstpnet.models.catalogue import NETWORKS, UNPUBLISHED
    from lstpnet.models.variants import network_cost

    costs, installed = [], [name for name, facts in NETWORKS.items() if not facts.missing_packages]
    missing = [facts for facts in NETWORKS.values() if facts.missing_packages]
    with console.progress("counting", unit="networks") as advance:
        for name in installed:
            costs.append(network_cost(name, is_timed=timed))
            advance(len(costs), len(installed))
    if as_json:
        rows = [
            {**_as_json(NETWORKS[cost.name]), **vars(cost), "is_reproducible": True, "stand_in": ""} for cost in costs
        ]
        rows += [{**_as_json(facts), "num_parameters": None, "is_reproducible": True} for facts in missing]
        rows += [{**vars(entry), "is_reproducible": False} for entry in UNPUBLISHED.values()]
        console.print_json(rows)
        return
    header = ["--model", "parameters", "GMAC", "px", "frames"] + ["ms"] * timed + ["start weights", "source", "licence"]
    table = []
    for cost in costs:
        facts = NETWORKS[cost.name]
        row = [cost.name, f"{cost.num_parameters / 1e6:.2f} M"]
        row += [f"{cost.gmac[facts.size_px]:.2f}", f"{facts.size_px}", facts.short_frames]
        row += [f"{cost.milliseconds[facts.size_px]:.0f}"] if timed else []
        table.append([*row, facts.start_weights or "none", facts.source, facts.licence])
    console.print_table(header, table)
    for facts in missing:
        packages, command = " and ".join(facts.missing_packages), install_command(facts.extra)
        console.say(f"{facts.name}: {facts.title}, needs {packages}, not installed here: {command}")
    for entry in UNPUBLISHED.values():
        stand_in = entry.stand_in and f"; this project's stand-in, another network: lstpnet {entry.stand_in}"
        console.say(f"{entry.name}: not reproducible, no public code ({entry.paper}){stand_in}")


def _as_json(facts: NetworkFacts) -> dict[str, object]:
    """Return the facts of a network as JSON values."""
    return {**vars(facts), "takes_frames": facts.frames_words, "takes_sizes": facts.size_words}


@model_app.command("variants", cls=HelpCommand)
def list_variants(
    timed: Annotated[
        bool, typer.Option("--time/--no-time", help="Time one clip on this machine; takes half a minute.")
    ] = True,
    num_frames: Annotated[int, typer.Option(min=1, max=1024, help="Frames of the clip.")] = 16,
    as_json: JsonFlag = False,
) -> None:
    """List LSTPNet's variants with their costs.

    Parameters, GMAC and milliseconds per clip. A recipe can select each of them.
    """
    require_torch()
    from lstpnet.models.variants import SIZES_PX, VARIANTS, cost

    costs = []
    with console.progress("counting", unit="networks") as advance:
        for name in VARIANTS:
            costs.append(cost(name, num_frames=num_frames, is_timed=timed))
            advance(len(costs), len(VARIANTS))
    if as_json:
        console.print_json([vars(network) for network in costs])
        return
    header = ["--set", "parameters", *(f"GMAC {size} px" for size in SIZES_PX)]
    header += [f"ms {size} px" for size in SIZES_PX] if timed else []
    rows = [
        [
            network.name,
            f"{network.num_parameters / 1e6:.2f} M",
            *(f"{network.gmac[size]:.2f}" for size in SIZES_PX),
            *(f"{network.milliseconds[size]:.0f}" for size in SIZES_PX if timed),
        ]
        for network in costs
    ]
    console.print_table(header, rows)
    if timed:
        import torch

        threads = f"{counted(torch.get_num_threads(), 'thread')} of this CPU"
        console.say(f"ms: forward pass of one clip of {counted(num_frames, 'frame')}, float32, {threads}")


@model_app.command("convert", cls=HelpCommand)
def convert(
    source: Annotated[Path, typer.Argument(metavar="AUTHORS.pth", help="A checkpoint of the authors' code.")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="File to write.")],
    model: Annotated[str, typer.Option(help="Network of the checkpoint, as `dfer model list` names it.")] = "lstpnet",
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Convert a checkpoint of the authors' code to safetensors.

    Every tensor must fit. No code in the file is executed.
    """
    require_torch()
    if target.suffix != ".safetensors":
        raise UsageError(f"{target} must end in .safetensors")
    refuse_targets(target, force=force)
    from lstpnet.checkpoints.checkpoint import save_checkpoint
    from lstpnet.checkpoints.reference import load_reference
    from lstpnet.checkpoints.tensor_files import read_tensors
    from lstpnet.models.catalogue import NETWORKS, model_fault

    if fault := model_fault(model):
        raise UsageError(f"--model: {fault}")
    network = load_reference(model, read_tensors(source))
    facts = {"source": source.name, "model": model, "num_classes": network.num_classes, "settings": network.settings}
    save_checkpoint(network, target, facts=facts)
    title = NETWORKS[model].title
    console.say(f"{target}: {title} for {counted(network.num_classes, 'class')}, every tensor of {source.name}")
    if NETWORKS[model].start_weights:
        console.say(f"published weights: {NETWORKS[model].start_weights}")


@model_app.command("export", cls=HelpCommand)
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    output: Annotated[str, typer.Option("--format", help="Format of the file: onnx.")] = "onnx",
    checkpoint: Annotated[str, typer.Option(help="Checkpoint: last, best, refit or test-best.")] = "last",
    out: Annotated[Path | None, typer.Option(help="File to write.", show_default="in the run's folder")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the files if they exist.")] = False,
) -> None:
    """Export a run's model as ONNX.

    A JSON file next to it holds the classes, frames, size and protocol.
    """
    require_torch()
    if output not in _FORMATS:
        raise UsageError(f"--format {output}: expected {' or '.join(_FORMATS)}")
    from dfer_data.storage.files import write_atomically
    from lstpnet.checkpoints.export import description, export_onnx, fold_batch_norms
    from lstpnet.checkpoints.trained_run import custom_model_of, load_trained
    from lstpnet.models.clip_network import ClipNetwork
    from lstpnet.models.lstpnet import LSTPNet
    from lstpnet.recipe_files import stored_recipe

    target = out or run / f"{checkpoint}.onnx"
    if target.suffix != ".onnx":
        raise UsageError(f"{target} must end in .onnx")
    if custom_model_of(run):  # its code need not run
        raise UsageError(f"{run} holds a custom model; only dfer's networks can be exported")
    trained = load_trained(run, checkpoint=checkpoint)
    assert isinstance(trained.model, ClipNetwork)
    refuse_targets(target, target.with_suffix(".json"), force=force)
    recipe = stored_recipe(trained.settings)
    model = fold_batch_norms(trained.model) if isinstance(trained.model, LSTPNet) else trained.model
    with console.progress(f"exporting {run}", unit="files") as advance:
        advance(0, 0)  # one step of seconds, whose length is not known
        export_onnx(model, target, num_frames=max(recipe.num_frames, 2), size_px=recipe.size_px)
    facts = description(
        trained.model,
        target,
        recipe=trained.settings,
        class_names=trained.info.class_names,
        protocol=trained.info.protocol,
        is_synthetic=trained.info.synthetic,
    )
    text = json.dumps(facts, indent=2, allow_nan=False) + "\n"
    write_atomically(target.with_suffix(".json"), text.encode("utf-8"))
    console.say(f"{target}: {checkpoint} of {run}; inputs and outputs: {target.with_suffix('.json')}")
