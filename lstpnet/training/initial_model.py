"""Build the network that a training starts from, and estimate the training time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from dfer_data.detect.cuda_float32 import float32_products
from dfer_data.errors import UsageError
from dfer_data.loading.clip_dataset import Sampling
from lstpnet.batches.normalize import normalised
from lstpnet.batches.recipe_clips import clips_of_recipe
from lstpnet.batches.view_crops import num_test_views
from lstpnet.checkpoints.custom_model import build_own, check_own, check_trainable_model
from lstpnet.checkpoints.start_weights import fill_from, licence_words
from lstpnet.device import autocast_dtype, readable_out_of_memory, reproducible
from lstpnet.evaluation.clip_logits import CONTROLS
from lstpnet.models.catalogue import NETWORKS, is_custom
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.gca import GCA
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.network_config import settings_for
from lstpnet.models.registry import build_model
from lstpnet.recipe import Recipe
from lstpnet.runs import run_of_checkpoint
from lstpnet.training.classifier_input import check_losses
from lstpnet.training.experiment import Experiment


def network_of_recipe(recipe: Recipe, *, num_classes: int, seed: int) -> nn.Module:
    """Return the recipe's network with fresh weights that depend on the seed alone."""
    torch.manual_seed(seed)
    if is_custom(recipe.model):
        return build_own(recipe.model, num_classes=num_classes)
    model = build_model(recipe.model, num_classes, **settings_for(recipe.model, asdict(recipe)))
    if isinstance(model, LSTPNet):
        model.backbone.recomputes = recipe.recompute
    if isinstance(model, GCA) and recipe.auxiliary > 0:
        model.auxiliary.requires_grad_(True)
    return model


def initial_model(experiment: Experiment, *, init: Path | None, content: bytes | None = None) -> tuple[nn.Module, str]:
    """Return the network that training starts from, and a description of the parts filled with start weights.

    `content`: the bytes of `init`, for a caller that has read and hashed them; None reads the file.
    Raises CheckpointError for an `init` file that does not fit, UsageError for a custom model that does not, and for a
    loss over vectors that the model does not have.
    """
    recipe, num_classes = experiment.recipe, len(experiment.data.class_names)
    model = network_of_recipe(recipe, num_classes=num_classes, seed=experiment.seed)
    check_losses(recipe, model, num_classes=num_classes)
    _check_neutral(recipe, experiment.data.class_names)
    if not isinstance(model, ClipNetwork):
        stages: tuple[Sampling, ...] = ("train", "frame") if recipe.frame_epochs else ("train",)
        for sampling in stages:
            clips = _first_clips(experiment, sampling)
            check_own(recipe.model, model, clips, num_classes=num_classes)
            check_trainable_model(recipe.model, model, clips, num_classes=num_classes)
        if init is not None:
            raise UsageError(
                "--init fills the networks of `dfer model list`; a custom model loads its start weights itself"
            )
        torch.manual_seed(experiment.seed)  # the checks may have drawn random numbers
        return model, ""
    if init is None:
        if NETWORKS[model.name].needs_start_weights:
            raise UsageError(f"model {model.name} needs --init: most of its parameters keep their start weights")
        return model, ""
    filled = fill_from(model, init, content, class_names=experiment.data.class_names)
    words = [filled.words, licence_words(model, init), _norm_words(model, recipe, init)]
    words += [_trained_words(model)]
    return model, "; ".join(filter(None, words))


def _check_neutral(recipe: Recipe, class_names: Sequence[str]) -> None:
    """Raise UsageError if the class that NR-DFERNet's snippet filter rules out is not the dataset's neutral one."""
    number = recipe.neutral_class
    if number < 0 or "neutral" in class_names[number : number + 1]:
        return
    name = "no class" if number >= len(class_names) else class_names[number]
    right = class_names.index("neutral") if "neutral" in class_names else -1
    raise UsageError(f"neutral_class = {number} is {name} in this dataset; the right number is {right}")


