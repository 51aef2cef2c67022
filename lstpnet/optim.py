"""Optimiser and learning-rate schedule of one training stage."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, StepLR

from lstpnet.config import Recipe

_STEP_EPOCHS, _STEP_FACTOR = 40, 0.1
_MOMENTUM = 0.9


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return AdamW or SGD with momentum over all parameters."""
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(
        model.parameters(), lr=recipe.learning_rate, momentum=_MOMENTUM, weight_decay=recipe.weight_decay
    )


def build_schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, *, num_epochs: int, steps_per_epoch: int
) -> LRScheduler:
    """Return the schedule of a stage, to be advanced after every step."""
    num_steps = max(1, num_epochs * steps_per_epoch)
    if recipe.schedule == "one-cycle":
        return OneCycleLR(optimizer, max_lr=recipe.learning_rate, total_steps=num_steps)
    if recipe.schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=num_steps)
    return StepLR(optimizer, step_size=_STEP_EPOCHS * steps_per_epoch, gamma=_STEP_FACTOR)
