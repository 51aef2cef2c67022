"""Train one experiment: a stage on single frames, then one on clips; `run.py` predicts the test clips once at the end.

Plain PyTorch on CUDA, MPS or CPU. On one CPU machine with the same number of threads, equal settings and seeds give
equal numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dfer_data.detect.cuda_float32 import float32_products
from dfer_data.errors import CorruptDataError, DferError
from dfer_data.loading.cache_places import CachePlace
from dfer_data.loading.clip_dataset import Sampling
from dfer_data.loading.frame_cache import open_cache
from dfer_data.storage.files import canonical_json, write_atomically
from dfer_data.wording import counted
from lstpnet.batches.freed_memory import freed_memory
from lstpnet.batches.recipe_clips import clips_of_recipe
from lstpnet.device import readable_out_of_memory, reproducible
from lstpnet.errors import CheckpointError
from lstpnet.metrics import selection_figure
from lstpnet.recipe import Recipe
from lstpnet.run_files import Files, files_of
from lstpnet.runs import METRICS_NAME
from lstpnet.training.dead_biases import freeze_dead_biases
from lstpnet.training.device_sums import EpochTotals
from lstpnet.training.distributed import ALONE, Group
from lstpnet.training.events import EpochDone, OnStep
from lstpnet.training.experiment import Experiment
from lstpnet.training.resume_state import load_state, state_path
from lstpnet.training.stage import StageLoop, Trainee
from lstpnet.training.state_writer import PAUSE_SECONDS, Save, StateWriter, host_copy, readable_disk_errors


@dataclass(frozen=True)
class BestEpoch:
    """The weights of a selected epoch."""

    epoch: int
    """Number of the epoch in the stage on clips, from 1."""
    figure: float
    """Value of the recipe's `select_by`, 0..1."""
    weights: dict[str, torch.Tensor]
    """State dict of the model, in host memory."""


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
    cache: CachePlace = "auto",
    group: Group = ALONE,
    on_step: OnStep = lambda step: None,
) -> TrainingResult:
    """Train `model`, append to metrics.jsonl in `folder`, and write the checkpoint `name` there after each epoch.

    Resumes from a state of the same training in `folder`; a state is saved after each epoch and, within an epoch, every
    `save_seconds`. A thread writes both; ends of epochs within a few seconds share a write, and what was
    saved last is on disk when this function returns or raises.
    `stop_after`: stop after that epoch of the stage on clips; the schedule stays that of all epochs.
    `cache`: where decoded training clips stay between epochs.

    Raises DferError when the loss or weights are not finite, or memory or disk are full (the last good checkpoint and
    state stay), NonFiniteError for clips whose logits are not finite, CorruptDataError for damaged clips, a damaged
    state or other metrics than the state was saved with, CheckpointError for the state of another recipe.
    """
    recipe = experiment.recipe
    with contextlib.ExitStack() as stack:
        stack.enter_context(_readable_failures(recipe, folder, device))
        stack.enter_context(float32_products(device.type, is_tf32=recipe.precision == "tf32"))
        stack.enter_context(reproducible(device, is_on=recipe.deterministic))
        keep_memory = stack.enter_context(freed_memory(device, is_kept=not recipe.recompute))
        model.to(device)
        training = _Training(
            experiment,
            model,
            folder=folder,
            device=device,
            name=name,
            save_seconds=save_seconds,
            cache=cache,
            group=group,
            on_step=on_step,
            keep_memory=keep_memory,
        )
        return training.run(on_event, stop_after=stop_after)


@contextlib.contextmanager
def _readable_failures(recipe: Recipe, folder: Path, device: torch.device) -> Iterator[None]:
    """Turn errors of memory and disk into one-line errors."""
    doing = f"with batch_size {recipe.batch_size} at {recipe.size_px} px"
    remedy = "halve batch_size and double accumulate, or set recompute = true; the run resumes from its last state"
    with readable_disk_errors(folder), readable_out_of_memory(device, doing=doing, remedy=remedy):
        yield


