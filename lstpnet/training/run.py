"""Train an experiment and write its run folder: settings, metrics, checkpoints, test predictions, run.json last."""

from __future__ import annotations

import contextlib
import copy
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from dfer_data.errors import LockedError
from dfer_data.inspection.id_order import neighbours_of
from dfer_data.loading.cache_places import CachePlace
from dfer_data.shards.layout import CARD_NAME
from dfer_data.storage.files import write_atomically
from dfer_data.types import Floats
from lstpnet.checkpoints.checkpoint import save_checkpoint
from lstpnet.checkpoints.custom_model import built_source
from lstpnet.checkpoints.start_weights import read_start_weights
from lstpnet.device import autocast_dtype, computed_precision, device_name
from lstpnet.evaluation.clip_logits import CONTROLS, Control, clips_per_batch, predict_attending, predict_clips
from lstpnet.evaluation.frame_attention import sees_default_frames, why_no_attention
from lstpnet.learning_curves import CURVES_NAME, draw_curves
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.variants import network_gmac
from lstpnet.predictions import Predictions, score_predictions
from lstpnet.predictions_table import write_predictions
from lstpnet.recipe import Recipe
from lstpnet.run_files import Files, facts_of, locked_run
from lstpnet.runs import (
    CHECKPOINTS_FOLDER,
    GMAC,
    METRICS_NAME,
    PREDICTION_MS,
    RUN_NAME,
    TEMPERATURES,
    RunInfo,
    read_config,
    read_epochs,
    read_run,
    write_config,
    write_run,
)
from lstpnet.training.distributed import ALONE, Group
from lstpnet.training.earlier_run import remove_old_run, run_state
from lstpnet.training.events import ClipsPredicted, EpochDone, OnStep
from lstpnet.training.experiment import Experiment, without_validation
from lstpnet.training.initial_model import initial_model
from lstpnet.training.model_card import model_card
from lstpnet.training.resume_state import FOLDER as STATES
from lstpnet.training.run_settings import run_settings
from lstpnet.training.shared_prediction import predict_together
from lstpnet.training.state_writer import readable_disk_errors
from lstpnet.training.temperature import held_out_temperature
from lstpnet.training.trainer import TrainingResult, fit


def train_run(
    experiment: Experiment,
    folder: Path,
    *,
    device: torch.device,
    init: Path | None = None,
    continues: bool = False,
    replaces: bool = True,
    save_seconds: float = 600.0,
    cache: CachePlace = "auto",
    group: Group = ALONE,
    on_event: Callable[[EpochDone], None] = lambda event: None,
    on_step: OnStep = lambda step: None,
) -> dict[str, Any]:
    """Train, predict the test clips once, and write everything to `folder`.

    Resumes the run there if `continues`, else replaces it. Without `replaces`, a run that is not as `continues` says,
    because another training has written it, is left alone: LockedError. Returns `results`: per checkpoint `war`, `uar`
    (0..1) and `n`; of several processes, only the first returns them. Raises what `fit` raises, and CheckpointError for
    an `init` file that does not fit, before it replaces anything.
    """
    # read `init` before anything is removed: it may not fit, or be in the folder
    content = None if init is None else read_start_weights(init)
    model, filled = initial_model(experiment, init=init, content=content)
    init_sha256 = None if content is None else facts_of(content).sha256
    run = _Run(
        experiment, folder, device, init_sha256, filled, continues, save_seconds, cache, group, on_event, on_step
    )
    if not group.is_first:
        group.wait()  # until the first process has made the folder
        for name, trained, _ in run.checkpoints(model):
            predict_test_clips(experiment, trained, device, checkpoint=name, group=group)
            held_out_temperature(experiment, trained, device, checkpoint=name, group=group)
        group.wait()  # until the first process has written the predictions
        return {"results": []}
    with locked_run(folder), readable_disk_errors(folder):
        if not replaces and run_state(folder, experiment, init=init) != ("begun" if continues else "absent"):
            raise LockedError(f"another training has written {folder} in the meantime; run the same command again")
        results = run.write(model)
    return {"results": results}


