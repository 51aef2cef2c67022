"""One run from an experiment to its folder: settings, metrics, checkpoints, test predictions, run.json last."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np
import torch
from torch import nn

from dfer_data.config import with_absent
from dfer_data.errors import CorruptDataError, DferError, LockedError, UsageError
from dfer_data.frame_sampling import CLIP_FRAMES
from dfer_data.shards.layout import CARD_NAME
from dfer_data.storage.files import canonical_json, sha256_file, write_atomically
from dfer_data.types import Floats
from lstpnet.checkpoints.checkpoint import save_checkpoint
from lstpnet.checkpoints.custom_model import source_sha256
from lstpnet.device import autocast_dtype
from lstpnet.errors import CheckpointError
from lstpnet.evaluation.clip_logits import CONTROLS, Control, predict_attending, predict_clips
from lstpnet.evaluation.frame_attention import sees_stored_frames, why_no_attention
from lstpnet.metrics import confusion_matrix, predicted_classes, score
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe
from lstpnet.runs import (
    CONFIG_NAME,
    METRICS_NAME,
    PREDICTIONS_NAME,
    RUN_NAME,
    Predictions,
    RunInfo,
    read_run,
    write_predictions,
    write_run,
)
from lstpnet.training.curves import draw_curves
from lstpnet.training.distributed import ALONE, Group
from lstpnet.training.experiment import Experiment, without_validation
from lstpnet.training.initial_model import initial_model
from lstpnet.training.model_card import model_card
from lstpnet.training.resume_state import FOLDER as STATES
from lstpnet.training.trainer import EpochDone, TrainingResult, fit

Standing = Literal["absent", "begun", "finished"]
_NO_ATTENTION = np.full(CLIP_FRAMES, np.nan, np.float32)


def run_state(folder: Path, experiment: Experiment, *, init: Path | None = None) -> Standing:
    """Whether `folder` holds this very run: not at all, with a state that it can go on from, or finished.

    Raises UsageError naming the difference when it holds a run with other settings or data, CorruptDataError when that
    run's files are damaged.
    """
    is_finished = (folder / RUN_NAME).is_file() and read_run(folder).finished
    if not is_finished and not any((folder / STATES).glob("*.pt")):
        return "absent"
    kind = "finished" if is_finished else "begun"
    try:
        old = dict(json.loads((folder / CONFIG_NAME).read_bytes())["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{folder} holds a {kind} run whose {CONFIG_NAME} is missing or damaged ({error!r}); --force trains again"
        ) from error
    old = with_absent(Recipe, old)
    new = _settings(experiment, init_sha256=_init_sha256(init))
    names = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if names:
        changes = "; ".join(f"{key}: {old.get(key)!r} there, {new.get(key)!r} now" for key in names)
        raise UsageError(f"{folder} holds a run with other settings ({changes}); choose another --out, or --force")
    return "finished" if is_finished else "begun"


def train_run(
    experiment: Experiment,
    folder: Path,
    *,
    device: torch.device,
    init: Path | None = None,
    continues: bool = False,
    save_seconds: float = 600.0,
    group: Group = ALONE,
    on_event: Callable[[EpochDone], None] = lambda event: None,
) -> dict[str, Any]:
    """Train, predict the test clips once, write everything below `folder`.

    What lay there is replaced, or gone on from where it `continues`. Returns `results`: per checkpoint `war`, `uar`
    (0..1) and `n`; of several processes from the first alone. Raises what `fit` does, and CheckpointError for an `init`
    file that does not fit, before anything is replaced.
    """
    model, filled = initial_model(
        experiment, init=init
    )  # may lie in the folder, or not fit: before anything is removed
    start = _init_sha256(init)
    run = _Run(experiment, folder, device, start, filled, continues, save_seconds, group, on_event)
    if not group.is_first:
        group.wait()  # for the folder
        for _ in run.checkpoints(model):
            pass
        group.wait()  # for the predictions
        return {"results": []}
    with _locked(folder):
        results = run.write(model)
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


@dataclass(frozen=True)
class _Run:
    """One run on its way to its folder; the fields are the arguments of `train_run`."""

    experiment: Experiment
    folder: Path
    device: torch.device
    init_sha256: str | None
    filled: str
    continues: bool
    save_seconds: float
    group: Group
    on_event: Callable[[EpochDone], None]

    def write(self, model: nn.Module) -> list[dict[str, Any]]:
        """Write the whole folder, run.json as finished last."""
        folder, experiment = self.folder, self.experiment
        if not self.continues and any((folder / name).exists() for name in (RUN_NAME, PREDICTIONS_NAME, STATES)):
            (folder / RUN_NAME).unlink(missing_ok=True)  # first: half of a run must not count as finished
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CONFIG_NAME, canonical_json(self._config()), work=folder)
        write_run(folder, self._info(checkpoints=(), finished=False))
        (folder / METRICS_NAME).touch()
        self.group.wait()
        parts: list[Predictions] = []
        for name, trained in self.checkpoints(model):
            parts += _predict(experiment, trained, self.device, checkpoint=name)
        write_predictions(folder, parts)
        names = tuple(dict.fromkeys(part.checkpoint for part in parts))
        draw_curves(folder)
        info = self._info(checkpoints=names, finished=True)
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
        card = model_card(experiment, info, parts, num_parameters=num_parameters)
        write_atomically(folder / CARD_NAME, card.encode("utf-8"), work=folder)
        write_run(folder, info)
        shutil.rmtree(folder / STATES, ignore_errors=True)
        self.group.wait()
        return [_result(part, experiment) for part in parts if not part.control]

    def checkpoints(self, model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        """Train, and yield each checkpoint's name with the model holding its weights, which are on disk."""
        recipe = self.experiment.recipe
        start = copy.deepcopy(model.state_dict()) if recipe.refit else {}
        trained = self._fit(self.experiment, model)
        yield "last", trained.model
        for name, chosen in (("best", trained.best), ("test-best", trained.test_best)):
            if chosen is not None:
                trained.model.load_state_dict(chosen.weights)
                if self.group.is_first:
                    facts = {"stage": "clips", "epoch": chosen.epoch, "recipe_sha256": recipe.sha256}
                    save_checkpoint(trained.model, self.folder / "checkpoints" / f"{name}.safetensors", facts=facts)
                yield name, trained.model
        if recipe.refit and trained.best is not None:
            model.load_state_dict(start)
            torch.manual_seed(self.experiment.seed)
            whole = without_validation(self.experiment)
            yield "refit", self._fit(whole, model, stop_after=trained.best.epoch, name="refit").model

    def _fit(
        self, experiment: Experiment, model: nn.Module, *, stop_after: int | None = None, name: str = "last"
    ) -> TrainingResult:
        return fit(
            experiment,
            model,
            folder=self.folder,
            device=self.device,
            on_event=self.on_event,
            stop_after=stop_after,
            name=name,
            save_seconds=self.save_seconds,
            group=self.group,
        )

    def _config(self) -> dict[str, Any]:
        """Return what config.json says: of a run that goes on, what it said and who goes on."""
        session = {
            "device": str(self.device),
            "num_threads": torch.get_num_threads(),
            "world_size": self.group.world_size,
            "torch": torch.__version__,
        }
        if self.continues:
            old = dict(json.loads((self.folder / CONFIG_NAME).read_bytes()))
            return {**old, "resumed": [*old.get("resumed", []), session]}
        return {
            "settings": _settings(self.experiment, init_sha256=self.init_sha256),
            "origins": dict(self.experiment.resolved.origins),
            **session,
            "git_revision": _git_revision(),
            "start_weights": self.filled,
        }

    def _info(self, *, checkpoints: tuple[str, ...], finished: bool) -> RunInfo:
        return _info(self.experiment, checkpoints=checkpoints, finished=finished, init_sha256=self.init_sha256)


