"""One run from an experiment to its folder: settings, metrics, checkpoints, test predictions, run.json last."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch

from dfer_data.config import canonical_json
from dfer_data.errors import CorruptDataError, DferError, LockedError, UsageError
from dfer_data.files import write_atomically
from dfer_data.weights import sha256_file
from lstpnet.checkpoint import save_checkpoint
from lstpnet.errors import CheckpointError
from lstpnet.evaluate import CONTROLS, Control, predict_clips
from lstpnet.experiment import Experiment, without_validation
from lstpnet.metrics import confusion_matrix, predicted_classes, score
from lstpnet.model import LSTPNet
from lstpnet.runs import (
    CONFIG_NAME,
    PREDICTIONS_NAME,
    RUN_NAME,
    Predictions,
    RunInfo,
    read_run,
    write_predictions,
    write_run,
)
from lstpnet.trainer import METRICS_NAME, EpochDone, autocast_dtype, fit, initial_model


def find_finished(folder: Path, experiment: Experiment, *, init: Path | None = None) -> bool:
    """Whether `folder` holds this very run, finished.

    Raises UsageError naming the difference when it holds a finished run with other settings or data, CorruptDataError
    when that run's files are damaged.
    """
    if not (folder / RUN_NAME).is_file() or not read_run(folder).finished:
        return False
    try:
        old = dict(json.loads((folder / CONFIG_NAME).read_bytes())["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{folder} holds a finished run whose {CONFIG_NAME} is missing or damaged ({error!r}); --force trains again"
        ) from error
    new = _settings(experiment, init_sha256=_init_sha256(init))
    names = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if names:
        changes = "; ".join(f"{key}: {old.get(key)!r} there, {new.get(key)!r} now" for key in names)
        raise UsageError(f"{folder} holds a run with other settings ({changes}); choose another --out, or --force")
    return True


def train_run(
    experiment: Experiment,
    folder: Path,
    *,
    device: torch.device,
    init: Path | None = None,
    on_event: Callable[[EpochDone], None] = lambda event: None,
) -> dict[str, Any]:
    """Train, predict the test clips once, write everything below `folder`; what lay there is replaced.

    Returns `results`: per checkpoint `war`, `uar` (0..1) and `n`. Raises what `fit` raises, and CheckpointError
    for an `init` file that does not fit, before anything is replaced.
    """
    model, filled = initial_model(
        experiment, init=init
    )  # may lie in the folder, or not fit: before anything is removed
    start = _init_sha256(init)
    with _locked(folder):
        results = _train_run(
            experiment, model, folder, device=device, init_sha256=start, filled=filled, on_event=on_event
        )
    return {"results": results}


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a run folder; LockedError if one is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise LockedError(f"another training writes to {folder}; wait for it, or choose another --out") from None
    try:
        yield
    finally:
        lock.release()


def _train_run(
    experiment: Experiment,
    model: LSTPNet,
    folder: Path,
    *,
    device: torch.device,
    init_sha256: str | None,
    filled: str,
    on_event: Callable[[EpochDone], None],
) -> list[dict[str, Any]]:
    if (folder / RUN_NAME).exists() or (folder / PREDICTIONS_NAME).exists():
        (folder / RUN_NAME).unlink(missing_ok=True)  # first: half of a run must not count as finished
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = {**_config(experiment, device, init_sha256), "start_weights": filled}
    write_atomically(folder / CONFIG_NAME, canonical_json(config), work=folder)
    write_run(folder, _info(experiment, checkpoints=(), finished=False, init_sha256=init_sha256))
    (folder / METRICS_NAME).write_bytes(b"")
    parts: list[Predictions] = []
    for name, trained_model in _checkpoints(experiment, model, folder, device=device, on_event=on_event):
        parts += _predict(experiment, trained_model, device, checkpoint=name)
    write_predictions(folder, parts)
    names = tuple(dict.fromkeys(part.checkpoint for part in parts))
    write_run(folder, _info(experiment, checkpoints=names, finished=True, init_sha256=init_sha256))
    return [_result(part, experiment) for part in parts if not part.control]


def _checkpoints(
    experiment: Experiment,
    model: LSTPNet,
    folder: Path,
    *,
    device: torch.device,
    on_event: Callable[[EpochDone], None],
) -> Iterator[tuple[str, LSTPNet]]:
    """Train, and yield each checkpoint's name with the model holding its weights, which are on disk."""
    recipe = experiment.recipe
    start = copy.deepcopy(model.state_dict()) if recipe.refit else {}
    trained = fit(experiment, model, folder=folder, device=device, on_event=on_event)
    yield "last", trained.model
    for name, chosen in (("best", trained.best), ("test-best", trained.test_best)):
        if chosen is not None:
            trained.model.load_state_dict(chosen.weights)
            facts = {"stage": "clips", "epoch": chosen.epoch, "recipe_sha256": recipe.sha256}
            save_checkpoint(trained.model, folder / "checkpoints" / f"{name}.safetensors", facts=facts)
            yield name, trained.model
    if recipe.refit and trained.best is not None:
        trained.model.load_state_dict(start)
        whole, stop = without_validation(experiment), trained.best.epoch
        again = fit(
            whole, trained.model, folder=folder, device=device, on_event=on_event, stop_after=stop, name="refit"
        )
        yield "refit", again.model


