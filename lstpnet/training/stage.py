"""The loop over the epochs of one stage of a training."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from dfer_data.errors import DferError
from dfer_data.loading.clip_dataset import FaceClipDataset
from dfer_data.loading.epoch_order import class_shares
from dfer_data.loading.frame_cache import FrameCache
from dfer_data.loading.loader import Batch, ClipLoader
from lstpnet.batches.augment import Augmentation, augmented, mixed
from lstpnet.batches.device_prefetch import WaitingTime, on_device, sent
from lstpnet.batches.normalize import normalised
from lstpnet.device import autocast_dtype, num_threads
from lstpnet.evaluation.clip_logits import clips_per_batch, predict_clips
from lstpnet.metrics import confusion_matrix, predicted_classes, score
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.network_config import DIRICHLET
from lstpnet.training.classifier_input import WithClassifierInput
from lstpnet.training.compiled import compiled
from lstpnet.training.device_sums import DeviceSums, EpochTotals, batches_between_readings
from lstpnet.training.distributed import Group
from lstpnet.training.events import ClipsPredicted, EpochDone, OnStep, StepDone
from lstpnet.training.experiment import Experiment
from lstpnet.training.losses import TrainingLoss
from lstpnet.training.optim import build_optimizer, build_schedule, restore_optimizer, skip_if_bad
from lstpnet.training.shared_prediction import predict_together


@dataclass(frozen=True, eq=False, kw_only=True)
class Trainee:
    """What a training trains, on what, and with whom."""

    experiment: Experiment
    """Data, folds, recipe and seed."""
    dataset: FaceClipDataset
    """The training clips; the stage sets their epoch."""
    cache: FrameCache | None
    """Their decoded frames, shared by the stages; None: decode them in each epoch."""
    model: nn.Module
    """The model whose weights are stepped, on `device`."""
    average: AveragedModel | None
    """Exponential moving average of its weights, if the recipe asks for one."""
    device: torch.device
    """Device of model and batches."""
    group: Group
    """The processes that train together."""
    name: str
    """The checkpoint in training: `last` or `refit`."""
    on_step: OnStep
    """Called with the event of a batch, in the first process."""
    keep_memory: Callable[[], None]
    """Called after each step; see `freed_memory`."""

    @property
    def evaluated_model(self) -> nn.Module:
        """The model whose weights are evaluated and saved."""
        return self.model if self.average is None else self.average.module

    def share_buffers(self) -> None:
        """Give all processes the first one's batch norm statistics: they then hold one model, the one that is saved."""
        self.group.share_buffers(self.model)
        if self.average is not None:
            self.group.share_buffers(self.average)


