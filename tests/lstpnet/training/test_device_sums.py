"""Sums that stay on the device are right when read, and a loss that is not finite never reaches the weights."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from lstpnet.recipe import Recipe
from lstpnet.training.device_sums import DeviceSums, EpochTotals, batches_between_readings
from lstpnet.training.distributed import ALONE
from lstpnet.training.optim import build_optimizer, skip_if_bad

CPU = torch.device("cpu")


def test_sums_are_those_of_the_batches_and_each_reading_begins_anew() -> None:
    sums, totals = DeviceSums(CPU), EpochTotals()
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0]])
    sums.add(torch.tensor(0.5), logits, torch.tensor([0, 0, 0]), group=ALONE)
    sums.add(torch.tensor(0.25), logits[:2], torch.tensor([0, 1]), group=ALONE)
    assert sums.read_into(totals, group=ALONE) == ""
    assert (totals.loss, totals.right) == (2.0, 4)
    assert sums.read_into(totals, group=ALONE) == ""
    assert (totals.loss, totals.right) == (2.0, 4)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_the_first_loss_that_is_not_finite_is_named_however_late_it_is_read(value: str) -> None:
    sums = DeviceSums(CPU)
    logits, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    for loss in (1.0, float(value), 2.0, float("nan")):
        sums.add(torch.tensor(loss), logits, labels, group=ALONE)
    assert sums.is_bad.item() == 1
    assert sums.read_into(EpochTotals(), group=ALONE) == value


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_no_step_is_taken_from_the_first_bad_loss_on(optimizer: Literal["adamw", "sgd"]) -> None:
    """As on a GPU: the sums are not read between the steps, and gradients of NaN are there."""
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 2)
    recipe = Recipe(name="test", optimizer=optimizer, learning_rate=0.1)
    stepped, sums = build_optimizer(model, recipe, is_fused=True), DeviceSums(CPU)
    weights = []
    for clips in (torch.ones(3, 4), torch.full((3, 4), 2.0), torch.full((3, 4), float("nan")), torch.ones(3, 4)):
        logits, labels = model(clips), torch.tensor([0, 1, 0])
        loss = torch.nn.functional.cross_entropy(logits, labels)
        sums.add(loss, logits, labels, group=ALONE)
        loss.backward()
        skip_if_bad(stepped, sums.is_bad)
        stepped.step()
        stepped.zero_grad()
        weights.append(model.weight.detach().clone())
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
    assert torch.equal(weights[2], weights[3])
    assert sums.read_into(EpochTotals(), group=ALONE) == "nan"


def test_a_cpu_is_read_at_every_batch_and_a_gpu_now_and_then() -> None:
    assert batches_between_readings(CPU) == 1
    assert batches_between_readings(torch.device("cuda")) > 1