@dataclass(frozen=True)
class _Run:
    """Writes one run to its folder; the fields are the arguments of `train_run`."""

    experiment: Experiment
    folder: Path
    device: torch.device
    init_sha256: str | None
    filled: str
    continues: bool
    save_seconds: float
    cache: CachePlace
    group: Group
    on_event: Callable[[EpochDone], None]
    on_step: OnStep

    def write(self, model: nn.Module) -> list[dict[str, Any]]:
        """Write the whole folder; run.json, which marks the run as finished, comes last."""
        folder, experiment = self.folder, self.experiment
        if not self.continues:
            remove_old_run(folder)
        folder.mkdir(parents=True, exist_ok=True)
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
        config = self._config(model, num_parameters=num_parameters)
        write_config(folder, config)
        write_run(folder, self._info(checkpoints=(), finished=False))
        (folder / METRICS_NAME).touch()
        self.group.wait()
        predictions: list[Predictions] = []
        files: Files = {}
        temperatures: dict[str, float | None] = {}
        for name, trained, checkpoint_files in self.checkpoints(model):
            options: dict[str, Any] = {"checkpoint": name, "on_step": self.on_step, "group": self.group}
            start = time.perf_counter()
            parts = predict_test_clips(experiment, trained, self.device, **options)
            if num_predicted := len(parts) * len(experiment.seen_test_ids):
                config[PREDICTION_MS] = 1000 * (time.perf_counter() - start) / num_predicted
            predictions += parts
            temperatures[name] = held_out_temperature(experiment, trained, self.device, **options)
            files |= {f"{CHECKPOINTS_FOLDER}/{file}": facts for file, facts in checkpoint_files.items()}
        files |= write_predictions(folder, predictions)
        checkpoint_names = tuple(dict.fromkeys(prediction_set.checkpoint for prediction_set in predictions))
        write_atomically(folder / CURVES_NAME, draw_curves(read_epochs(folder)), work=folder)
        info = self._info(checkpoints=checkpoint_names, finished=True)
        card = model_card(experiment, info, predictions, num_parameters=num_parameters)
        write_atomically(folder / CARD_NAME, card.encode("utf-8"), work=folder)
        files[CARD_NAME] = facts_of(card.encode("utf-8"))
        if fitted := {name: temperature for name, temperature in temperatures.items() if temperature is not None}:
            config |= {TEMPERATURES: fitted}
        write_config(folder, config, names=(METRICS_NAME, CURVES_NAME))
        write_run(folder, info, files=files)
        shutil.rmtree(folder / STATES, ignore_errors=True)
        self.group.wait()
        return [_result(prediction_set, experiment) for prediction_set in predictions if not prediction_set.control]

    def checkpoints(self, model: nn.Module) -> Iterator[tuple[str, nn.Module, Files]]:
        """Train, and yield each checkpoint's name, the model that holds its weights, and its files, once on disk."""
        recipe = self.experiment.recipe
        start_weights = copy.deepcopy(model.state_dict()) if recipe.refit else {}
        trained = self._fit(self.experiment, model)
        yield "last", trained.model, trained.files
        for name, best_epoch in (("best", trained.best), ("test-best", trained.test_best)):
            if best_epoch is not None:
                trained.model.load_state_dict(best_epoch.weights)
                files: Files = {}
                if self.group.is_first:
                    facts = {"stage": "clips", "epoch": best_epoch.epoch, "recipe_sha256": recipe.sha256}
                    path = self.folder / CHECKPOINTS_FOLDER / f"{name}.safetensors"
                    files = save_checkpoint(trained.model, path, facts=facts)
                yield name, trained.model, files
        if recipe.refit and trained.best is not None:
            model.load_state_dict(start_weights)
            torch.manual_seed(self.experiment.seed)
            whole_train = without_validation(self.experiment)
            refitted = self._fit(whole_train, model, stop_after=trained.best.epoch, name="refit")
            yield "refit", refitted.model, refitted.files

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
            cache=self.cache,
            group=self.group,
            on_step=self.on_step,
        )

    def _config(self, model: nn.Module, *, num_parameters: int) -> dict[str, Any]:
        """Return the content of config.json; a resumed run keeps the old content and adds this session."""
        session = {
            "date": datetime.now(UTC).date().isoformat(),
            "dfer": version("dfer"),
            "device": str(self.device),
            "device_name": device_name(self.device),
            "computed_precision": computed_precision(self.experiment.recipe, self.device),
            "num_threads": torch.get_num_threads(),
            "world_size": self.group.world_size,
            "torch": torch.__version__,
        }
        if self.continues:
            info = read_run(self.folder) if (self.folder / RUN_NAME).is_file() else None
            old_config = read_config(self.folder, info)
            return {**old_config, "resumed": [*old_config.get("resumed", []), session]}
        source = built_source(self.experiment.recipe.model)
        settings = run_settings(self.experiment, init_sha256=self.init_sha256)
        if source is not None:  # the files that were run, though they may have changed since
            settings["model_sha256"] = source.sha256
        return {
            "settings": settings,
            "model_files": {} if source is None else dict(source.sha256s),
            "origins": dict(self.experiment.resolved.origins),
            **session,
            "num_parameters": num_parameters,
            GMAC: _gmac(model, self.experiment.recipe),
            "git_revision": _git_revision(),
            "start_weights": self.filled,
        }

    def _info(self, *, checkpoints: tuple[str, ...], finished: bool) -> RunInfo:
        return _info(self.experiment, checkpoints=checkpoints, finished=finished, init_sha256=self.init_sha256)


