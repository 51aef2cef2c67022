"""Verify the folder of a run: every byte is the one that was written, the predictions fit the data and the model."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfer_data.errors import CorruptDataError, DferError, UsageError
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.shards.layout import CARD_NAME
from dfer_data.storage.files import canonical_json
from dfer_data.storage.walk import entries_of
from lstpnet.dataset_identity import data_words, difference
from lstpnet.errors import CheckpointError, NonFiniteError
from lstpnet.learning_curves import CURVES_NAME
from lstpnet.predictions import Predictions
from lstpnet.run_files import NEXT_STEP, Files, fault_of, files_of
from lstpnet.runs import (
    CHECKPOINTS_FOLDER,
    CONFIG_NAME,
    METRICS_NAME,
    PREDICTIONS_NAME,
    RUN_NAME,
    RunInfo,
    find_runs,
    read_config,
    read_epochs,
    read_predictions,
    read_run,
    withdrawn_words,
    write_config,
    write_run,
)

if TYPE_CHECKING:
    from lstpnet.training.experiment import Experiment

TOLERANCE, TOLERANCE_HALF = 1e-3, 5e-2
"""Largest difference of a logit that is predicted again, as a share of the checkpoint's largest logit: with
precision = f32, and with others, where one of the two computations may be in bf16 or f16."""
_PRIOR_ATOL = 1e-4
_LATER_SETTINGS = ("labels_sha256", "folds_sha256", "fold_set")  # not in the config.json of an older dfer
_FOR_PEOPLE = (CARD_NAME, CURVES_NAME)
"""Files that no reader relies on: an edit is a note, not damage."""
_SHOWN_CLIPS = 5


@dataclass(frozen=True)
class RunDamage:
    """One deviation from what was written."""

    file: str
    """Path relative to the run folder."""
    message: str
    """Description of the deviation."""


@dataclass(frozen=True)
class RunVerification:
    """The scope and the findings of `verify_run`."""

    run: str
    """Run folder."""
    is_verified: bool
    """Whether run.json holds hashes; False for a run of dfer 0.1."""
    num_files: int = 0
    """Number of files that have a hash, in run.json and config.json."""
    num_predictions: int = 0
    """Number of rows in predictions.parquet."""
    num_predicted_again: int = 0
    """Number of rows whose logits were computed again; 0 unless deep."""
    largest_difference: float | None = None
    """Largest difference of a logit computed again, as a share of its checkpoint's largest logit; None unless deep."""
    tolerance: float | None = None
    """Largest accepted `largest_difference`; None unless deep."""
    damages: tuple[RunDamage, ...] = ()
    """Empty for an intact run."""
    notes: tuple[str, ...] = field(default=())
    """Facts that a user should know, one line each."""


def runs_to_verify(root: Path | str) -> list[Path]:
    """Return the run folders at or below `root`; [] for a prepared dataset, a URL, or a folder without runs."""
    from dfer_data.shards.layout import DATASET_NAME, PLAN_NAME
    from dfer_data.storage.files import is_url

    folder = Path(root)
    if is_url(root) or not folder.is_dir() or any((folder / name).is_file() for name in (DATASET_NAME, PLAN_NAME)):
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
        UsageError: no finished run, `deep` without `data`, other data than those of its training, or a custom model
            that is not trusted.
    """
    if deep and data is None:
        raise UsageError("--deep predicts a run's test clips again: add --data, the prepared dataset of its training")
    try:
        info = read_run(folder)
    except CorruptDataError as error:
        return RunVerification(
            str(folder), True, damages=(RunDamage(RUN_NAME, _without_path(error, folder / RUN_NAME)),)
        )
    if not info.finished:
        raise UsageError(f"{folder} has not finished; resume its training first")
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
    experiment = _experiment(folder, info, data)
    damages = list(_data_damages(experiment, info, predictions))
    result = replace(result, damages=tuple(damages))
    if damages or not deep:
        return result
    code = {"trust_model": trust_model, "custom_model": custom_model}
    return _predicted_again(result, experiment, info, predictions, device, on_clip, code=code)


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
        damages.append(RunDamage(name, _without_path(error, folder / name)))


def _without_path(error: DferError, path: Path) -> str:
    """Return an error's message without the path of the file at its start."""
    return str(error).removeprefix(f"{path} ")


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


