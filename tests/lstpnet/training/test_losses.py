"""Losses are what their papers and torch say."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import dirichlet_multinomial as dirichlet_multinomial_of_scipy
from torch import Tensor
from torch.nn import functional

from lstpnet.training.losses import (
    CLUSTERED_FORMS,
    TrainingLoss,
    class_weights,
    clustered_as_code,
    clustered_as_paper,
    dirichlet_multinomial,
    intensity_aware,
    weighted_cross_entropy,
)
from tests.lstpnet.conftest import quick
from tests.workspace import ROOT

COUNTS = [40, 10, 5, 1, 0, 3, 1]
CPU = torch.device("cpu")
GOLDEN = json.loads((ROOT / "tests/golden/losses.json").read_bytes())
"""Losses of other people's code on one batch (tests/golden/README.md)."""


def test_several_labels_are_binary_cross_entropies() -> None:
    logits, _ = batch()
    targets = (torch.rand(12, 7, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    expected = -(targets * logits.sigmoid().log() + (1 - targets) * (1 - logits.sigmoid()).log()).mean()
    torch.testing.assert_close(loss_of(targets="labels")(logits, targets), expected)


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


def test_the_auxiliary_loss_is_a_cross_entropy_with_its_weight() -> None:
    (logits, labels), (others, _) = batch(), batch(1)
    expected = functional.cross_entropy(logits, labels) + 0.05 * functional.cross_entropy(others, labels)
    loss = loss_of(model="gca", size_px=112, frame_epochs=0, auxiliary=0.05)
    assert loss.needs_features
    assert torch.allclose(loss(logits, labels, torch.zeros(12, 3), others), expected)


def vote_batch() -> tuple[Tensor, Tensor]:
    """Logits, log(softplus(z) + 1), and the votes of ten annotators, (6, 7) float64 each."""
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(6, 7, generator=generator, dtype=torch.float64)
    votes = torch.stack([torch.randint(0, 7, (10,), generator=generator).bincount(minlength=7) for _ in range(6)])
    return (functional.softplus(scores) + 1).log().requires_grad_(), votes.double()


def test_the_dirichlet_multinomial_loss_is_scipys() -> None:
    logits, votes = vote_batch()
    values = [
        -dirichlet_multinomial_of_scipy.logpmf(row.int().numpy(), alpha.exp().numpy(), 10)
        for alpha, row in zip(logits.detach(), votes, strict=True)
    ]
    fixed = logits.detach()
    assert float(dirichlet_multinomial(fixed, votes)) == pytest.approx(np.mean(values), rel=1e-12)
    assert float(dirichlet_multinomial(fixed.float(), votes.float())) == pytest.approx(np.mean(values), rel=1e-5)
    assert torch.autograd.gradcheck(lambda x: dirichlet_multinomial(x, votes), (logits,))


def test_the_dirichlet_multinomial_loss_of_one_vote_is_a_cross_entropy() -> None:
    logits, _ = vote_batch()
    labels = torch.tensor([0, 3, 6, 2, 2, 5])
    votes = functional.one_hot(labels, 7).double()
    torch.testing.assert_close(dirichlet_multinomial(logits, votes), functional.cross_entropy(logits, labels))


def test_a_recipe_with_votes_has_the_loss_that_it_names() -> None:
    logits, votes = vote_batch()
    loss = loss_of(targets="votes", votes_loss="dirichlet-multinomial")
    assert torch.equal(loss(logits, votes), dirichlet_multinomial(logits, votes))


def golden_batch() -> tuple[Tensor, Tensor, Tensor]:
    """Features (12, 64), logits (12, 7) and labels (12,) by the golden file's rule, in float64."""
    generator = np.random.Generator(np.random.PCG64(GOLDEN["seed"]))
    features = torch.from_numpy(generator.standard_normal((12, 64), np.float32)).double()
    logits = 3 * torch.from_numpy(generator.standard_normal((12, 7), np.float32)).double()
    return features.requires_grad_(), logits.requires_grad_(), torch.tensor(GOLDEN["labels"])


@pytest.mark.parametrize(
    ("loss", "name"), [(clustered_as_paper, "ecstfl_equation9_l2"), (clustered_as_code, "ecstfl_code")]
)
def test_both_forms_of_ec_stfl_are_those_of_the_golden_batch(
    loss: Callable[[Tensor, Tensor], Tensor], name: str
) -> None:
    features, _, labels = golden_batch()
    value = loss(features, labels)
    value.backward()
    assert features.grad is not None
    assert float(value.detach()) == pytest.approx(GOLDEN[name]["loss"], rel=1e-9)
    assert float(features.grad.norm()) == pytest.approx(GOLDEN[name]["grad_l2"], rel=1e-9)
    assert features.grad.flatten()[:4].tolist() == pytest.approx(GOLDEN[name]["grad_first4"], rel=1e-8)
    single = loss(features.detach().float(), labels)
    assert float(single) == pytest.approx(GOLDEN[name]["loss"], rel=1e-5)


def test_the_intensity_aware_loss_is_its_authors() -> None:
    _, logits, labels = golden_batch()
    value = intensity_aware(logits, labels)
    value.backward()
    assert logits.grad is not None
    assert float(value.detach()) == pytest.approx(GOLDEN["ial"]["loss"], rel=1e-9)
    assert float(logits.grad.norm()) == pytest.approx(GOLDEN["ial"]["grad_l2"], rel=1e-9)
    assert logits.grad[0].tolist() == pytest.approx(GOLDEN["ial"]["grad_first7"], rel=1e-8)
    plain = functional.cross_entropy(logits, labels)
    assert float(plain.detach()) == pytest.approx(GOLDEN["ial"]["cross_entropy"], rel=1e-9)


@pytest.mark.parametrize("form", CLUSTERED_FORMS)
def test_a_batch_of_one_class_and_one_of_equal_vectors_give_0_and_finite_gradients(form: str) -> None:
    loss = CLUSTERED_FORMS[form]
    for features, labels in (
        (torch.randn(3, 4), torch.tensor([1, 1, 1])),
        (torch.ones(3, 4), torch.tensor([1, 1, 0])),
    ):
        features.requires_grad_()
        value = loss(features, labels)
        value.backward()
        assert float(value.detach()) == 0
        assert features.grad is not None
        assert features.grad.isfinite().all()
        assert bool((features.grad == 0).all()) or len(labels.unique()) == 2


@pytest.mark.parametrize("form", CLUSTERED_FORMS)
def test_clustered_is_the_weight_of_its_form(form: str) -> None:
    features, logits, labels = (tensor.detach() for tensor in golden_batch())
    whole = loss_of(clustered=10, clustered_form=form)(logits, labels, features)
    wanted = functional.cross_entropy(logits, labels) + 10 * CLUSTERED_FORMS[form](features, labels)
    assert torch.allclose(whole, wanted)
    near = torch.where(labels[:, None] == 0, features * 0.01, features)  # the three clips of class 0 draw together
    assert CLUSTERED_FORMS[form](near, labels) < CLUSTERED_FORMS[form](features, labels)


def test_center_is_the_weight_of_a_loss_whose_centres_are_state() -> None:
    features, logits, labels = (tensor.detach() for tensor in golden_batch())
    loss = loss_of(center=0.5)
    first = loss(logits, labels, features)
    assert torch.allclose(first - functional.cross_entropy(logits, labels), 0.25 * features.square().sum(1).mean())
    other = loss_of(center=0.5)
    other.restore(loss.state())
    assert torch.equal(loss(logits, labels, features), other(logits, labels, features))
    assert not torch.equal(other(logits, labels, features), first)
    assert loss_of().state() == {}
