"""Train one experiment: a stage on single frames, a stage on clips, the test clips once at the end.

Plain PyTorch on CUDA, MPS or CPU. On a CPU, equal settings and seeds give equal numbers on one machine with the same
number of threads.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from dfer_data.config import canonical_json
from dfer_data.dataset import FaceClipDataset, Sampling
from dfer_data.errors import DferError
from dfer_data.loader import ClipLoader
from dfer_data.order import class_shares
from lstpnet.augment import Augmentation, augmented, mixed
from lstpnet.checkpoint import save_checkpoint
from lstpnet.config import Recipe
from lstpnet.evaluate import predict_clips
from lstpnet.experiment import Experiment
from lstpnet.feed import Waiting, on_device
from lstpnet.inputs import normalised
from lstpnet.metrics import confusion_matrix, predicted_classes, score
from lstpnet.model import LSTPNet
from lstpnet.optim import build_optimizer, build_schedule
from lstpnet.start_weights import fill_from

_MEMORY_BYTES = 1 << 30  # decoded training clips are kept when they fit into this
METRICS_NAME = "metrics.jsonl"


@dataclass(frozen=True)
class EpochDone:
    """Event: an epoch is over; also a line of metrics.jsonl."""

    checkpoint: str
    """The checkpoint that is being trained: `last`, or `refit`."""
    stage: str
    """`frames` or `clips`."""
    epoch: int
    """From 1, inside the stage."""
    num_epochs: int
    """Of the stage."""
    loss: float
    """Mean training loss."""
    train_accuracy: float
    """0..1, on the augmented training clips as they were seen."""
    learning_rate: float
    """At the end of the epoch."""
    seconds: float
    """Wall time."""
    waiting_seconds: float
    """Part of it in which the model waited for clips."""
    val_war: float | None
    """0..1 on the held-out clips; None without them or on single frames."""
    val_uar: float | None
    """The same for UAR."""
    test_war: float | None = None
    """0..1 on the test clips that show a face; None unless the run selects on them."""
    test_uar: float | None = None
    """The same for UAR."""


@dataclass(frozen=True)
class Chosen:
    """The weights of an epoch that was chosen."""

    epoch: int
    """From 1, of the stage on clips."""
    figure: float
    """Of the recipe's `select_by`, 0..1."""
    weights: dict[str, torch.Tensor]
    """State of the model."""


@dataclass(frozen=True)
class Trained:
    """What training leaves in memory."""

    model: LSTPNet
    """With the weights of the last epoch."""
    best: Chosen | None
    """The first epoch that was best on the held-out clips; None without them."""
    test_best: Chosen | None
    """The same on the test clips; None unless the recipe selects on them."""


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, or CUDA, MPS, CPU in this order of preference. DferError if it is not there."""
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DferError(f"device {name} cannot be used here: {' '.join(str(error).split())[:200]}") from error
    return device


def num_threads(device: torch.device) -> int:
    """Return how many threads read training clips ahead; where the CPU computes too, none."""
    return 4 if device.type == "cuda" else 0


def autocast_dtype(recipe: Recipe, device: torch.device) -> torch.dtype | None:
    """Return bfloat16 where the recipe and the device want it, else None for float32."""
    if recipe.precision == "f32":
        return None
    if recipe.precision == "bf16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else None
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device.type == "cpu" and native() else None


def build_model(recipe: Recipe, *, num_classes: int, seed: int) -> LSTPNet:
    """Return the recipe's network with fresh weights that depend on the seed alone."""
    torch.manual_seed(seed)
    model = LSTPNet(num_classes, **recipe.network)
    model.backbone.recomputes = recipe.recompute
    return model


def initial_model(experiment: Experiment, *, init: Path | None) -> tuple[LSTPNet, str]:
    """Return the network that training starts from, and what of it a file of start weights filled.

    CheckpointError for an `init` file that does not fit.
    """
    model = build_model(experiment.recipe, num_classes=len(experiment.data.class_names), seed=experiment.seed)
    return model, "" if init is None else fill_from(model, init).words


