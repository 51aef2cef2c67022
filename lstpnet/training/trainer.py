"""Train one experiment: a stage on single frames, then one on clips; `run.py` predicts the test clips once at the end.

Plain PyTorch on CUDA, MPS or CPU. On one CPU machine with the same number of threads, equal settings and seeds give
equal numbers.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dfer_data.detect.cuda_float32 import float32_products
from dfer_data.errors import CorruptDataError, DferError
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw, Sampling
from dfer_data.loading.epoch_order import class_shares
from dfer_data.loading.loader import Batch, ClipLoader
from dfer_data.storage.files import canonical_json, write_atomically
from lstpnet.batches.augment import Augmentation, augmented, mixed
from lstpnet.batches.device_prefetch import WaitingTime, on_device
from lstpnet.batches.normalize import normalised
from lstpnet.checkpoints.checkpoint import save_checkpoint
from lstpnet.device import autocast_dtype, num_threads, readable_out_of_memory
from lstpnet.errors import CheckpointError
from lstpnet.evaluation.clip_logits import clips_per_batch, predict_clips
from lstpnet.metrics import confusion_matrix, predicted_classes, score
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.recipe import Recipe
from lstpnet.run_files import Files, files_of
from lstpnet.runs import CHECKPOINTS_FOLDER, METRICS_NAME
from lstpnet.training.dead_biases import freeze_dead_biases
from lstpnet.training.distributed import ALONE, Group
from lstpnet.training.events import ClipsPredicted, EpochDone, OnStep, StepDone
from lstpnet.training.experiment import Experiment
from lstpnet.training.losses import TrainingLoss
from lstpnet.training.optim import build_optimizer, build_schedule
from lstpnet.training.resume_state import load_state, save_state, state_path
from lstpnet.training.shared_prediction import predict_together

_MEMORY_BYTES = 1 << 30  # decoded training clips stay in memory up to this size


@dataclass(frozen=True)
class BestEpoch:
    """The weights of a selected epoch."""

    epoch: int
    """Number of the epoch in the stage on clips, from 1."""
    figure: float
    """Value of the recipe's `select_by`, 0..1."""
    weights: dict[str, torch.Tensor]
    """State dict of the model."""


@dataclass(frozen=True)
class TrainingResult:
    """The trained model and its best epochs, in memory."""

    model: nn.Module
    """The model with the weights of the last epoch."""
    best: BestEpoch | None
    """The first epoch with the best held-out figure; None without held-out clips."""
    test_best: BestEpoch | None
    """The same for the test clips; None unless the recipe selects on them."""
    files: Files
    """Size and hash of the files of its last checkpoint, as they were written."""


def fit(
    experiment: Experiment,
    model: nn.Module,
    *,
    folder: Path,
    device: torch.device,
    on_event: Callable[[EpochDone], None],
    stop_after: int | None = None,
    name: str = "last",
    save_seconds: float = 600.0,
    group: Group = ALONE,
    on_step: OnStep = lambda step: None,
) -> TrainingResult:
    """Train `model`, append to metrics.jsonl in `folder`, and write the checkpoint `name` there after each epoch.

    Resumes from a state of the same training in `folder`; a state is saved after each epoch and, within an epoch, every
    `save_seconds`. `stop_after`: stop after that epoch of the stage on clips; the schedule stays that of all epochs.

    Raises DferError when the loss or weights are not finite, or memory or disk are full (the last good checkpoint and
    state stay), NonFiniteError for clips whose logits are not finite, CorruptDataError for damaged clips, a damaged
    state or other metrics than the state was saved with, CheckpointError for the state of another recipe.
    """
    is_tf32 = experiment.recipe.precision == "tf32"
    with _readable_failures(experiment.recipe, folder, device), float32_products(device.type, is_tf32=is_tf32):
        model.to(device)
        training = _Training(
            experiment,
            model,
            folder=folder,
            device=device,
            name=name,
            save_seconds=save_seconds,
            group=group,
            on_step=on_step,
        )
        return training.run(on_event, stop_after=stop_after)