def _better(
    best: BestEpoch | None, war: float | None, uar: float | None, epoch: int, model: nn.Module, recipe: Recipe
) -> BestEpoch | None:
    """Return this epoch if there is no best one or this is better, else the best one."""
    if war is None or uar is None:
        return best
    figure = selection_figure(war, uar, select_by=recipe.select_by)
    if best is not None and figure <= best.figure:
        return best
    return BestEpoch(epoch, figure, host_copy(model.state_dict()))


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
        cache: CachePlace,
        group: Group,
        on_step: OnStep,
        keep_memory: Callable[[], None],
    ) -> None:
        self._model, self._device = model, device
        self._recipe, self._name, self._folder, self._group = experiment.recipe, name, folder, group
        self._save_seconds, self._last_save = save_seconds, time.monotonic()
        self._best: BestEpoch | None = None
        self._test_best: BestEpoch | None = None
        self._writer = StateWriter(folder, name, pause_seconds=min(PAUSE_SECONDS, save_seconds))
        if not self._recipe.freeze_norms:
            freeze_dead_biases(model)
        self._average = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self._recipe.ema)) if self._recipe.ema else None
        )
        dataset = clips_of_recipe(experiment.data, experiment.train_ids, self._recipe, seed=experiment.seed)
        self._trainee = Trainee(
            experiment=experiment,
            dataset=dataset,
            cache=open_cache(cache, dataset, device),
            model=model,
            average=self._average,
            device=device,
            group=group,
            name=name,
            on_step=on_step,
            keep_memory=keep_memory,
        )
        self._evaluated_model = self._trainee.evaluated_model

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
        with self._writer:
            for stage_index, (stage, sampling, num_epochs) in enumerate(stages):
                if num_epochs == 0 or stage_index < first_stage:
                    continue
                self._trainee.dataset.sampling = sampling
                schedule_epochs = recipe.epochs if stage == "clips" else num_epochs
                loop = StageLoop(self._trainee, stage=stage, num_epochs=schedule_epochs, last_epoch=num_epochs)
                resumed = state if stage_index == first_stage else None
                for event in self._epochs(loop, stage=stage_index, num_epochs=num_epochs, state=resumed):
                    if self._group.is_first:
                        on_event(event)
                loop.close()
        return TrainingResult(self._evaluated_model, self._best, self._test_best, self._writer.files)

    def _epochs(
        self, loop: StageLoop, *, stage: int, num_epochs: int, state: Mapping[str, Any] | None
    ) -> Iterator[EpochDone]:
        """Train for the epochs of a stage, from `state` on if there is one; yield each once its save is handed over."""
        first_epoch, position, totals = 1, 0, EpochTotals()
        if state is not None:
            first_epoch, position = int(state["epoch"]), int(state["position"])
            totals = EpochTotals(*state["totals"])
            loop.restore(state)
        for epoch in range(first_epoch, num_epochs + 1):
            save = partial(self._save_within, stage=stage, epoch=epoch, loop=loop)
            event = loop.run_epoch(epoch, position=position, totals=totals, is_save_due=self._is_save_due, save=save)
            position, totals = 0, EpochTotals()
            self._finish_epoch(event)
            if epoch == num_epochs:
                self._save(event, stage=stage + 1, epoch=1, loop={})
            else:
                self._save(event, stage=stage, epoch=epoch + 1, loop=loop.state())
            yield event

    def _state_to_resume(self, *, num_stages: int) -> dict[str, Any] | None:
        """Read the state, if any, check it, and remove the metrics written after it."""
        state = load_state(state_path(self._folder, self._name))
        if state is not None and state["recipe_sha256"] != self._recipe.sha256:
            raise CheckpointError(f"{self._folder} holds the state of another recipe; --force trains from the start")
        is_over = state is not None and int(state["stage"]) == num_stages
        if state is not None:
            _check_metrics(self._folder / METRICS_NAME, state)
            if not is_over:
                _check_processes(self._folder, state, self._group.world_size)
        if not is_over:  # after the end, lines of a later training may follow
            _rewind(self._folder / METRICS_NAME, self._name, None if state is None else int(state["metrics_bytes"]))
        return state

    def _finish_epoch(self, event: EpochDone) -> None:
        """Check the weights, keep the best epoch, write the metrics."""
        is_finite = all(bool(tensor.isfinite().all()) for tensor in self._evaluated_model.state_dict().values())
        if not self._group.all_true(is_finite):
            raise DferError(
                f"weights became infinite in epoch {event.epoch} of the {event.stage} stage; a lower learning_rate "
                "helps; checkpoints of earlier epochs are intact"
            )
        if event.stage == "clips":
            model, recipe = self._evaluated_model, self._recipe
            self._best = _better(self._best, event.val_war, event.val_uar, event.epoch, model, recipe)
            self._test_best = _better(self._test_best, event.test_war, event.test_uar, event.epoch, model, recipe)
        if self._group.is_first:
            with (self._folder / METRICS_NAME).open("ab") as file:
                file.write(canonical_json(asdict(event)))

    def _save(
        self,
        event: EpochDone | None,
        *,
        stage: int,
        epoch: int,
        loop: Mapping[str, Any],
        position: int = 0,
        totals: EpochTotals | None = None,
    ) -> None:
        """Hand over the state from which training resumes at this position, and after an epoch its checkpoint."""
        self._last_save = time.monotonic()
        if not self._group.is_first:
            return
        metrics = (self._folder / METRICS_NAME).read_bytes()
        copies: dict[Any, torch.Tensor] = {}  # a checkpoint's tensors are those of the state
        state = {
            "recipe_sha256": self._recipe.sha256,
            "num_processes": self._group.world_size,
            "stage": stage,
            "epoch": epoch,
            "position": position,
            "totals": list(astuple(totals or EpochTotals())),
            "metrics_bytes": len(metrics),
            "metrics_sha256": hashlib.sha256(metrics).hexdigest(),
            "model": host_copy(self._model.state_dict(), copies),
            "average": None if self._average is None else host_copy(self._average.state_dict(), copies),
            "best": None if self._best is None else asdict_shallow(self._best),
            "test_best": None if self._test_best is None else asdict_shallow(self._test_best),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
            **host_copy(dict(loop), copies),
        }
        if event is None:
            self._writer.put(Save(state=state))
            return
        weights = host_copy(self._evaluated_model.state_dict(), copies)
        facts = {"stage": event.stage, "epoch": event.epoch, "recipe_sha256": self._recipe.sha256}
        self._writer.put(Save(state=state, weights=weights, facts=facts))

    def _save_within(self, position: int, totals: EpochTotals, *, stage: int, epoch: int, loop: StageLoop) -> None:
        self._save(None, stage=stage, epoch=epoch, position=position, totals=totals, loop=loop.state())

    def _is_save_due(self) -> bool:
        """Whether a state is due within the epoch; only for a single process, as several would have to agree."""
        return self._group.world_size == 1 and time.monotonic() - self._last_save >= self._save_seconds

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._model.load_state_dict(state["model"])
        self._writer.files = files_of(state)
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self._best = None if state["best"] is None else BestEpoch(**state["best"])
        self._test_best = None if state["test_best"] is None else BestEpoch(**state["test_best"])
        torch.set_rng_state(state["random"])
        if self._device.type == "cuda" and state["cuda_random"] is not None:
            torch.cuda.set_rng_state(state["cuda_random"], self._device)


def asdict_shallow(chosen: BestEpoch) -> dict[str, Any]:
    """Return the fields by name without a copy; dataclasses.asdict would copy every weight."""
    return {field.name: getattr(chosen, field.name) for field in fields(chosen)}


def _check_metrics(path: Path, state: Mapping[str, Any]) -> None:
    """Raise CorruptDataError unless the file begins with the lines that were there when the state was saved."""
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(content[: int(state["metrics_bytes"])]).hexdigest() != state["metrics_sha256"]:
        raise CorruptDataError(f"{path} is damaged: it does not match the state; --force trains from the start")


def _check_processes(folder: Path, state: Mapping[str, Any], num_processes: int) -> None:
    """Raise CheckpointError if another number of processes saved the state: it counts in steps, which are theirs."""
    unknown = 1 if int(state["position"]) else num_processes  # of an earlier version; within an epoch, one saves alone
    saved = int(state.get("num_processes", unknown))
    if saved != num_processes:
        raise CheckpointError(
            f"{folder} holds the state of a training by {counted(saved, 'process')}, and this is one by "
            f"{num_processes}: a step has other clips, and the schedule other steps; start {saved}, or --force trains "
            "from the start"
        )


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
