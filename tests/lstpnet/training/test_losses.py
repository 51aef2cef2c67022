"""Losses are what their papers and torch say."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from lstpnet.training.losses import (
    TrainingLoss,
    class_weights,
    expression_clustered,
    intensity_aware,
    weighted_cross_entropy,
)
from tests.lstpnet.conftest import quick

COUNTS = [40, 10, 5, 1, 0, 3, 1]
CPU = torch.device("cpu")


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(12, 7, generator=generator), torch.randint(0, 7, (12,), generator=generator)


def loss_of(**settings: object) -> TrainingLoss:
    return TrainingLoss(quick(**settings).recipe, counts=COUNTS, device=CPU)


def test_a_plain_recipe_is_torchs_cross_entropy() -> None:
    logits, labels = batch()
    wanted = functional.cross_entropy(logits, labels, label_smoothing=0.1)
    assert torch.equal(loss_of(label_smoothing=0.1)(logits, labels), wanted)


@pytest.mark.parametrize("kind", ["inverse", "effective"])
def test_weights_are_the_formulas_and_one_in_the_mean(kind: str) -> None:
    weights = class_weights(COUNTS, kind=kind, beta=0.9)
    assert weights is not None
    assert sum(n * w for n, w in zip(COUNTS, weights, strict=True)) / sum(COUNTS) == pytest.approx(1)
    assert weights[4] == 0
    ratio = 4 if kind == "inverse" else (1 - 0.9**40) / (1 - 0.9**10)
    assert weights[1] / weights[0] == pytest.approx(ratio)
    assert class_weights(COUNTS, kind="none") is None


def test_weighted_cross_entropy_is_torchs_but_for_the_divisor() -> None:
    logits, labels = batch()
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 0.1, 4.0])
    mine = weighted_cross_entropy(logits, labels, weights=weights, gamma=0, smoothing=0)
    theirs = functional.cross_entropy(logits, labels, weight=weights, reduction="sum") / len(labels)
    assert torch.allclose(mine, theirs)
    smooth = weighted_cross_entropy(logits, labels, weights=None, gamma=0, smoothing=0.2)
    assert torch.allclose(smooth, functional.cross_entropy(logits, labels, label_smoothing=0.2))
    soft = functional.one_hot(labels, 7).float()
    assert torch.allclose(weighted_cross_entropy(logits, soft, weights=weights, gamma=0, smoothing=0), theirs)


def test_focal_loss_by_hand() -> None:
    logits, labels = batch()
    p = logits.softmax(1).gather(1, labels[:, None])[:, 0]
    assert torch.allclose(loss_of(focal_gamma=2.0)(logits, labels), (-((1 - p) ** 2) * p.log()).mean())


def test_intensity_aware_loss_by_hand() -> None:
    logits, labels = batch()
    terms = []
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        rival = max(value for index, value in enumerate(row) if index != label)
        terms.append(-math.log(math.exp(row[label]) / (math.exp(row[label]) + math.exp(rival))))
    assert float(intensity_aware(logits, labels)) == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    both = loss_of(intensity=0.1)(logits, labels)
    assert torch.allclose(both, functional.cross_entropy(logits, labels) + 0.1 * intensity_aware(logits, labels))


def test_clustered_loss_falls_as_classes_draw_together() -> None:
    features = torch.tensor([[0.0, 0.0], [2.0, 0.0], [10.0, 0.0], [10.0, 2.0], [50.0, 50.0]])
    labels = torch.tensor([0, 0, 1, 1, 2])
    mine = expression_clustered(features, labels)
    near = features.clone()
    near[1, 0] = 1.0
    assert expression_clustered(near, labels) < mine
    first = 4 / ((100 + 104 + 5000) / 3)  # clip 0: its class 4 away, the others 100, 104, 5000
    squares = torch.cdist(features, features).square()
    ratios = [first]
    for index, other in ((1, 0), (2, 3), (3, 2)):
        rest = [float(squares[index, j]) for j in range(5) if labels[j] != labels[index]]
        ratios.append(float(squares[index, other]) / (sum(rest) / 3))
    assert float(mine) == pytest.approx(sum(ratios) / 4, rel=1e-4)


def test_clustered_loss_of_a_batch_that_says_nothing_is_0_with_a_gradient() -> None:
    features = torch.randn(3, 4, requires_grad=True)
    for labels in (torch.tensor([0, 1, 2]), torch.tensor([1, 1, 1])):
        loss = expression_clustered(features, labels)
        loss.backward()
        assert float(loss.detach()) == 0
    assert features.grad is not None
    assert features.grad.isfinite().all()