class StageLoop:
    """Trains for the epochs of one stage."""

    def __init__(self, trainee: Trainee, *, stage: str, num_epochs: int, last_epoch: int) -> None:
        """`stage`: `frames` or `clips`; `num_epochs`: of the whole schedule; `last_epoch`: after which it ends."""
        self._trainee, self._stage, self._last_epoch = trainee, stage, last_epoch
        experiment, device, recipe = trainee.experiment, trainee.device, trainee.experiment.recipe
        self._experiment, self._device, self._recipe, self._group = experiment, device, recipe, trainee.group
        self._dataset, self._model = trainee.dataset, trainee.model
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
            cache=trainee.cache,
        )
        self._loss = TrainingLoss(recipe, counts=counts.tolist(), device=device, group=self._group)
        are_counts = recipe.votes_loss == DIRICHLET
        self._targets = (
            None
            if recipe.targets == "label"
            else experiment.soft_targets(self._dataset.clip_ids, are_counts=are_counts)
        )
        self._num_batches = self._loader.num_batches(1)
        steps = -(-self._num_batches // recipe.accumulate)
        self._optimizer = build_optimizer(self._model, recipe, is_fused=device.type in ("cpu", "cuda"))
        self._schedule = build_schedule(self._optimizer, recipe, num_epochs=num_epochs, steps_per_epoch=steps)
        self._rate = self._next_rate
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._dtype == torch.float16)
        self._sums, self._batches_between = DeviceSums(device), batches_between_readings(device)
        self._with_input = (
            WithClassifierInput(self._model, num_classes=len(counts), has_auxiliary=self._loss.needs_auxiliary)
            if self._loss.needs_features
            else None
        )
        trained_module = self._model if self._with_input is None else self._with_input
        self._wrapped = self._group.wrap(trained_module, device, uses_all=isinstance(self._model, ClipNetwork))
        sums_gradients = recipe.accumulate > 1
        self._compiled = compiled(self._wrapped, device, sums_gradients=sums_gradients) if recipe.compile else None

    def state(self) -> dict[str, Any]:
        """Return the states of optimiser, schedule, scaler and loss."""
        return {
            "loss": self._loss.state(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "rate": self._rate,
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state within this stage; a state at its start has no optimiser yet."""
        if "optimizer" in state:
            restore_optimizer(self._optimizer, state["optimizer"])
            self._schedule.load_state_dict(state["schedule"])
            self._rate = float(state.get("rate", self._next_rate))  # a state of an earlier version has none
            self._scaler.load_state_dict(state["scaler"])
            self._loss.restore(state.get("loss", {}))  # a state of an earlier version has none, and no such loss

    def close(self) -> None:
        """End the stage: the model is as it was, but for its weights."""
        if self._with_input is not None:
            self._with_input.close()

    def run_epoch(
        self,
        epoch: int,
        *,
        position: int,
        totals: EpochTotals,
        is_save_due: Callable[[], bool],
        save: Callable[[int, EpochTotals], None],
    ) -> EpochDone:
        """Train for the epoch from batch `position` on, to the sums in `totals`, and measure the held-out clips.

        `is_save_due` is asked after each step of the optimiser; then `save` is called with the batch to resume from.
        """
        start, seconds_before = time.perf_counter(), totals.seconds
        epoch_number = epoch + (1_000_000 if self._stage == "frames" else 0)
        self._begin_training(epoch_number)
        waiting = WaitingTime()
        for frames, labels, batch in waiting.timed(
            on_device(self._loader.epoch(epoch_number, start=position), self._device)
        ):
            is_read = self._is_reading_due(batch.next_position)
            self._step(frames, labels, batch, read_into=totals if is_read else None)
            totals.seen += len(batch.clip_ids)
            totals.seconds = seconds_before + time.perf_counter() - start
            totals.waiting_seconds += waiting.taken()
            if is_read:
                self._report(epoch, batch.next_position, totals)
            if self._ends_step(batch.next_position) and is_save_due():
                self._read(totals)
                save(batch.next_position, totals)
        sums = self._group.summed([totals.loss, totals.right, totals.seen])
        self._trainee.share_buffers()
        return EpochDone(
            self._trainee.name,
            self._stage,
            epoch,
            self._last_epoch,
            sums[0] / sums[2],
            sums[1] / sums[2],
            self._rate,
            seconds_before + time.perf_counter() - start,
            totals.waiting_seconds,
            *self._figures(self._experiment.val_ids),
            *self._figures(self._experiment.seen_test_ids if self._recipe.select == "test-best" else ()),
        )

    def _begin_training(self, epoch_number: int) -> None:
        self._model.train()
        if self._group.world_size > 1:  # dropout and drop path: each process has its own draws, in a resumed epoch too
            words = np.random.SeedSequence((self._experiment.seed, epoch_number, self._group.rank)).generate_state(2)
            torch.manual_seed(int(words.view(np.uint64)[0]) >> 1)
        if self._recipe.freeze_norms:
            for module in self._model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def _is_reading_due(self, next_position: int) -> bool:
        """Whether the sums are read with this batch: now and then, and with the last one; in all processes alike."""
        return next_position % self._batches_between == 0 or next_position == self._num_batches

    def _read(self, totals: EpochTotals) -> None:
        """Add the sums on the device to `totals`; raises DferError in all processes for a loss that was not finite."""
        if words := self._sums.read_into(totals, group=self._group):
            raise DferError(
                f"the loss became {words} in the {self._stage} stage; a lower learning_rate helps; "
                "checkpoints of earlier epochs are intact"
            )

    def _report(self, epoch: int, next_position: int, totals: EpochTotals) -> None:
        if self._group.is_first:
            means = (totals.loss / totals.seen, self._group.world_size * totals.seen / totals.seconds)
            counts = (next_position, self._num_batches)
            self._trainee.on_step(StepDone(self._stage, epoch, self._last_epoch, *counts, *means))

    def _ends_step(self, next_position: int) -> bool:
        return next_position % self._recipe.accumulate == 0 or next_position == self._num_batches

    def _step(self, frames: torch.Tensor, labels: torch.Tensor, batch: Batch, *, read_into: EpochTotals | None) -> None:
        """Add one batch's gradients, and step the optimiser after the last batch of a step."""
        pixels, targets = self._inputs(frames, labels, batch)
        ends_step = self._ends_step(batch.next_position)
        with contextlib.nullcontext() if ends_step else self._unsynced():
            with torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None):
                outputs = self._forward(pixels)
            logits, *more = outputs if isinstance(outputs, tuple) else (outputs,)
            loss = self._loss(logits.float(), targets, *(output.float() for output in more))
            self._sums.add(loss, logits, labels, group=self._group)
            if read_into is not None:
                self._read(read_into)  # before a loss that is not finite reaches the gradients
            self._scaler.scale(loss * self._share(batch)).backward()
        if ends_step:
            self._take_step()

    def _inputs(self, frames: torch.Tensor, labels: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the augmented clips (B, T, 3, H, W) and their targets, (B,) or (B, num_classes)."""
        recipe, seed, epoch = self._recipe, self._experiment.seed, self._dataset.epoch
        augmentation, clip_ids = Augmentation.of(recipe), batch.clip_ids
        pixels = normalised(augmented(frames, clip_ids, augmentation, seed=seed, epoch=epoch), norm=recipe.input_norm)
        targets = labels
        if self._targets is not None:
            soft_labels = np.stack([self._targets[clip_id] for clip_id in clip_ids])
            targets = sent(torch.from_numpy(soft_labels), self._device)  # (B, num_classes)
        num_classes = len(self._experiment.data.class_names)
        return mixed(pixels, targets, clip_ids, augmentation, num_classes=num_classes, seed=seed, epoch=epoch)

    def _forward(self, pixels: torch.Tensor) -> Any:
        """Compute logits, and what else the loss asks for; the odd last batch is never compiled."""
        is_whole = len(pixels) == self._recipe.batch_size
        module = self._compiled if self._compiled is not None and is_whole else self._wrapped
        return module(pixels)

    def _share(self, batch: Batch) -> float:
        """Return a batch's weight in its step: its share of the step's clips in all processes, because DDP averages."""
        size = self._recipe.batch_size * self._group.world_size
        first = (batch.next_position - 1) // self._recipe.accumulate * self._recipe.accumulate
        stop = first + self._recipe.accumulate
        num_clips = (stop * size if stop < self._num_batches else len(self._dataset)) - first * size
        return len(batch.clip_ids) * self._group.world_size / num_clips

    def _unsynced(self) -> contextlib.AbstractContextManager[None]:
        """Return a context that skips the exchange of gradients; the last batch of a step exchanges them."""
        wrapped = self._wrapped
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else contextlib.nullcontext()

    @property
    def _next_rate(self) -> float:
        """The learning rate of the next step; with layer decay, the greatest."""
        return max(float(rate) for rate in self._schedule.get_last_lr())

    def _take_step(self) -> None:
        self._rate = self._next_rate
        if self._recipe.clip_norm > 0:
            self._scaler.unscale_(self._optimizer)
            torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._recipe.clip_norm)
        if self._scaler.is_enabled():  # f16; it leaves out steps whose gradients are not finite
            scale = self._scaler.get_scale()
            self._scaler.step(self._optimizer)
            self._scaler.update()
            is_skipped = self._scaler.get_scale() < scale
        else:
            skip_if_bad(self._optimizer, self._sums.is_bad)
            self._optimizer.step()
            is_skipped = False
        self._optimizer.zero_grad(set_to_none=True)
        self._trainee.keep_memory()
        if is_skipped:
            return
        self._schedule.step()
        if self._trainee.average is not None:
            self._trainee.average.update_parameters(self._model)

    def _figures(self, clip_ids: Sequence[str]) -> tuple[float | None, float | None]:
        """Return WAR and UAR on the clips; None without clips or in the stage on frames."""
        if self._stage != "clips" or not clip_ids:
            return None, None
        data, recipe, model = self._experiment.data, self._recipe, self._trainee.evaluated_model
        options: dict[str, Any] = {"recipe": recipe, "device": self._device, "dtype": self._dtype}
        options["on_progress"] = self._note_predicted
        (logits,) = predict_together(
            lambda ids: (predict_clips(model, data, ids, **options),),
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
            self._trainee.on_step(ClipsPredicted(num_done, num_clips))