def _experiment(folder: Path, info: RunInfo, data: Path | str) -> Experiment:
    """Return the experiment of a run on its data. Raises UsageError for other data."""
    from dfer_data.storage.url_cache import located
    from lstpnet.recipe_files import ResolvedRecipe, stored_recipe
    from lstpnet.training.experiment import check_trainable, make_experiment

    root = located(data)[0]
    if words := difference(info.identity, check_trainable(root), fold_set=info.fold_set):
        raise UsageError(f"--data {data} is not the dataset of {folder}: {words}; train again, or omit --data")
    config = read_config(folder, info)
    if not config:
        raise UsageError(f"{folder} has no {CONFIG_NAME}: its recipe is not known, so --data cannot be compared")
    try:
        recipe = stored_recipe(config["settings"])
    except (KeyError, TypeError, UsageError) as error:
        path = folder / CONFIG_NAME
        raise CorruptDataError(f"{path} is damaged: its settings are no recipe ({error}); {NEXT_STEP}") from error
    return make_experiment(root, ResolvedRecipe(recipe, {}), fold=info.fold, seed=info.seed, fold_set=info.fold_set)


def _data_damages(experiment: Experiment, info: RunInfo, predictions: Sequence[Predictions]) -> Iterator[RunDamage]:
    """Yield the differences between a run and the fold of its dataset."""
    data = experiment.data
    counts = {"n_train": len(experiment.train_ids), "n_val": len(experiment.val_ids)}
    stated: dict[str, Any] = {"class_names": data.class_names, "dataset": data.document["dataset"], **counts}
    stated["synthetic"] = bool(data.document["synthetic"])
    for name, expected in stated.items():
        if getattr(info, name) != expected:
            yield RunDamage(RUN_NAME, f"has {name} {getattr(info, name)!r}, the dataset {expected!r}")
    labels = dict(zip(experiment.test_ids, data.index(experiment.test_ids)["label"].to_pylist(), strict=True))
    faceless, prior = set(experiment.faceless_test_ids), experiment.prior_logits()
    for part in predictions:
        name = " ".join(filter(None, (part.checkpoint, part.control)))
        if missing := sorted(labels.keys() - set(part.clip_ids)):
            yield RunDamage(PREDICTIONS_NAME, f"{name} lacks test clips of fold {info.fold}: {_listed(missing)}")
        if extra := sorted(set(part.clip_ids) - labels.keys()):
            yield RunDamage(PREDICTIONS_NAME, f"{name} has clips that fold {info.fold} does not test: {_listed(extra)}")
        rows = list(zip(part.clip_ids, part.labels, part.has_face.tolist(), part.logits, strict=True))
        if other := [clip_id for clip_id, label, _, _ in rows if labels.get(clip_id, label) != label]:
            yield RunDamage(PREDICTIONS_NAME, f"{name} has other labels than the dataset: {_listed(other)}")
        if other := [clip_id for clip_id, _, face, _ in rows if face == (clip_id in faceless) and clip_id in labels]:
            yield RunDamage(PREDICTIONS_NAME, f"{name} has other clips without a face: {_listed(other)}")
        others = [clip_id for clip_id, _, face, logits in rows if not face and not _is_prior(logits, prior)]
        if others:
            yield RunDamage(PREDICTIONS_NAME, f"{name}: not the train prior, though without a face: {_listed(others)}")


def _is_prior(logits: npt.NDArray[np.float32], prior: npt.NDArray[np.float32]) -> bool:
    return logits.shape == prior.shape and bool(np.allclose(logits, prior, atol=_PRIOR_ATOL))


def _listed(clip_ids: Sequence[str]) -> str:
    more = f" and {len(clip_ids) - _SHOWN_CLIPS} more" if len(clip_ids) > _SHOWN_CLIPS else ""
    return ", ".join(clip_ids[:_SHOWN_CLIPS]) + more


