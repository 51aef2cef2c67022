"""Verify the folder of a run: every byte is the one that was written, the predictions fit the data and the model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.shards.layout import CARD_NAME
from dfer_data.storage.files import canonical_json
from dfer_data.storage.walk import entries_of
from lstpnet.dataset_identity import data_words
from lstpnet.finished_runs import find_runs
from lstpnet.learning_curves import CURVES_NAME
from lstpnet.predictions import Predictions
from lstpnet.predictions_table import read_predictions
from lstpnet.run_files import Files, fault_of, files_of
from lstpnet.runs import (
    CHECKPOINTS_FOLDER,
    CONFIG_NAME,
    METRICS_NAME,
    PREDICTIONS_NAME,
    RUN_NAME,
    RunInfo,
    read_config,
    read_epochs,
    read_run,
    refuse_half_withdrawn,
    withdrawn_words,
    write_config,
    write_run,
)

if TYPE_CHECKING:
    pass
from lstpnet.verification.compare_data import data_damages, experiment_of_run
from lstpnet.verification.findings import RunDamage, RunVerification, without_path
from lstpnet.verification.predict_again import predicted_again

_LATER_SETTINGS = ("labels_sha256", "folds_sha256", "fold_set")  # not in the config.json of an older dfer
_FOR_PEOPLE = (CARD_NAME, CURVES_NAME)
"""Files that no reader relies on: an edit is a note, not damage."""


def runs_to_verify(root: Path | str) -> list[Path]:
    """Return the run folders at or below `root`; [] for a prepared dataset, a URL, or a folder without runs."""
    from dfer_data.shards.layout import DATASET_NAME, PLAN_NAME
    from dfer_data.storage.files import place_of

    folder = place_of(root)
    if isinstance(folder, str) or not folder.is_dir():
        return []
    if any((folder / name).is_file() for name in (DATASET_NAME, PLAN_NAME)):
        return []
    return find_runs(folder)


def is_finished(folder: Path) -> bool:
    """Return whether a run folder holds a finished run, or one whose run.json is damaged."""
    try:
        return (folder / RUN_NAME).is_file() and read_run(folder).finished
    except CorruptDataError:
        return True


def verify_run(
    folder: Path,
    *,
    data: Path | str | None = None,
    deep: bool = False,
    device: str | None = None,
    trust_model: bool = False,
    custom_model: str | None = None,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> RunVerification:
    """Check every file of a finished run against its hash, and predictions and settings against run.json.

    Args:
        folder: the run's folder.
        data: the prepared dataset of its training: also compare clips, labels, faces and priors with its fold.
        deep: also predict the test clips again and compare the logits; needs `data` and PyTorch.
        device: for `deep`: `cuda`, `mps` or `cpu`; None: the best available.
        trust_model: for `deep`: run the custom model that the run names, from the source of its training.
        custom_model: for `deep`: `package.module:build` to run as the run's custom model instead.
        on_clip: called with the number of clips predicted again and their total.

    Raises:
        UsageError: no finished run, `deep` without `data` or checkpoints, other data than those of its training, or a
            custom model that is not trusted.
    """
    if deep and data is None:
        raise UsageError("--deep predicts a run's test clips again: add --data, the prepared dataset of its training")
    try:
        info = read_run(folder)
        refuse_half_withdrawn(folder)
    except CorruptDataError as error:
        return RunVerification(
            str(folder), True, damages=(RunDamage(RUN_NAME, without_path(error, folder / RUN_NAME)),)
        )
    if not info.finished:
        raise UsageError(f"{folder} has not finished; resume its training first")
    if deep:
        _require_checkpoints(folder)
    damages: list[RunDamage] = []
    notes: list[str] = []
    if info.is_unverified:
        notes.append(f"unverified: {RUN_NAME} holds no hashes, a changed file would not be noticed; --seal adds them")
    elif not _is_canonical(folder / RUN_NAME):
        damages.append(RunDamage(RUN_NAME, "is not the canonical JSON that was written"))
    damages += [RunDamage(RUN_NAME, fault) for fault in _protocol_faults(info)]
    files = dict(info.files)
    with _collected(damages, CONFIG_NAME, folder):
        config = read_config(folder, info)
        files |= files_of(config) if "files" in config else {}
        damages += _config_damages(folder, config, info)
    file_damages, file_notes = _check_files(folder, files)
    damages, notes = damages + file_damages, notes + file_notes
    if not {CONFIG_NAME, METRICS_NAME} & {damage.file for damage in damages}:
        with _collected(damages, METRICS_NAME, folder):
            read_epochs(folder, info)
    predictions: tuple[Predictions, ...] = ()
    if info.num_withdrawn:
        notes.append(withdrawn_words(info.num_withdrawn))
    if not info.has_predictions and (folder / PREDICTIONS_NAME).exists():
        damages.append(RunDamage(PREDICTIONS_NAME, f"is not listed in {RUN_NAME}"))
    elif info.has_predictions and PREDICTIONS_NAME not in {damage.file for damage in damages}:
        with _collected(damages, PREDICTIONS_NAME, folder):
            predictions = read_predictions(folder, info)
    result = RunVerification(
        str(folder),
        not info.is_unverified,
        num_files=len(files),
        num_predictions=sum(len(part.clip_ids) for part in predictions),
        damages=tuple(damages),
        notes=tuple(notes),
    )
    if data is None or damages:
        return result
    experiment = experiment_of_run(folder, info, data)
    damages = list(data_damages(experiment, info, predictions))
    result = replace(result, damages=tuple(damages))
    if damages or not deep:
        return result
    code = {"trust_model": trust_model, "custom_model": custom_model}
    return predicted_again(result, experiment, info, predictions, device, on_clip, code=code)


def _require_checkpoints(folder: Path) -> None:
    if not (folder / CHECKPOINTS_FOLDER).is_dir():
        raise UsageError(
            f"{folder} has no folder {CHECKPOINTS_FOLDER}, from which --deep predicts again: leave --deep out, or copy "
            "the folder from where the run was trained"
        )


def seal_run(folder: Path) -> RunVerification:
    """Add the hashes to a run without them, after the checks of `verify_run` that need none; returns its result.

    A run that has hashes, and one with damages, is left as it is. Raises UsageError as `verify_run` does.
    """
    result = verify_run(folder)
    if result.is_verified or result.damages:
        return result
    info = read_run(folder)
    if config := read_config(folder, info):
        names = [name for name in (METRICS_NAME, CURVES_NAME) if (folder / name).is_file()]
        write_config(folder, config, names=names)
    write_run(folder, info)
    return verify_run(folder)


def _is_canonical(path: Path) -> bool:
    content = path.read_bytes()
    return canonical_json(json.loads(content)) == content


@contextlib.contextmanager
def _collected(damages: list[RunDamage], name: str, folder: Path) -> Iterator[None]:
    """Add the error of a reader of the file `name` to the damages."""
    try:
        yield
    except CorruptDataError as error:
        damages.append(RunDamage(name, without_path(error, folder / name)))


def _check_files(folder: Path, files: Files) -> tuple[list[RunDamage], list[str]]:
    """Return the damages of the listed files, and notes on those that no reader needs."""
    damages, notes = [], []
    has_checkpoints = (folder / CHECKPOINTS_FOLDER).is_dir()
    for name, facts in files.items():
        if name.startswith(f"{CHECKPOINTS_FOLDER}/") and not has_checkpoints:
            continue
        try:
            fault = fault_of((folder / name).read_bytes(), facts)
        except OSError as error:
            fault = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        if fault and name in _FOR_PEOPLE:
            notes.append(f"{name} {fault}: edited, or damaged; no table is made from it")
        elif fault:
            damages.append(RunDamage(name, fault))
    if not has_checkpoints and any(name.startswith(f"{CHECKPOINTS_FOLDER}/") for name in files):
        notes.append(f"the folder {CHECKPOINTS_FOLDER} is not there: its files are not checked")
    present = (path for path in entries_of(folder / CHECKPOINTS_FOLDER) if path.suffix in (".safetensors", ".json"))
    names = sorted(path.relative_to(folder).as_posix() for path in present)
    damages += [RunDamage(name, f"is not listed in {RUN_NAME}") for name in names if files and name not in files]
    return damages, notes


def _config_damages(folder: Path, config: dict[str, Any], info: RunInfo) -> Iterator[RunDamage]:
    """Yield the deviations of config.json from canonical JSON and from run.json."""
    if not config:
        return
    if not info.is_unverified and not _is_canonical(folder / CONFIG_NAME):
        yield RunDamage(CONFIG_NAME, "is not the canonical JSON that was written")
    for name in ("fold", "seed", "dataset_sha256", *_LATER_SETTINGS):
        stated, expected = config["settings"].get(name), getattr(info, name)
        if stated != expected and (stated is not None or name not in _LATER_SETTINGS):
            yield RunDamage(CONFIG_NAME, f"has {name} {stated!r}, {RUN_NAME} has {expected!r}")


def _protocol_faults(info: RunInfo) -> Iterator[str]:
    """Yield the differences between the protocol line and the other fields of run.json."""
    parts = info.protocol.split("; ")
    expected = {
        "data ": data_words(info.identity),
        "official fold ": str(info.fold),
        "n_train ": str(info.n_train),
        "seed ": str(info.seed),
    }
    if info.fold_set != OFFICIAL_SET:
        expected["fold "] = f"{info.fold} of {info.fold_set}"
    for start, value in expected.items():
        for part in (part for part in parts if part.startswith(start)):
            if part != start + value:
                yield f"its protocol has {part!r}, its other fields {value!r}"
