"""Centres move as the center loss's paper says, and are the same in every process."""

from __future__ import annotations

import pytest
import torch
from torch import distributed

from lstpnet.training.center_loss import CENTER_RATE, CenterLoss
from lstpnet.training.distributed import Group

LABELS = torch.tensor([0, 0, 2])
FEATURES = torch.tensor([[1.0, 3.0], [3.0, 1.0], [4.0, -4.0]])


def test_loss_gradient_and_centres_by_hand() -> None:
    loss, features = CenterLoss(3), FEATURES.clone().requires_grad_()
    value = loss(features, LABELS)
    assert float(value.detach()) == pytest.approx((10 + 10 + 32) / 2 / 3)
    value.backward()
    assert features.grad is not None
    assert torch.allclose(features.grad, FEATURES / 3)  # the centres are 0 still
    wanted = torch.tensor([[4.0, 4.0], [0.0, 0.0], [4.0, -4.0]]) / torch.tensor([[3.0], [1.0], [2.0]])
    assert torch.allclose(loss.state()["centers"], CENTER_RATE * wanted)
    assert float(loss(FEATURES, LABELS)) < float(value.detach())


def test_a_class_alone_keeps_its_centre_moving_and_the_others_still() -> None:
    loss = CenterLoss(3)
    for _ in range(200):
        loss(FEATURES[:2], LABELS[:2])
    assert torch.allclose(loss.state()["centers"], torch.tensor([[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]))


def test_two_processes_move_the_centres_of_all_their_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = CenterLoss(3)
    alone(FEATURES, LABELS)
    sent: list[torch.Tensor] = []

    def exchange(tensor: torch.Tensor) -> None:
        sent.append(tensor.clone())
        tensor += torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [4.0, -4.0, 1.0]])  # what the other one has

    monkeypatch.setattr(distributed, "all_reduce", exchange)
    shared = CenterLoss(3, group=Group(0, 2))
    shared(FEATURES[:2], LABELS[:2])
    assert torch.equal(sent[0], torch.tensor([[4.0, 4.0, 2.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert torch.allclose(shared.state()["centers"], alone.state()["centers"])