def _trained_words(model: ClipNetwork) -> str:
    """Return how many parameters are trained, of a network that keeps most start weights as they are."""
    if not NETWORKS[model.name].needs_start_weights:
        return ""
    numbers = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    return f"{sum(numbers):,} of {sum(parameter.numel() for parameter in model.parameters()):,} parameters are trained"


def _norm_words(model: ClipNetwork, recipe: Recipe, init: Path) -> str:
    """Return a note if the published start weights saw other pixel values; the authors of M3DFEL chose that."""
    norm = NETWORKS[model.name].input_norm
    if norm in ("", recipe.input_norm) or run_of_checkpoint(init) is not None:
        return ""
    return f"note: those weights saw pixels by input_norm = {norm!r}, the recipe has {recipe.input_norm!r}"


def _first_clips(experiment: Experiment, sampling: Sampling) -> torch.Tensor:
    """Return the first two training clips as the network's input, (B, T, 3, H, W) float32."""
    recipe = experiment.recipe
    clip_ids = experiment.train_ids[:2]
    clips = clips_of_recipe(experiment.data, clip_ids, recipe, sampling=sampling, seed=experiment.seed)
    frames = torch.stack([clips[index].frames for index in range(len(clips))])
    return normalised(frames, norm=recipe.input_norm)


def estimate_seconds(experiment: Experiment, *, device: torch.device) -> float:
    """Return the seconds of a whole run, scaled up from timed steps on random pixels.

    These are two training steps per stage, and a prediction of one view for held-out and test clips. A refit counts as
    the longest that it may be, a training of as many epochs.
    """
    recipe = experiment.recipe
    doing, remedy = "before training", "close other programs that use its memory, or use --device cpu"
    products = float32_products(device.type, is_tf32=recipe.precision == "tf32")
    repeats = reproducible(device, is_on=recipe.deterministic)
    with readable_out_of_memory(device, doing=doing, remedy=remedy), products, repeats:
        return _measured_seconds(experiment, device=device)


def _measured_seconds(experiment: Experiment, *, device: torch.device) -> float:
    recipe = experiment.recipe
    model = network_of_recipe(recipe, num_classes=len(experiment.data.class_names), seed=0).to(device)
    dtype, total_seconds = autocast_dtype(recipe, device), 0.0
    batch_size = min(recipe.batch_size, 2 if recipe.size_px > 112 else 8)
    for num_frames, num_epochs in ((1, recipe.frame_epochs), (recipe.num_frames, recipe.epochs)):
        if num_epochs == 0:
            continue
        frames = torch.randint(0, 256, (batch_size, num_frames, 3, recipe.size_px, recipe.size_px), dtype=torch.uint8)
        labels = torch.zeros(batch_size, dtype=torch.long, device=device)
        seconds = []
        for _ in range(3):  # the first one warms up
            start = time.perf_counter()
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                loss = functional.cross_entropy(model(normalised(frames.to(device), norm=recipe.input_norm)), labels)
            loss.backward()
            loss.item()
            seconds.append(time.perf_counter() - start)
        num_clips = len(experiment.train_ids) * (2 if recipe.refit else 1) + len(experiment.val_ids) * recipe.refit
        total_seconds += min(seconds[1:]) / batch_size * num_clips * num_epochs
    start = time.perf_counter()
    with torch.no_grad(), torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
        model.eval()(normalised(frames.to(device), norm=recipe.input_norm)).sum().item()
    return total_seconds + (time.perf_counter() - start) / batch_size * _num_predicted_views(experiment)


def _num_predicted_views(experiment: Experiment) -> int:
    """Return how many views of clips a run predicts: after each epoch, and at its end."""
    recipe, num_val, num_test = experiment.recipe, len(experiment.val_ids), len(experiment.seen_test_ids)
    is_test_best = recipe.select == "test-best"
    num_chosen = 1 + (num_val > 0) + is_test_best  # last, best and test-best, each with a temperature
    num_per_epoch = num_val + num_test * is_test_best
    num_last = num_test * (num_chosen + recipe.refit + len(CONTROLS) * recipe.controls) + num_val * num_chosen
    return (num_per_epoch * recipe.epochs + num_last) * num_test_views(recipe)