@contextlib.contextmanager
def _readable_failures(recipe: Recipe, folder: Path, device: torch.device) -> Iterator[None]:
    """Turn errors of memory and disk into one-line errors."""
    intact = "the last good checkpoint and state are intact"
    doing = f"with batch_size {recipe.batch_size} at {recipe.size_px} px"
    remedy = "halve batch_size and double accumulate, or set recompute = true; the run resumes from its last state"
    try:
        with readable_out_of_memory(device, doing=doing, remedy=remedy):
            yield
    except RuntimeError as error:
        if "PytorchStreamWriter" in str(error) or "unexpected pos" in str(error):
            raise DferError(f"cannot write {folder}: is the disk full? {intact}; make room and run again") from error
        raise
    except BrokenPipeError:  # from the listener of the events, not from the disk
        raise
    except (OSError, SafetensorError) as error:
        raise DferError(f"cannot write {folder}: {error}; {intact}; make room and run again") from error


def _better(
    best: BestEpoch | None, war: float | None, uar: float | None, epoch: int, model: nn.Module, recipe: Recipe
) -> BestEpoch | None:
    """Return this epoch if there is no best one or this is better, else the best one."""
    if war is None or uar is None:
        return best
    figure = {"war": war, "uar": uar, "war+uar": (war + uar) / 2}[recipe.select_by]
    if best is not None and figure <= best.figure:
        return best
    return BestEpoch(epoch, figure, copy.deepcopy(model.state_dict()))


@dataclass
class _Totals:
    """Sums of an epoch over the clips of this process."""

    loss: float = 0.0
    right: int = 0
    seen: int = 0
    seconds: float = 0.0
    waiting_seconds: float = 0.0


