"""Optimiser and learning-rate schedule of one training stage."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from lstpnet.recipe import Recipe

_MOMENTUM = 0.9


def build_optimizer(model: nn.Module, recipe: Recipe, *, is_fused: bool = False) -> torch.optim.Optimizer:
    """Return AdamW or SGD with momentum over all parameters; with layer decay, each part has its own learning rate.

    `is_fused`: step all parameters in few kernels, which can leave a step out without asking the program.
    """
    groups = [
        {"params": parameters, "lr": recipe.learning_rate * recipe.layer_decay**depth}
        for depth, parameters in enumerate(reversed(parts_of(model)))
    ]
    if recipe.layer_decay == 1:
        groups = [{"params": list(model.parameters()), "lr": recipe.learning_rate}]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=is_fused or None
        )
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=_MOMENTUM,
        weight_decay=recipe.weight_decay,
        fused=is_fused or None,
    )


def skip_if_bad(optimizer: torch.optim.Optimizer, is_bad: torch.Tensor) -> None:
    """Let the next step of a fused optimiser do nothing where `is_bad`, () float32 on its device, is 1.

    The fused optimisers read it on the device, as they do for torch's GradScaler; the others cannot.
    """
    if not optimizer.defaults.get("fused"):
        return
    optimizer.grad_scale = None  # type: ignore[attr-defined]
    optimizer.found_inf = is_bad  # type: ignore[attr-defined]


def parts_of(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters in the model's order, grouped by the first two components of their module's name.

    For LSTPNet these are the stem, the four stages, the parts of the head and the classifier.
    """
    parameters_by_part: dict[tuple[str, ...], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        parameters_by_part.setdefault(tuple(name.split(".")[:-1][:2]), []).append(parameter)
    return list(parameters_by_part.values())


def build_schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, *, num_epochs: int, steps_per_epoch: int
) -> LRScheduler:
    """Return the schedule of a stage; advance it after every step."""
    num_steps = max(1, num_epochs * steps_per_epoch)
    if recipe.schedule == "one-cycle":
        peak_rates = [float(group["lr"]) for group in optimizer.param_groups]
        return OneCycleLR(optimizer, max_lr=peak_rates, total_steps=num_steps)
    num_warmup_steps = min(recipe.warmup_epochs * steps_per_epoch, num_steps)

    def factor(step: int) -> float:
        if step < num_warmup_steps:
            return (step + 1) / (num_warmup_steps + 1)
        if recipe.schedule == "cosine":
            return (1 + math.cos(math.pi * (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps))) / 2
        return float(recipe.step_factor ** (step // (recipe.step_epochs * steps_per_epoch)))

    return LambdaLR(optimizer, factor)
