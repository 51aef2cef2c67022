"""A custom model is tried in both modes before its training: what would fail later is one line at the start."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dfer_data.errors import UsageError
from lstpnet.checkpoints.custom_model import check_own, check_trainable_model

CLIPS = torch.rand(2, 4, 3, 8, 8)


class Colours(nn.Module):
    """Logits from mean colours."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.fc = nn.Linear(3, 7)

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.norm(x.mean(dim=(1, 3, 4))))


class AuxiliaryInTraining(Colours):
    """Returns more in training mode, as networks with auxiliary classifiers do."""

    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


class FailsInTraining(Colours):
    """Works in eval mode only."""

    def forward(self, x: Tensor) -> Any:
        if self.training:
            raise KeyError("teacher")
        return super().forward(x)


class BuffersOnly(nn.Module):
    """Has no parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.rand(3, 7))

    def forward(self, x: Tensor) -> Any:
        return x.mean(dim=(1, 3, 4)) @ self.get_buffer("weights")


class Masked(Colours):
    """Has a causal mask among its buffers."""

    def __init__(self, *, is_saved: bool) -> None:
        super().__init__()
        self.register_buffer("mask", torch.full((4, 4), -torch.inf).triu(1), persistent=is_saved)


class WithExtraState(Colours):
    """Keeps more than tensors."""

    def get_extra_state(self) -> Any:
        return {"steps": 1}


class WholeNumbers(Colours):
    """Returns no fractions."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(x).round().long()


class Lazy(Colours):
    """Makes its parameters at the first clips."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.LazyLinear(7)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (AuxiliaryInTraining(), r"returns tuple for 2 clips in training mode; expected logits of shape \(2, 7\)"),
        (FailsInTraining(), r"does not accept clips of shape \(2, 4, 3, 8, 8\) in training mode: KeyError: 'teacher'"),
        (BuffersOnly(), "has nothing to train: its logits depend on no parameter with requires_grad"),
        (Colours().requires_grad_(False), "has nothing to train"),
        (Masked(is_saved=True), "cannot be saved: mask holds NaN or infinity; .* persistent=False"),
        (WithExtraState(), "holds _extra_state in its state dict, and a checkpoint keeps tensors alone"),
        (WholeNumbers(), r"returns \(2, 7\) torch.int64 for 2 clips; expected logits"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_would_end_the_training_is_one_line_before_it(model: nn.Module, words: str) -> None:
    with pytest.raises(UsageError, match=f"^model mine:build {words}"):  # noqa: PT012
        check_own("mine:build", model, CLIPS, num_classes=7)
        check_trainable_model("mine:build", model, CLIPS, num_classes=7)


@pytest.mark.parametrize("model", [Colours(), Masked(is_saved=False), Lazy()], ids=lambda model: type(model).__name__)
def test_the_checks_leave_a_model_as_it_was(model: nn.Module) -> None:
    check_own("mine:build", model, CLIPS, num_classes=7)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    check_trainable_model("mine:build", model, CLIPS, num_classes=7)
    after = model.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