class _Training:
    """Trains a model through the stages of a recipe."""

    def __init__(
        self,
        experiment: Experiment,
        model: nn.Module,
        *,
        folder: Path,
        device: torch.device,
        name: str,
        save_seconds: float,
        group: Group,
        on_step: OnStep,
    ) -> None:
        self._experiment, self._model, self._device = experiment, model, device
        self._recipe, self._name, self._folder, self._group = experiment.recipe, name, folder, group
        self._save_seconds, self._last_save = save_seconds, time.monotonic()
        self.on_step = on_step
        self._best: BestEpoch | None = None
        self._test_best: BestEpoch | None = None
        self._files: Files = {}
        self._dataset = _train_clips(experiment, device=device)
        if not self._recipe.freeze_norms:
            freeze_dead_biases(model)
        self._average = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self._recipe.ema)) if self._recipe.ema else None
        )

    @property
    def _evaluated_model(self) -> nn.Module:
        """The model whose weights are evaluated and saved."""
        return self._model if self._average is None else self._average.module

    def run(self, on_event: Callable[[EpochDone], None], *, stop_after: int | None) -> TrainingResult:
        recipe = self._recipe
        stages: tuple[tuple[str, Sampling, int], ...] = (
            ("frames", "frame", recipe.frame_epochs),
            ("clips", "train", recipe.epochs if stop_after is None else stop_after),
        )
        # the first process reads the file: another machine may not have it, or have another
        state = self._group.from_first(lambda: self._state_to_resume(num_stages=len(stages)))
        if state is not None:
            self._restore(state)
        first_stage = 0 if state is None else int(state["stage"])
        for stage_index, (stage, sampling, num_epochs) in enumerate(stages):
            if num_epochs == 0 or stage_index < first_stage:
                continue
            self._dataset.sampling = sampling
            schedule_epochs = recipe.epochs if stage == "clips" else num_epochs
            loop = _Stage(self, stage=stage, number=stage_index, num_epochs=schedule_epochs)
            first_epoch, position, totals = 1, 0, _Totals()
            if state is not None and stage_index == first_stage:
                first_epoch, position = int(state["epoch"]), int(state["position"])
                totals = _Totals(*state["totals"])
                loop.restore(state)
            for epoch in range(first_epoch, num_epochs + 1):
                event = loop.run_epoch(epoch, position=position, totals=totals)
                position, totals = 0, _Totals()
                self._finish_epoch(event, stage=stage, epoch=epoch)
                is_last = epoch == num_epochs
                no_totals = _Totals()
                if is_last:
                    self.save(stage=stage_index + 1, epoch=1, position=0, totals=no_totals, loop={})
                else:
                    self.save(stage=stage_index, epoch=epoch + 1, position=0, totals=no_totals, loop=loop.state())
                if self._group.is_first:
                    on_event(event)
        return TrainingResult(self._evaluated_model, self._best, self._test_best, self._files)

    def _state_to_resume(self, *, num_stages: int) -> dict[str, Any] | None:
        """Read the state, if any, check it, and remove the metrics written after it."""
        state = load_state(state_path(self._folder, self._name))
        if state is not None and state["recipe_sha256"] != self._recipe.sha256:
            raise CheckpointError(f"{self._folder} holds the state of another recipe; --force trains from the start")
        is_over = state is not None and int(state["stage"]) == num_stages
        if state is not None:
            _check_metrics(self._folder / METRICS_NAME, state)
        if not is_over:  # after the end, lines of a later training may follow
            _rewind(self._folder / METRICS_NAME, self._name, None if state is None else int(state["metrics_bytes"]))
        return state

    def share_buffers(self) -> None:
        """Give all processes the first one's batch norm statistics: they then hold one model, the one that is saved."""
        self._group.share_buffers(self._model)
        if self._average is not None:
            self._group.share_buffers(self._average)

    def _finish_epoch(self, event: EpochDone, *, stage: str, epoch: int) -> None:
        """Check the weights, keep the best epoch, write metrics and the checkpoint."""
        is_finite = all(bool(tensor.isfinite().all()) for tensor in self._evaluated_model.state_dict().values())
        if not self._group.all_true(is_finite):
            raise DferError(
                f"weights became infinite in epoch {epoch} of the {stage} stage; a lower learning_rate helps; "
                "checkpoints of earlier epochs are intact"
            )
        if stage == "clips":
            self._best = _better(self._best, event.val_war, event.val_uar, epoch, self._evaluated_model, self._recipe)
            self._test_best = _better(
                self._test_best, event.test_war, event.test_uar, epoch, self._evaluated_model, self._recipe
            )
        if not self._group.is_first:
            return
        with (self._folder / METRICS_NAME).open("ab") as file:
            file.write(canonical_json(asdict(event)))
        facts = {"stage": stage, "epoch": epoch, "recipe_sha256": self._recipe.sha256}
        path = self._folder / CHECKPOINTS_FOLDER / f"{self._name}.safetensors"
        self._files = save_checkpoint(self._evaluated_model, path, facts=facts)

    def save(self, *, stage: int, epoch: int, position: int, totals: _Totals, loop: Mapping[str, Any]) -> None:
        """Write the state from which training resumes at this position."""
        self._last_save = time.monotonic()
        if not self._group.is_first:
            return
        metrics = (self._folder / METRICS_NAME).read_bytes()
        state = {
            "recipe_sha256": self._recipe.sha256,
            "stage": stage,
            "epoch": epoch,
            "position": position,
            "totals": list(astuple(totals)),
            "metrics_bytes": len(metrics),
            "metrics_sha256": hashlib.sha256(metrics).hexdigest(),
            "files": {name: asdict(facts) for name, facts in self._files.items()},
            "model": self._model.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "best": None if self._best is None else asdict_shallow(self._best),
            "test_best": None if self._test_best is None else asdict_shallow(self._test_best),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
            **loop,
        }
        save_state(state_path(self._folder, self._name), state)

    def is_save_due(self) -> bool:
        """Whether a state is due within the epoch; only for a single process, as several would have to agree."""
        return self._group.world_size == 1 and time.monotonic() - self._last_save >= self._save_seconds

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._model.load_state_dict(state["model"])
        self._files = files_of(state)
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._best = None if state["best"] is None else BestEpoch(**state["best"])
        self._test_best = None if state["test_best"] is None else BestEpoch(**state["test_best"])
        torch.set_rng_state(state["random"])
        if self._device.type == "cuda" and state["cuda_random"] is not None:
            torch.cuda.set_rng_state(state["cuda_random"], self._device)