def estimate_seconds(experiment: Experiment, *, device: torch.device) -> float:
    """Time two training steps of each stage on random pixels and scale them up to the whole run."""
    recipe = experiment.recipe
    model = build_model(recipe, num_classes=len(experiment.data.class_names), seed=0).to(device)
    dtype, total = autocast_dtype(recipe, device), 0.0
    size = min(recipe.batch_size, 2 if recipe.size_px > 112 else 8)
    for num_frames, num_epochs in ((1, recipe.frame_epochs), (16, recipe.epochs)):
        if num_epochs == 0:
            continue
        frames = torch.randint(0, 256, (size, num_frames, 3, recipe.size_px, recipe.size_px), dtype=torch.uint8)
        labels = torch.zeros(size, dtype=torch.long, device=device)
        seconds = []
        for _ in range(3):  # the first one warms up
            start = time.perf_counter()
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                loss = functional.cross_entropy(model(normalised(frames.to(device), norm=recipe.input_norm)), labels)
            loss.backward()
            loss.item()
            seconds.append(time.perf_counter() - start)
        total += min(seconds[1:]) / size * len(experiment.train_ids) * num_epochs
    return total


def fit(
    experiment: Experiment,
    model: LSTPNet,
    *,
    folder: Path,
    device: torch.device,
    on_event: Callable[[EpochDone], None],
    stop_after: int | None = None,
    name: str = "last",
) -> Trained:
    """Train `model` and return it; adds to metrics.jsonl and writes the checkpoint `name` of each epoch in `folder`.

    `stop_after`: end after that epoch on clips of the schedule.

    Raises DferError when loss or weights are not finite (the last good checkpoint stays), CorruptShardError for damage.
    """
    recipe = experiment.recipe
    model.to(device)
    best: Chosen | None = None
    test_best: Chosen | None = None
    stages: tuple[tuple[str, Sampling, int], ...] = (
        ("frames", "frame", recipe.frame_epochs),
        ("clips", "train", recipe.epochs),
    )
    dataset = _train_clips(experiment, device=device)
    for stage, sampling, num_epochs in stages:
        if num_epochs == 0:
            continue
        dataset.sampling = sampling
        loop = _Stage(experiment, model, dataset, name=name, stage=stage, num_epochs=num_epochs, device=device)
        for epoch in range(1, num_epochs + 1):
            done = loop.run_epoch(epoch)
            if not all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values()):
                raise DferError(
                    f"weights became infinite in epoch {epoch} of the {stage} stage; a lower learning_rate helps; "
                    "checkpoints of earlier epochs are intact"
                )
            if stage == "clips":
                best = _better(best, done.val_war, done.val_uar, epoch, model, recipe)
                test_best = _better(test_best, done.test_war, done.test_uar, epoch, model, recipe)
            with (folder / METRICS_NAME).open("ab") as file:
                file.write(canonical_json(asdict(done)))
            facts = {"stage": stage, "epoch": epoch, "recipe_sha256": recipe.sha256}
            save_checkpoint(model, folder / "checkpoints" / f"{name}.safetensors", facts=facts)
            on_event(done)
            if stage == "clips" and epoch == stop_after:
                break
    return Trained(model, best, test_best)


def _better(
    best: Chosen | None, war: float | None, uar: float | None, epoch: int, model: LSTPNet, recipe: Recipe
) -> Chosen | None:
    """Return this epoch if it is the first or better than the best one, else that."""
    if war is None or uar is None:
        return best
    figure = {"war": war, "uar": uar, "war+uar": (war + uar) / 2}[recipe.select_by]
    if best is not None and figure <= best.figure:
        return best
    return Chosen(epoch, figure, copy.deepcopy(model.state_dict()))


