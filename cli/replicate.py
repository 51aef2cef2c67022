"""`dfer replicate`: prove a claim on one's own copy of a dataset, and check what others send."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import DferError, UsageError
from dfer_data.wording import counted

from ._support import console
from ._support.command_help import HelpCommand, HelpGroup, command_group
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag, refuse_targets, require_torch

if TYPE_CHECKING:
    from dfer_data.sources.base import Layout
    from lstpnet.replication.claim import Claim
    from lstpnet.replication.figures import DataDifference
    from lstpnet.replication.result_file import ReplicationDocument
    from lstpnet.training.events import EpochDone

_MOST_SHOWN = 10
_DEMO_FOLDER = Path("dfer-demo")
"""That of `dfer demo`, whose data and run are used again."""


class ReplicateGroup(HelpGroup):
    """The group of `dfer replicate`, where `dfer replicate NAME` means `dfer replicate run NAME`."""

    default_command = "run"


replicate_app = command_group(
    "Prove a claim on your copy of a dataset. `dfer replicate NAME --source DIR` writes a result without pictures; "
    "`dfer replicate check FILE` computes its figures again.",
    cls=ReplicateGroup,
)


@replicate_app.command("list", cls=HelpCommand)
def list_claims(as_json: JsonFlag = False) -> None:
    """List the claims that can be replicated, and who has done so."""
    from lstpnet.replication.claim import claim_names, load_claim

    claims = {name: load_claim(name) for name in claim_names()}
    if as_json:
        console.print_json({name: claim.model_dump(mode="json") for name, claim in claims.items()})
        return
    rows = [(name, claim.dataset, claim.kind, claim.state, claim.title) for name, claim in claims.items()]
    console.print_table(("name", "dataset", "kind", "state", "claim"), rows)


@replicate_app.command("check", cls=HelpCommand)
def check_file(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A result, replication-NAME.zip.")],
    as_json: JsonFlag = False,
) -> None:
    """Compute the figures and verdict of a result again.

    They follow from its ids and logits. Exit code 4 if a byte was changed, or if it states what its predictions do not
    support.
    """
    require_torch()
    from lstpnet.replication.check import check_result

    document = check_result(path)
    if as_json:
        console.print_json({"file": str(path), **document.model_dump(mode="json")})
        return
    _print_result(document)
    predictions = counted(sum(fold.n for fold in document.tested), "prediction")
    console.say(f"{path}: every figure was computed again from {predictions}")


@replicate_app.command(ReplicateGroup.default_command, cls=HelpCommand)
def run_claim(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A claim of `dfer replicate list`, or a .toml file.")],
    source: Annotated[
        Path | None, typer.Option(help="Folder of the dataset.", show_default="$DFER_DATA/DATASET or data/DATASET")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Prepared dataset to use instead; nothing is prepared.", show_default="none")
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Weights of the claim; FOLD=FILE for one of several folds, repeatable."),
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Start weights, for a training that needs them.")] = None,
    detector: Annotated[
        str | None,
        typer.Option(help="Make other crops, with this detector.", show_default="the claim's"),
    ] = None,
    runs: Annotated[Path | None, typer.Option(help="Folder of the trainings.", show_default="runs")] = None,
    counts_only: Annotated[
        bool, typer.Option("--counts-only", help="Compare the folder's clips, labels and folds, and stop.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Result to write.", show_default="replication-NAME.zip")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the result.")] = False,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu.", show_default="the best available")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Prove a claim on your copy of a dataset.

    Writes the result to send. Compares clips, labels, folds and frames first, then prepares, tests or trains, and
    compares the figures. Run the same command again to resume. Exit code 1 if the claim is not reproduced.
    """
    require_torch()
    from lstpnet.replication.claim import load_claim
    from lstpnet.replication.result_file import write_result
    from lstpnet.replication.run import Weights, check_weights, replicate

    claim = load_claim(name)
    stem = Path(name).stem if name.endswith(".toml") else name
    place = _DEMO_FOLDER if name == "demo" and source is None and data is None else Path()
    weights = Weights(_by_fold(checkpoint or [], claim), init, runs or place / "runs", device)
    path = out or Path(f"replication-{stem}.zip")
    if data is not None and (source is not None or detector is not None or counts_only):
        raise UsageError("--data names prepared clips: leave out --source, --detector and --counts-only")
    if not counts_only:
        check_weights(claim, weights)
        refuse_targets(path, force=force)
    if data is None:
        differences, prepared = _prepare(claim, source, detector, place=place, counts_only=counts_only, as_json=as_json)
        if counts_only:
            _conclude_counts(differences, as_json=as_json)
            return
        data = str(prepared)
    with console.progress("testing", unit="clips") as advance:
        result = replicate(
            stem,
            claim,
            data,
            weights,
            on_progress=advance,
            on_fold=lambda fold, seed: console.say(f"fold {fold}, seed {seed}", as_json=True),
            on_epoch=_print_epoch,
        )
    num_bytes = write_result(path, result.document, result.parts)
    if as_json:
        console.print_json({"file": str(path), **result.document.model_dump(mode="json")})
    else:
        _print_result(result.document)
        console.say(f"{path}: {num_bytes / 1e6:.1f} MB, no picture in it; how to send it: docs/replications/")
    if result.document.verdict.outcome == "not reproduced":
        raise typer.Exit(ExitCode.FAILED)


