"""`dfer verify`: find damage in a prepared dataset, in an export of one, or in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.errors import UsageError
from dfer_data.settings import settings_of
from dfer_data.wording import counted
from lstpnet.checkpoints.model_settings import CodeSettings

from ._support import console
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag, require_torch
from ._support.setting_options import takes_settings

if TYPE_CHECKING:
    from dfer_data.inspection.official_check import OfficialCheck
    from lstpnet.verification.findings import RunVerification


@takes_settings(CodeSettings)
def verify(
    root: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="Folder or URL of a prepared dataset; folder of an export, of a run, or of several runs.",
        ),
    ],
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Dataset: also hash every shard and decode every frame. Run: also predict again; needs --data.",
        ),
    ] = False,
    against: Annotated[
        str | None, typer.Option(help="official: compare counts and clips with the dataset's official numbers.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Of a run: its prepared dataset, to compare clips, labels and fold.", show_default="none"),
    ] = None,
    seal: Annotated[
        bool, typer.Option("--seal", help="Of a run of dfer 0.1: add the hashes that it lacks, if it has no fault.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="Of a run, with --deep: cuda, mps or cpu.", show_default="the best available")
    ] = None,
    as_json: JsonFlag = False,
    *,
    given: dict[str, Any],
) -> None:
    """Check a dataset, export or run against its hashes.

    Lists every damaged file; exit code 4 if there is one. With --against official, also lists expected and found
    numbers and every clip that differs; exit code 1 if any does.
    """
    from dfer_data.exchange.manifest import is_exported
    from lstpnet.verification.verify_run import runs_to_verify

    if against not in (None, "official"):
        raise UsageError(f"--against {against}: only official is supported")
    if runs := runs_to_verify(root):
        if against is not None:
            raise UsageError("--against compares a prepared dataset, not a run")
        _verify_runs(runs, data=data, deep=deep, seal=seal, device=device, as_json=as_json, given=given)
        return
    is_export = is_exported(root)
    options = [("--data", data is not None), ("--seal", seal), ("--device", device is not None)]
    options += [(item.flag, name in given) for name, item in settings_of(CodeSettings).items()]
    if flags := [flag for flag, is_given in options if is_given]:
        raise UsageError(f"{', '.join(flags)}: for the folder of a run, and {root} is none")
    if is_export:
        if against is not None:
            raise UsageError("--against compares a prepared dataset, not an export")
        _verify_export(root, as_json=as_json)
        return
    _verify_dataset(root, deep=deep, against=against, as_json=as_json)


def _verify_dataset(root: str, *, deep: bool, against: str | None, as_json: bool) -> None:
    from dfer_data.inspection.official_check import compare_official
    from dfer_data.inspection.verify import verify as verify_dataset
    from dfer_data.shards.audit_folder import is_of_audit

    with console.progress("verifying", unit="shards") as advance:
        report = verify_dataset(root, deep=deep, on_shard=advance)
    comparison = compare_official(root) if against and not report.damages else None
    if as_json:
        official = {"official": _as_document(comparison)} if comparison else {}
        console.print_json({"root": root, "deep": deep, "intact": not report.damages, **asdict(report), **official})
    for damage in report.damages:
        clip = f" clip {damage.clip_id}:" if damage.clip_id else ""
        console.say(f"damaged: {damage.file}:{clip} {damage.message}", as_json=as_json)
    depth = (
        f", {counted(report.num_frames_decoded, 'frame')} decoded"
        if deep
        else "; --deep also hashes shards and decodes frames"
    )
    for note in report.notes:
        console.say(f"note: {note}", as_json=as_json)
    state = _fault_count(report.damages) if report.damages else "intact"
    console.say(
        f"{root}: {state} ({counted(report.num_files, 'file')}, {counted(report.num_clips, 'clip')}{depth})",
        as_json=as_json,
    )
    if report.damages:
        if not all(is_of_audit(damage.file) for damage in report.damages):
            console.say(
                "next: remove the .json file of each damaged shard and run the same `dfer prepare` again",
                as_json=as_json,
            )
        raise typer.Exit(ExitCode.DAMAGED)
    if comparison is not None:
        _print_comparison(comparison, as_json=as_json)
        if not comparison.is_equal:
            raise typer.Exit(ExitCode.FAILED)


def _verify_export(root: str, *, as_json: bool) -> None:
    """Hash every file of an export and print what differs; exit code 4 if anything does."""
    from dfer_data.exchange.manifest import EXPORT_NAME, verify_export
    from dfer_data.storage.files import place_of

    folder = Path(place_of(root))
    if not (folder / EXPORT_NAME).is_file():
        raise UsageError(f"{root} is an export that was not finished; run the same `dfer export` again")
    with console.progress("verifying", unit="files") as advance:
        result = verify_export(folder, on_file=advance)
    if as_json:
        console.print_json({"root": root, "intact": not result.damages, **asdict(result)})
    for name, fault in result.damages:
        console.say(f"damaged: {name}: {fault}", as_json=as_json)
    state = _fault_count(result.damages) if result.damages else "intact"
    console.say(f"{root}: {state} ({counted(result.num_files, 'file')}, all hashed)", as_json=as_json)
    if result.damages:
        next_step = "remove files that are not part of it; the same `dfer export` repairs the rest"
        console.say(f"next: {next_step}", as_json=as_json)
        raise typer.Exit(ExitCode.DAMAGED)


def _verify_runs(
    runs: Sequence[Path],
    *,
    data: str | None,
    deep: bool,
    seal: bool,
    device: str | None,
    as_json: bool,
    given: dict[str, Any],
) -> None:
    """Verify runs, or add their hashes, and print the findings; exit code 4 if there is a damage.

    `given`: `trust_model` and `custom_model`, for `deep`.
    """
    from lstpnet.runs import is_half_withdrawn
    from lstpnet.verification.verify_run import is_finished, seal_run, verify_run

    if seal and (deep or data is not None):
        raise UsageError("--seal adds hashes, --data and --deep compare: use them one after the other")
    if deep:
        require_torch()
    results = []
    for folder in runs:
        if len(runs) > 1 and not is_finished(folder):
            console.say(f"note: {folder}: unfinished, not verified", as_json=as_json)
            continue
        with console.progress("predicting again", unit="clips") as advance:
            if seal:
                results.append(seal_run(folder))
            else:
                results.append(verify_run(folder, data=data, deep=deep, device=device, on_clip=advance, **given))
    if as_json:
        intact = not any(result.damages for result in results)
        console.print_json({"intact": intact, "deep": deep, "runs": [asdict(result) for result in results]})
    for result in results:
        _print_run(result, compared=data is not None, as_json=as_json)
    if damaged := [result for result in results if result.damages]:
        if not all(is_half_withdrawn(Path(result.run)) for result in damaged):
            next_step = "restore the files from a copy, or train the run again with --force"
            console.say(f"next: {next_step}", as_json=as_json)
        raise typer.Exit(ExitCode.DAMAGED)


def _print_run(result: RunVerification, *, compared: bool, as_json: bool) -> None:
    """Print the damages and notes of a run, and what was checked."""
    for damage in result.damages:
        console.say(f"damaged: {result.run}/{damage.file}: {damage.message}", as_json=as_json)
    for note in result.notes:
        console.say(f"note: {note}", as_json=as_json)
    state = _fault_count(result.damages) if result.damages else "intact" if result.is_verified else "unverified"
    words = [counted(result.num_files, "file"), counted(result.num_predictions, "prediction")]
    words += ["compared with the dataset"] if compared else []
    if result.tolerance is not None and result.largest_difference is not None:
        words.append(
            f"{result.num_predicted_again} predicted again, largest difference {result.largest_difference:.1e} "
            f"of the largest logit, {result.tolerance:g} accepted"
        )
    elif not compared:
        words.append("--data compares with the dataset, --deep predicts again")
    console.say(f"{result.run}: {state} ({', '.join(words)})", as_json=as_json)


def _fault_count(damages: Sequence[Any]) -> str:
    return counted(len(damages), "fault")


def _as_document(comparison: OfficialCheck) -> dict[str, Any]:
    return {"equal": comparison.is_equal, **asdict(comparison)}


def _print_comparison(comparison: OfficialCheck, *, as_json: bool) -> None:
    """Print the numbers and clips that differ from the official ones."""
    mismatches = [number for number in comparison.numbers if number.expected != number.found]
    num_equal = len(comparison.numbers) - len(mismatches)
    console.say(
        f"official {comparison.dataset}: {num_equal} of {counted(len(comparison.numbers), 'number')} as expected",
        as_json=as_json,
    )
    if mismatches:
        cells = [(number.what, str(number.expected), str(number.found)) for number in mismatches]
        console.print_table(("what", "expected", "found"), cells, as_json=as_json)
    for clip in comparison.clips:
        console.say(f"differs: clip {clip.clip_id} {clip.what}", as_json=as_json)
    for note in comparison.notes:
        console.say(f"note: {note}", as_json=as_json)
    console.say(f"numbers from: {comparison.source}", as_json=as_json)
