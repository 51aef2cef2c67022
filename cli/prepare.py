"""`dfer prepare`: turn raw videos into a hashed dataset of aligned face clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dfer_data.config import FAST_DETECT_EVERY
from dfer_data.errors import UsageError
from dfer_data.preparation.run_settings import (
    PREPARE_SETTINGS,
    Cluster,
    Limits,
    Revision,
    RunSettings,
    TaskShare,
)
from dfer_data.settings import settings_of

from ._support.completions import known_datasets
from ._support.exit_codes import ExitCode
from ._support.options import JsonFlag, confirm
from ._support.setting_options import SetFlag, takes_settings, with_assignments
from ._support.settings import dataset_folder, settings_to_use

if TYPE_CHECKING:
    from dfer_data.preparation.planned import PreparationPlanned

_RETRY = "Resume, retry, update"
_NOT_OF_LOCKS = (RunSettings, Limits, Cluster, TaskShare)
_OF_DETECTOR = ("backbone", "weights", "score_threshold")


@takes_settings(*PREPARE_SETTINGS, Revision)
def prepare(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="dfew, ferv39k, afew... (`dfer datasets` lists all), or folder.",
            autocompletion=known_datasets,
        ),
    ],
    overrides: SetFlag = None,
    fast: Annotated[bool, typer.Option("--fast", help="The same as --detect-every 5.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; write nothing.")] = False,
    as_json: JsonFlag = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --force.", rich_help_panel=_RETRY)] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit with 1 instead of 3 if clips failed; with --from, also if any is not identical.",
            rich_help_panel=_RETRY,
        ),
    ] = False,
    *,
    given: dict[str, Any],
) -> None:
    """Turn a dataset's videos into aligned face clips.

    Decodes, detects, tracks, aligns and stores. Run the same command again to resume an interrupted run.
    """
    from dfer_data.preparation.planned import plan_preparation
    from dfer_data.preparation.run import run_planned

    from ._support.prepare_progress import PrepareProgress
    from ._support.prepare_view import conclude, introduce, show_dry_run

    revision = Revision(**{name: given.pop(name) for name in settings_of(Revision) if name in given})
    planned = plan_preparation(dataset, **_all_settings(dataset, given, overrides, fast=fast))
    introduce(planned, as_json=as_json)
    if dry_run:
        show_dry_run(planned.resolved, num_workers=planned.num_workers or 1, as_json=as_json)
        return
    if revision.force:
        _confirm_removal(planned, yes=yes)
    with PrepareProgress(as_json=as_json) as progress:
        summary = run_planned(
            planned,
            revision=revision,
            on_event=progress.update,
            on_hashed=progress.compare,
            on_wait=progress.watch,
        )
    conclude(summary, as_json=as_json)
    is_other = summary.rebuilt is not None and not summary.rebuilt["equal"]["clips"]
    if summary.num_failed or (strict and is_other):
        raise typer.Exit(ExitCode.FAILED if strict else ExitCode.PARTIAL)


def _all_settings(dataset: str, given: dict[str, Any], overrides: list[str] | None, *, fast: bool) -> dict[str, Any]:
    """Return the settings of options, `--set` and dfer.toml, the first one wins; UsageError for unknown keys."""
    from dfer_data.preparation.request import default_detector

    settings = with_assignments(given, overrides, PREPARE_SETTINGS)
    from_file = settings_to_use("prepare", settings)
    if "from_lock" in settings or "like" in settings:  # the lock's settings come before those of the file
        kept = {name for kind in _NOT_OF_LOCKS for name in settings_of(kind)} | {"source"}
        from_file = {name: value for name, value in from_file.items() if name in kept}
    if fast:
        if settings.get("detect_every", FAST_DETECT_EVERY) != FAST_DETECT_EVERY:
            raise UsageError(f"--fast means --detect-every {FAST_DETECT_EVERY}; use only one of the two")
        settings["detect_every"] = FAST_DETECT_EVERY
    settings["source"] = dataset_folder(dataset, given=settings.get("source"), from_file=from_file.pop("source", None))
    crops = settings.get("crops", from_file.get("crops"))
    if "detector" not in settings and default_detector(dataset, crops=crops) == "none":
        from_file.pop("detector", None)
    if settings.get("detector", from_file.get("detector")) != from_file.get("detector"):
        for name in _OF_DETECTOR:  # they belong to the file's detector
            from_file.pop(name, None)
    return from_file | settings


def _confirm_removal(planned: PreparationPlanned, *, yes: bool) -> None:
    """Ask before a prepared dataset is removed. Raises UsageError if stdin is not a terminal."""
    from dfer_data.preparation.output_folder import is_there
    from dfer_data.storage.target import target_at

    if yes or not is_there(target_at(planned.out, work=planned.run.work)):
        return
    dataset = f"the prepared dataset in {planned.out}"
    confirm(f"remove {dataset} and make it again?", threat=f"--force would remove {dataset}")