def _print_epoch(event: EpochDone) -> None:
    words = f"{event.stage}: epoch {event.epoch} of {event.num_epochs}, loss {event.loss:.3f}, {event.seconds:.0f} s"
    console.say(words, as_json=True)


def _by_fold(checkpoints: list[str], claim: Claim) -> dict[str, Path]:
    """Return fold -> file of `--checkpoint`. Raises UsageError for a file without a fold where there are several."""
    found: dict[str, Path] = {}
    for text in checkpoints:
        fold, separator, path = text.partition("=")
        if not separator or (fold not in claim.folds and Path(text).exists()):
            if len(claim.folds) > 1:
                raise UsageError(f"--checkpoint {text}: name its fold, such as --checkpoint {claim.folds[-1]}={text}")
            fold, path = claim.folds[0], text
        if fold in found:
            raise UsageError(f"--checkpoint names fold {fold} twice")
        found[fold] = Path(path)
    return found


def _prepare(
    claim: Claim, source: Path | None, detector: str | None, *, place: Path, counts_only: bool, as_json: bool
) -> tuple[list[DataDifference], str]:
    """Compare the folder with the claim, then prepare it below `place`; return the differences and where."""
    from dfer_data.preparation.planned import plan_preparation
    from dfer_data.preparation.request import default_output
    from dfer_data.preparation.run import run_planned
    from dfer_data.sources.registry import adapter
    from lstpnet.replication.data import AUTHORS_CROPS, source_differences

    from ._support.prepare_progress import PrepareProgress
    from ._support.prepare_view import introduce
    from ._support.settings import dataset_folder

    is_demo = place == _DEMO_FOLDER
    folder = _rendered() if is_demo else dataset_folder(claim.dataset, given=source)
    used = detector or ("retinaface" if claim.detector == AUTHORS_CROPS else claim.detector)
    crops: dict[str, Any] = {"crops": claim.crops} if claim.crops and used == "none" else {}
    layout: Layout = "frames" if used == "none" else "videos"
    listing = adapter(claim.dataset).list(folder, layout=layout, **crops)
    differences = source_differences(claim, listing)
    _print_differences(differences, as_json=as_json)
    if counts_only:
        return differences, ""
    out = place / default_output(claim.dataset, used, crops=crops.get("crops"))
    planned = plan_preparation(claim.dataset, source=folder, detector=used, out=out, **crops)
    introduce(planned, as_json=as_json)
    with PrepareProgress(as_json=as_json) as progress:
        summary = run_planned(planned, on_event=progress.update)
    return differences, summary.out


def _rendered() -> Path:
    """Return the folder of the demo's rendered heads, which are made if they are not there."""
    from ._support.subprocess import run_line

    folder = _DEMO_FOLDER / "data/dfew"
    if not folder.exists():
        _DEMO_FOLDER.mkdir(exist_ok=True)
        if code := run_line(["synth", "dfew"], cwd=_DEMO_FOLDER):
            raise DferError(f"`dfer synth dfew` ended with exit code {code}; see the lines above for the cause")
    return folder


def _conclude_counts(differences: list[DataDifference], *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        console.print_json({"differences": [asdict(difference) for difference in differences]})
    elif not differences:
        console.say("clips, labels and folds are as the claim has them")
    if differences:
        raise typer.Exit(ExitCode.FAILED)


def _print_differences(differences: list[DataDifference], *, as_json: bool = False) -> None:
    for difference in differences[:_MOST_SHOWN]:
        console.say(f"differs: {difference.aspect}: {difference.what}", as_json=as_json)
    if len(differences) > _MOST_SHOWN:
        console.say(f"and {len(differences) - _MOST_SHOWN} more; --json lists all", as_json=as_json)


def _print_result(document: ReplicationDocument) -> None:
    """Print data, figures and verdict."""
    claim = document.claim
    console.say(f"claim {document.name}: {claim.title}")
    num_equal = sum(number.expected == number.found for number in document.numbers)
    console.say(
        f"data: {num_equal} of {counted(len(document.numbers), 'number')} as expected; lock {document.data.lock_sha256}"
    )
    if document.data.synthetic:
        console.say("note: rendered heads, not comparable with published figures")
    _print_differences(document.differences)
    cells = [
        (fold.fold, str(fold.seed), f"{fold.n:,}", f"{100 * fold.war:.2f}", f"{100 * fold.uar:.2f}")
        for fold in document.tested
    ]
    console.print_table(("fold", "seed", "n", "WAR", "UAR"), cells)
    rows = [
        (
            check.what,
            check.expected,
            check.found,
            "" if check.difference is None else f"{check.difference:+.2f}",
            f"{check.allowed:.2f}",
            {True: "yes", False: "no", None: ""}[check.is_met],
        )
        for check in document.checks
    ]
    if rows:
        console.print_table(("figure", "expected", "found", "points off", "allowed", "met"), rows)
    console.say(document.verdict.words)