def _predict(
    experiment: Experiment, model: torch.nn.Module, device: torch.device, *, checkpoint: str
) -> list[Predictions]:
    """Predict every test clip; those without a face get the train prior."""
    recipe, faceless = experiment.recipe, set(experiment.faceless_test_ids)
    controls: tuple[Control, ...] = ("", *CONTROLS) if recipe.controls and checkpoint == "last" else ("",)
    parts = []
    for control in controls:
        found, weights = _of_seen_clips(experiment, model, device, control=control)
        if not np.isfinite(found).all():
            raise DferError(f"the {checkpoint} checkpoint has infinite logits on test clips; lower the learning_rate")
        logits = _spread(experiment, found, otherwise=experiment.prior_logits())
        parts.append(
            Predictions(
                clip_ids=experiment.test_ids,
                labels=tuple(experiment.data.index(experiment.test_ids)["label"].to_pylist()),
                logits=logits.astype(np.float32),
                has_face=np.array([clip_id not in faceless for clip_id in experiment.test_ids]),
                checkpoint=checkpoint,
                control=control,
                attention=None if weights is None else _spread(experiment, weights, otherwise=_NO_ATTENTION),
            )
        )
    return parts


def _of_seen_clips(
    experiment: Experiment, model: torch.nn.Module, device: torch.device, *, control: Control
) -> tuple[Floats, Floats | None]:
    """Return the logits of test clips with a face, and the attention to the frames of their filmstrips, if any."""
    root, seen, recipe = experiment.data.root, experiment.seen_test_ids, experiment.recipe
    dtype = autocast_dtype(recipe, device)
    is_shown = not control and sees_stored_frames(recipe) and not why_no_attention(model, recipe)
    if isinstance(model, LSTPNet) and is_shown:
        return predict_attending(model, root, seen, recipe=recipe, device=device, dtype=dtype)
    return predict_clips(model, root, seen, recipe=recipe, device=device, dtype=dtype, control=control), None


def _spread(experiment: Experiment, rows: Floats, *, otherwise: Floats) -> Floats:
    """Return a row for every test clip: of those with a face from `rows`, else `otherwise`."""
    by_id = dict(zip(experiment.seen_test_ids, rows, strict=True))
    return np.stack([by_id.get(clip_id, otherwise) for clip_id in experiment.test_ids])


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
        "model_sha256": source_sha256(experiment.recipe.model),
    }


def _init_sha256(init: Path | None) -> str | None:
    """Hash the start weights; CheckpointError if they are not there."""
    if init is None:
        return None
    if not init.is_file():
        raise CheckpointError(f"--init {init}: no such file")
    return sha256_file(init)


def _git_revision() -> str | None:
    """Return the commit of the working folder, for people who keep their experiments in git."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        line = ["git", "rev-parse", "HEAD"]
        done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=5)
        return done.stdout.strip() or None
    return None