def _predicted_again(
    result: RunVerification,
    experiment: Experiment,
    info: RunInfo,
    predictions: Sequence[Predictions],
    device: str | None,
    on_clip: Callable[[int, int], None],
    *,
    code: Mapping[str, Any],
) -> RunVerification:
    """Predict every checkpoint again and return the result with the logits that differ.

    `code`: `trust_model` and `custom_model` of `load_trained`.
    """
    from lstpnet.checkpoints.trained_run import load_trained
    from lstpnet.device import pick_device
    from lstpnet.training.events import ClipsPredicted, StepDone
    from lstpnet.training.run import predict_test_clips

    folder, torch_device = Path(result.run), pick_device(device)
    tolerance = TOLERANCE if experiment.recipe.precision == "f32" else TOLERANCE_HALF
    damages: list[RunDamage] = []
    notes: list[str] = []
    differences, num_rows = [0.0], 0
    done_before, total = 0, len(predictions) * len(experiment.seen_test_ids)

    def on_step(step: StepDone | ClipsPredicted) -> None:
        nonlocal done_before
        if isinstance(step, ClipsPredicted):
            on_clip(done_before + step.num_done, total)
            done_before += step.num_clips if step.num_done == step.num_clips else 0

    for checkpoint in info.checkpoints:
        weights_name = f"{CHECKPOINTS_FOLDER}/{checkpoint}.safetensors"
        try:
            model = load_trained(folder, checkpoint=checkpoint, **code).model.to(torch_device)
            again = predict_test_clips(experiment, model, torch_device, checkpoint=checkpoint, on_step=on_step)
        except (CheckpointError, CorruptDataError, NonFiniteError) as error:
            damages.append(RunDamage(weights_name, _without_path(error, folder / weights_name)))
            continue
        by_control = {part.control: part for part in again}
        for part in (part for part in predictions if part.checkpoint == checkpoint):
            name = " ".join(filter(None, (part.checkpoint, part.control)))
            if part.control not in by_control:
                damages.append(RunDamage(PREDICTIONS_NAME, f"{name}: the recipe has no such control"))
                continue
            shares = _difference_shares(part, by_control[part.control])
            num_rows, differences = num_rows + len(shares), [*differences, *shares.values()]
            if over := [clip_id for clip_id, share in shares.items() if share > tolerance]:
                words = f"{name}: {len(over)} clips have logits that the model does not compute: {_listed(over)}"
                damages.append(RunDamage(PREDICTIONS_NAME, words))
            elif others := _other_classes(part, by_control[part.control]):
                notes.append(f"{name}: within the tolerance, {len(others)} clips get another class: {_listed(others)}")
    return replace(
        result,
        damages=tuple(damages),
        notes=(*result.notes, *notes),
        num_predicted_again=num_rows,
        largest_difference=max(differences),
        tolerance=tolerance,
    )


def _difference_shares(stored: Predictions, again: Predictions) -> dict[str, float]:
    """Return clip id -> largest difference of its logits, as a share of the largest finite logit of all clips.

    Clips without a face are left out: their prior is compared with the dataset.
    """
    scale = max(float(np.abs(again.logits[np.isfinite(again.logits)]).max()), float(np.finfo(np.float32).tiny))
    rows = {clip_id: row for row, clip_id in enumerate(again.clip_ids)}
    shares = {}
    for clip_id, face, logits in zip(stored.clip_ids, stored.has_face, stored.logits, strict=True):
        if face and clip_id in rows:
            difference = np.abs(logits - again.logits[rows[clip_id]]).max()
            shares[clip_id] = float(difference) / scale if np.isfinite(difference) else float("inf")
    return shares


def _other_classes(stored: Predictions, again: Predictions) -> list[str]:
    """Return the clips that get another class from the logits that were computed again."""
    classes = dict(zip(again.clip_ids, again.logits.argmax(axis=1), strict=True))
    stored_classes = zip(stored.clip_ids, stored.logits.argmax(axis=1), strict=True)
    return [clip_id for clip_id, number in stored_classes if classes.get(clip_id, number) != number]