def _predict(
    experiment: Experiment, model: torch.nn.Module, device: torch.device, *, checkpoint: str
) -> list[Predictions]:
    """Predict every test clip; those without a face get the train prior."""
    data, recipe = experiment.data, experiment.recipe
    faceless, seen = set(experiment.faceless_test_ids), experiment.seen_test_ids
    controls: tuple[Control, ...] = ("", *CONTROLS) if recipe.controls and checkpoint == "last" else ("",)
    parts = []
    for control in controls:
        dtype = autocast_dtype(recipe, device)
        found = predict_clips(model, data.root, seen, recipe=recipe, device=device, dtype=dtype, control=control)
        if not np.isfinite(found).all():
            raise DferError(f"the {checkpoint} checkpoint has infinite logits on test clips; lower the learning_rate")
        by_id = dict(zip(seen, found, strict=True))
        logits = np.stack([by_id.get(clip_id, experiment.prior_logits()) for clip_id in experiment.test_ids])
        parts.append(
            Predictions(
                clip_ids=experiment.test_ids,
                labels=tuple(data.index(experiment.test_ids)["label"].to_pylist()),
                logits=logits.astype(np.float32),
                has_face=np.array([clip_id not in faceless for clip_id in experiment.test_ids]),
                checkpoint=checkpoint,
                control=control,
            )
        )
    return parts


def _result(part: Predictions, experiment: Experiment) -> dict[str, Any]:
    names = experiment.data.class_names
    labels = [names.index(label) for label in part.labels]
    scores = score(confusion_matrix(labels, predicted_classes(part.logits), num_classes=len(names)))
    return {"checkpoint": part.checkpoint, "war": scores.war, "uar": scores.uar, "n": len(part.clip_ids)}


def _info(experiment: Experiment, *, checkpoints: tuple[str, ...], finished: bool, init_sha256: str | None) -> RunInfo:
    document = experiment.data.document
    return RunInfo(
        dataset=document["dataset"],
        prepared=experiment.prepared,
        dataset_sha256=document["sha256"],
        recipe=experiment.recipe.label,
        fold=experiment.fold,
        seed=experiment.seed,
        class_names=experiment.data.class_names,
        n_train=len(experiment.train_ids),
        n_val=len(experiment.val_ids),
        synthetic=bool(document["synthetic"]),
        protocol=experiment.protocol() + (f"; start weights {init_sha256[:12]}" if init_sha256 else ""),
        checkpoints=checkpoints,
        finished=finished,
    )


def _settings(experiment: Experiment, *, init_sha256: str | None) -> dict[str, Any]:
    """Return what makes two runs the same experiment."""
    return asdict(experiment.recipe) | {
        "dataset_sha256": experiment.data.document["sha256"],
        "fold": experiment.fold,
        "seed": experiment.seed,
        "init_sha256": init_sha256,
    }


def _init_sha256(init: Path | None) -> str | None:
    """Hash the start weights; CheckpointError if they are not there."""
    if init is None:
        return None
    if not init.is_file():
        raise CheckpointError(f"--init {init}: no such file")
    return sha256_file(init)


def _config(experiment: Experiment, device: torch.device, init_sha256: str | None) -> Mapping[str, Any]:
    return {
        "settings": _settings(experiment, init_sha256=init_sha256),
        "origins": dict(experiment.resolved.origins),
        "device": str(device),
        "num_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "git_revision": _git_revision(),
    }


def _git_revision() -> str | None:
    """Return the commit of the working folder, for people who keep their experiments in git."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        line = ["git", "rev-parse", "HEAD"]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=5)
        return done.stdout.strip() or None
    return None