class _Stage:
    """The loop over the epochs of one stage."""

    def __init__(
        self,
        experiment: Experiment,
        model: LSTPNet,
        dataset: FaceClipDataset,
        *,
        name: str,
        stage: str,
        num_epochs: int,
        device: torch.device,
    ) -> None:
        self._experiment, self._model, self._dataset, self._device = experiment, model, dataset, device
        self._recipe, self._name, self._stage, self._num_epochs = experiment.recipe, name, stage, num_epochs
        self._dtype = autocast_dtype(experiment.recipe, device)
        num_classes = len(experiment.data.class_names)
        shares = class_shares(dataset.labels, num_classes=num_classes, power=self._recipe.class_power)
        self._loader = ClipLoader(
            dataset,
            batch_size=self._recipe.batch_size,
            num_threads=num_threads(device),
            pins=device.type == "cuda",
            shares=None if self._recipe.class_sampling == "natural" else shares,
        )
        steps = self._loader.num_batches(1)
        self._optimizer = build_optimizer(model, self._recipe)
        self._schedule = build_schedule(self._optimizer, self._recipe, num_epochs=num_epochs, steps_per_epoch=steps)

    def run_epoch(self, epoch: int) -> EpochDone:
        start = time.perf_counter()
        number = epoch + (1_000_000 if self._stage == "frames" else 0)
        self._model.train()
        total_loss, num_right, num_seen = 0.0, 0, 0
        waiting = Waiting()
        for frames, labels, batch in waiting.timed(on_device(self._loader.epoch(number), self._device)):
            loss, right = self._step(frames, labels, batch.clip_ids)
            total_loss += loss * len(batch.clip_ids)
            num_right += right
            num_seen += len(batch.clip_ids)
        return EpochDone(
            self._name,
            self._stage,
            epoch,
            self._num_epochs,
            total_loss / num_seen,
            num_right / num_seen,
            float(self._schedule.get_last_lr()[0]),
            time.perf_counter() - start,
            waiting.seconds,
            *self._figures(self._experiment.val_ids),
            *self._figures(self._experiment.seen_test_ids if self._recipe.select == "test-best" else ()),
        )

    def _step(self, frames: torch.Tensor, labels: torch.Tensor, clip_ids: Sequence[str]) -> tuple[float, int]:
        recipe, seed, epoch = self._recipe, self._experiment.seed, self._dataset.epoch
        changes, num_classes = Augmentation.of(recipe), len(self._experiment.data.class_names)
        pixels = normalised(augmented(frames, clip_ids, changes, seed=seed, epoch=epoch), norm=recipe.input_norm)
        pixels, targets = mixed(pixels, labels, clip_ids, changes, num_classes=num_classes, seed=seed, epoch=epoch)
        with torch.autocast(self._device.type, dtype=self._dtype, enabled=self._dtype is not None):
            logits = self._model(pixels)
        loss = functional.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
        value = loss.item()
        if not np.isfinite(value):
            raise DferError(
                f"the loss became {value} in the {self._stage} stage; a lower learning_rate helps; "
                "checkpoints of earlier epochs are intact"
            )
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        return value, int((logits.argmax(1) == labels).sum())

    def _figures(self, clip_ids: Sequence[str]) -> tuple[float | None, float | None]:
        """Return WAR and UAR on clips after an epoch on clips; None where there is nothing to measure."""
        if self._stage != "clips" or not clip_ids:
            return None, None
        data, recipe = self._experiment.data, self._recipe
        logits = predict_clips(self._model, data.root, clip_ids, recipe=recipe, device=self._device, dtype=self._dtype)
        labels = [data.class_names.index(label) for label in data.index(clip_ids)["label"].to_pylist()]
        guesses = predicted_classes(np.nan_to_num(logits))
        scores = score(confusion_matrix(labels, guesses, num_classes=len(data.class_names)))
        return scores.war, scores.uar


def _train_clips(experiment: Experiment, *, device: torch.device) -> FaceClipDataset:
    """Open the training clips; decoded once for all stages and kept where no loader process works and they fit."""
    rows, size_px = experiment.data.clips, experiment.recipe.size_px
    num_frames = int(rows["num_frames"][rows["clip_id"].isin(experiment.train_ids)].sum())
    return FaceClipDataset(
        experiment.data.root,
        clip_ids=experiment.train_ids,
        size_px=size_px,
        sampler=experiment.recipe.sampler,
        short=experiment.recipe.short,
        seed=experiment.seed,
        keep_in_memory=num_threads(device) == 0 and num_frames * 3 * size_px**2 <= _MEMORY_BYTES,
    )
