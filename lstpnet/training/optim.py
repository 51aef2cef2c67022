"""Optimiser and learning-rate schedule of one training stage."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from dfer_data.errors import UsageError
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
    if recipe.weight_decay_on == "matrices":
        exempt = {id(parameter) for parameter in exempt_from_decay(model)}
        groups = [part for group in groups for part in _by_decay(group, exempt)]
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


def exempt_from_decay(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that `weight_decay_on = matrices` exempts.

    These are biases, other parameters of one dimension (norms), and those that the model's method `no_weight_decay`
    names, timm's convention: positions and tokens, for example `{"pos_embedding", "cls_token"}`.
    """
    named = set(model.no_weight_decay()) if hasattr(model, "no_weight_decay") else set()  # type: ignore[operator]
    return [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim <= 1 or name.endswith("bias") or name in named
    ]


def _by_decay(group: Mapping[str, Any], exempt: Set[int]) -> list[dict[str, Any]]:
    """Divide a group of parameters into those with weight decay and the exempt ones."""
    decayed = [parameter for parameter in group["params"] if id(parameter) not in exempt]
    others = [parameter for parameter in group["params"] if id(parameter) in exempt]
    parts = [{**group, "params": decayed}, {**group, "params": others, "weight_decay": 0.0}]
    return [part for part in parts if part["params"]]


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Load an optimiser's state, also that of one which was fused where this one is not, or the other way round.

    torch would take over how the other one steps: a state of another device, or of an earlier dfer, has another way.
    """
    own = [group["fused"] for group in optimizer.param_groups]
    groups = [{**saved, "fused": is_fused} for saved, is_fused in zip(state["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})


def skip_if_bad(optimizer: torch.optim.Optimizer, is_bad: torch.Tensor) -> None:
    """Let the next step of a fused optimiser do nothing where `is_bad`, () float32 on its device, is 1.

    The fused optimisers read it on the device, as they do for torch's GradScaler; the others cannot.
    """
    if not optimizer.defaults.get("fused"):
        return
    optimizer.grad_scale = None  # type: ignore[attr-defined]
    optimizer.found_inf = is_bad  # type: ignore[attr-defined]


def parts_of(model: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters by part, from the input to the output, for `layer_decay`.

    A model's method `layer_parts`, if it has one, returns its parts in this order, each as a tuple of the names with
    which those of its parameters begin, such as `("fc_norm", "head")`. Without it, the parts are the first two
    components of the module's name, in the model's order; of LSTPNet these are the stem, the four stages, the parts of
    the head and the classifier.
    """
    named = list(model.named_parameters())
    if hasattr(model, "layer_parts"):
        parts = [tuple(names) for names in model.layer_parts()]  # type: ignore[operator]
        owners = [[depth for depth, names in enumerate(parts) if _begins(name, names)] for name, _ in named]
        if unclear := [name for (name, _), found in zip(named, owners, strict=True) if len(found) != 1]:
            raise UsageError(f"layer_parts of the model has {', '.join(unclear[:3])} in no part, or in two")
        return [[p for (_, p), found in zip(named, owners, strict=True) if found == [i]] for i in range(len(parts))]
    parameters_by_part: dict[tuple[str, ...], list[nn.Parameter]] = {}
    for name, parameter in named:
        parameters_by_part.setdefault(tuple(name.split(".")[:-1][:2]), []).append(parameter)
    return list(parameters_by_part.values())


def _begins(name: str, prefixes: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def build_schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, *, num_epochs: int, steps_per_epoch: int
) -> LRScheduler:
    """Return the schedule of a stage; advance it after every step."""
    num_steps = max(1, num_epochs * steps_per_epoch)
    if recipe.schedule == "one-cycle":
        peak_rates = [float(group["lr"]) for group in optimizer.param_groups]
        return OneCycleLR(optimizer, max_lr=peak_rates, total_steps=num_steps)
    start, least = (rate / recipe.learning_rate for rate in (recipe.warmup_learning_rate, recipe.min_learning_rate))
    num_warmup_steps = min(recipe.warmup_epochs * steps_per_epoch, num_steps)

    def factor(step: int) -> float:
        if step < num_warmup_steps and start > 0:  # VideoMAE's: its last step has the peak rate
            return start + (1 - start) * step / max(1, num_warmup_steps - 1)
        if step < num_warmup_steps:
            return (step + 1) / (num_warmup_steps + 1)
        if recipe.schedule == "cosine":
            progress = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
            return least + (1 - least) * (1 + math.cos(math.pi * progress)) / 2
        return float(recipe.step_factor ** (step // (recipe.step_epochs * steps_per_epoch)))

    return LambdaLR(optimizer, factor)