class _Stage:
    """The loop over the epochs of one stage."""

    def __init__(self, training: _Training, *, stage: str, number: int, num_epochs: int) -> None:
        self._training, self._stage, self._number, self._num_epochs = training, stage, number, num_epochs
        experiment, device, recipe = training._experiment, training._device, training._recipe
        self._experiment, self._device, self._recipe, self._group = experiment, device, recipe, training._group
        self._dataset, self._model = training._dataset, training._model
        self._dtype = autocast_dtype(recipe, device)
        counts = np.bincount(self._dataset.labels, minlength=len(experiment.data.class_names))
        shares = class_shares(self._dataset.labels, num_classes=len(counts), power=recipe.class_power)
        self._loader = ClipLoader(
            self._dataset,
            batch_size=recipe.batch_size,
            num_threads=num_threads(device),
            rank=self._group.rank,
            world_size=self._group.world_size,
            pins=device.type == "cuda",
            shares=None if recipe.class_sampling == "natural" else shares,
        )
        self._loss = TrainingLoss(recipe, counts=counts.tolist(), device=device)
        self._targets = experiment.soft_targets(self._dataset.clip_ids) if recipe.targets == "votes" else None
        self._num_batches = self._loader.num_batches(1)
        steps = -(-self._num_batches // recipe.accumulate)
        self._optimizer = build_optimizer(self._model, recipe)
        self._schedule = build_schedule(self._optimizer, recipe, num_epochs=num_epochs, steps_per_epoch=steps)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._dtype == torch.float16)
        trained_module = _WithFeatures(self._model) if self._loss.needs_features else self._model
        self._wrapped = self._group.wrap(trained_module, device)
        self._forward = torch.compile(self._wrapped) if recipe.compile else self._wrapped

    def state(self) -> dict[str, Any]:
        """Return the states of optimiser, schedule and scaler."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state within this stage; a state at its start has no optimiser yet."""
        if "optimizer" in state:
            self._optimizer.load_state_dict(state["optimizer"])
            self._schedule.load_state_dict(state["schedule"])
            self._scaler.load_state_dict(state["scaler"])

    def run_epoch(self, epoch: int, *, position: int, totals: _Totals) -> EpochDone:
        start, seconds_before = time.perf_counter(), totals.seconds
        epoch_number = epoch + (1_000_000 if self._stage == "frames" else 0)
        self._model.train()
        if self._recipe.freeze_norms:
            for module in self._model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        waiting = WaitingTime()
        for frames, labels, batch in waiting.timed(
            on_device(self._loader.epoch(epoch_number, start=position), self._device)
        ):
            loss, num_right = self._step(frames, labels, batch)
            totals.loss += loss * len(batch.clip_ids)
            totals.right += num_right
            totals.seen += len(batch.clip_ids)
            totals.seconds = seconds_before + time.perf_counter() - start
            totals.waiting_seconds += waiting.taken()
            if self._group.is_first:
                means = (totals.loss / totals.seen, self._group.world_size * totals.seen / totals.seconds)
                counts = (batch.next_position, self._num_batches)
                self._training.on_step(StepDone(self._stage, epoch, self._num_epochs, *counts, *means))
            if self._ends_step(batch.next_position) and self._training.is_save_due():
                self._training.save(
                    stage=self._number, epoch=epoch, position=batch.next_position, totals=totals, loop=self.state()
                )
        sums = self._group.summed([totals.loss, totals.right, totals.seen])
        self._training.share_buffers()
        return EpochDone(
            self._training._name,
            self._stage,
            epoch,
            self._num_epochs,
            sums[0] / sums[2],
            sums[1] / sums[2],
            max(float(rate) for rate in self._schedule.get_last_lr()),
            seconds_before + time.perf_counter() - start,
            totals.waiting_seconds,
            *self._figures(self._experiment.val_ids),
            *self._figures(self._experiment.seen_test_ids if self._recipe.select == "test-best" else ()),
        )

    def _ends_step(self, next_position: int) -> bool:
        return next_position % self._recipe.accumulate == 0 or next_position == self._num_batches

    def _step(self, frames: torch.Tensor, labels: torch.Tensor, batch: Batch) -> tuple[float, int]:
        """Add one batch's gradients, and step the optimiser after the last batch of a step."""
        recipe, seed, epoch = self._recipe, self._experiment.seed, self._dataset.epoch
        augmentation, clip_ids = Augmentation.of(recipe), batch.clip_ids
        pixels = normalised(augmented(frames, clip_ids, augmentation, seed=seed, epoch=epoch), norm=recipe.input_norm)
        num_classes = len(self._experiment.data.class_names)
        targets = labels
        if self._targets is not None:
            soft_labels = np.stack([self._targets[clip_id] for clip_id in clip_ids])
            targets = torch.from_numpy(soft_labels).to(labels.device)  # (B, num_classes)
        pixels, targets = mixed(
            pixels, targets, clip_ids, augmentation, num_classes=num_classes, seed=seed, epoch=epoch
        )
        ends_step = self._ends_step(batch.next_position)
        with contextlib.nullcontext() if ends_step else self._unsynced():
            with torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None):
                outputs = self._forward(pixels)
            logits, features = outputs if isinstance(outputs, tuple) else (outputs, None)
            loss = self._loss(logits.float(), targets, None if features is None else features.float())
            value = loss.item()
            if not self._group.all_true(bool(np.isfinite(value))):  # all processes stop at the same step
                words = "infinite or NaN in another process" if np.isfinite(value) else str(value)
                raise DferError(
                    f"the loss became {words} in the {self._stage} stage; a lower learning_rate helps; "
                    "checkpoints of earlier epochs are intact"
                )
            self._scaler.scale(loss * self._share(batch)).backward()
        if ends_step:
            self._take_step()
        return value, int((logits.argmax(1) == labels).sum())

    def _share(self, batch: Batch) -> float:
        """Return a batch's weight in its step: its share of all processes' clips, scaled up because DDP averages."""
        first_batch = (batch.next_position - 1) // self._recipe.accumulate * self._recipe.accumulate
        num_batches = min(self._recipe.accumulate, self._num_batches - first_batch)
        return len(batch.clip_ids) * self._group.world_size / batch.num_clips_of_all / num_batches

    def _unsynced(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that skips the exchange of gradients; the last batch of a step exchanges them."""
        wrapped = self._wrapped
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else contextlib.nullcontext()

    def _take_step(self) -> None:
        if self._recipe.clip_norm > 0:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.clip_norm)
        scale = self._scaler.get_scale()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        if self._scaler.get_scale() < scale:
            return  # the scale was too large for f16, so the optimiser took no step
        self._schedule.step()
        if self._training._average is not None:
            self._training._average.update_parameters(self._model)

    def _figures(self, clip_ids: Sequence[str]) -> tuple[float | None, float | None]:
        """Return WAR and UAR on the clips; None without clips or in the stage on frames."""
        if self._stage != "clips" or not clip_ids:
            return None, None
        data, recipe, model = self._experiment.data, self._recipe, self._training._evaluated_model
        options: dict[str, Any] = {"recipe": recipe, "device": self._device, "dtype": self._dtype}
        options["on_progress"] = self._note_predicted
        (logits,) = predict_together(
            lambda ids: (predict_clips(model, data.root, ids, **options),),
            clip_ids,
            batch_size=clips_per_batch(recipe),
            group=self._group,
        )
        labels = [data.class_names.index(label) for label in data.index(clip_ids)["label"].to_pylist()]
        guesses = predicted_classes(logits)
        scores = score(confusion_matrix(labels, guesses, num_classes=len(data.class_names)))
        return self._group.from_first(lambda: (scores.war, scores.uar))

    def _note_predicted(self, num_done: int, num_clips: int) -> None:
        if self._group.is_first:
            self._training.on_step(ClipsPredicted(num_done, num_clips))


class _WithFeatures(nn.Module):
    """LSTPNet that also returns the input of its classifier."""

    model: LSTPNet

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.add_module("model", model)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.model.features(x)
        logits: torch.Tensor = self.model.fc(features)
        return logits, features


def asdict_shallow(chosen: BestEpoch) -> dict[str, Any]:
    """Return the fields by name without a copy; dataclasses.asdict would copy every weight."""
    return {field.name: getattr(chosen, field.name) for field in fields(chosen)}


def _check_metrics(path: Path, state: Mapping[str, Any]) -> None:
    """Raise CorruptDataError unless the file begins with the lines that were there when the state was saved."""
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content[: int(state["metrics_bytes"])]).hexdigest() != state["metrics_sha256"]:
        raise CorruptDataError(f"{path} is damaged: it does not match the state; --force trains from the start")


def _rewind(path: Path, name: str, num_bytes: int | None) -> None:
    """Remove the lines written after the state; without a state, all lines of this checkpoint."""
    path.touch()
    content = path.read_bytes()
    kept_content = content[:num_bytes]
    if num_bytes is None:
        # a kill may cut the last line
        complete_lines = [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]
        kept_content = b"".join(line for line in complete_lines if json.loads(line)["checkpoint"] != name)
    if kept_content != content:
        write_atomically(path, kept_content)


def _train_clips(experiment: Experiment, *, device: torch.device) -> FaceClipDataset:
    """Open the training clips, decoded once for all stages and kept in memory if no loader thread runs and they fit."""
    rows, size_px = experiment.data.clips, experiment.recipe.size_px
    num_frames = int(rows["num_frames"][rows["clip_id"].isin(experiment.train_ids)].sum())
    return FaceClipDataset(
        experiment.data.root,
        clip_ids=experiment.train_ids,
        size_px=size_px,
        keep_in_memory=num_threads(device) == 0 and num_frames * 3 * size_px**2 <= _MEMORY_BYTES,
        draw=FrameDraw(sampler=experiment.recipe.sampler, short=experiment.recipe.short, seed=experiment.seed),
    )