def predict_test_clips(
    experiment: Experiment,
    model: torch.nn.Module,
    device: torch.device,
    *,
    checkpoint: str,
    on_step: OnStep = lambda step: None,
    group: Group = ALONE,
) -> list[Predictions]:
    """Predict every test clip, unchanged and under the recipe's controls; those without a face get the train prior.

    All processes of `group` call it, predict a share each, and return all predictions. `on_step` receives
    ClipsPredicted.
    Raises NonFiniteError that names the clips whose logits are not finite.
    """
    recipe, faceless = experiment.recipe, set(experiment.faceless_test_ids)
    no_attention = np.full(recipe.num_frames, np.nan, np.float32)
    controls: tuple[Control, ...] = ("", *CONTROLS) if recipe.controls and checkpoint == "last" else ("",)
    predictions = []
    for control in controls:
        options: dict[str, Any] = {"control": control, "on_step": on_step, "group": group}
        seen_logits, seen_attention = _predict_seen_clips(experiment, model, device, **options)
        logits = _test_rows(experiment, seen_logits, fill=experiment.prior_logits())
        predictions.append(
            Predictions(
                clip_ids=experiment.test_ids,
                labels=tuple(experiment.data.index(experiment.test_ids)["label"].to_pylist()),
                logits=logits.astype(np.float32),
                has_face=np.array([clip_id not in faceless for clip_id in experiment.test_ids]),
                checkpoint=checkpoint,
                control=control,
                attention=None if seen_attention is None else _test_rows(experiment, seen_attention, fill=no_attention),
            )
        )
    return predictions


def _predict_seen_clips(
    experiment: Experiment,
    model: torch.nn.Module,
    device: torch.device,
    *,
    control: Control,
    on_step: OnStep,
    group: Group,
) -> tuple[Floats, Floats | None]:
    """Return the logits of the test clips with a face, and the attention to the frames of their filmstrips, if any."""
    root, clip_ids, recipe = experiment.data.root, experiment.seen_test_ids, experiment.recipe
    options: dict[str, Any] = {"recipe": recipe, "device": device, "dtype": autocast_dtype(recipe, device)}
    options["on_progress"] = lambda num_done, num_clips: on_step(ClipsPredicted(num_done, num_clips))
    has_attention = not control and sees_default_frames(recipe) and not why_no_attention(model, recipe)

    def predict(ids: Sequence[str]) -> tuple[Floats, ...]:
        if isinstance(model, LSTPNet) and has_attention:
            return predict_attending(model, root, ids, **options)
        return (predict_clips(model, root, ids, control=control, **options),)

    if not clip_ids:
        return np.zeros((0, 0), np.float32), None
    logits, *attention = predict_together(predict, clip_ids, batch_size=clips_per_batch(recipe), group=group)
    return logits, attention[0] if attention else None


def _test_rows(experiment: Experiment, rows: Floats, *, fill: Floats) -> Floats:
    """Return one row per test clip: from `rows` for clips with a face, else `fill`."""
    by_id = dict(zip(experiment.seen_test_ids, rows, strict=True))
    return np.stack([by_id.get(clip_id, fill) for clip_id in experiment.test_ids])


def _result(predictions: Predictions, experiment: Experiment) -> dict[str, Any]:
    scores = score_predictions(predictions, experiment.data.class_names).scores
    return {"checkpoint": predictions.checkpoint, "war": scores.war, "uar": scores.uar, "n": len(predictions.clip_ids)}


def _info(experiment: Experiment, *, checkpoints: tuple[str, ...], finished: bool, init_sha256: str | None) -> RunInfo:
    document, identity, fold = experiment.data.document, experiment.identity, str(experiment.fold)
    return RunInfo(
        dataset=document["dataset"],
        prepared=experiment.prepared,
        dataset_sha256=identity.content_sha256,
        labels_sha256=identity.labels_sha256,
        folds_sha256=identity.folds_sha256,
        fold_set=experiment.fold_set,
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
        pipeline_version=document.get("pipeline_version", 1),
        id_order=neighbours_of(experiment.data, fold=fold, fold_set=experiment.fold_set).verdict if finished else "",
    )


def _gmac(model: nn.Module, recipe: Recipe) -> float | None:
    if not isinstance(model, ClipNetwork):
        return None
    return network_gmac(model, num_frames=recipe.num_frames, size_px=recipe.size_px)


def _git_revision() -> str | None:
    """Return the git commit of the working folder, for experiments kept in git; None without one."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["git", "rev-parse", "HEAD"]
        process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
        return process.stdout.strip() or None
    return None
