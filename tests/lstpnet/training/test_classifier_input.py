"""Losses over vectors train any model whose last linear layer is its classifier, and refuse the others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dfer_data.errors import UsageError
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.training.classifier_input import WithClassifierInput, check_losses, classifier_of
from lstpnet.training.experiment import make_experiment
from lstpnet.training.initial_model import initial_model
from lstpnet.training.run import train_run
from tests.lstpnet.conftest import quick

CPU = torch.device("cpu")
CLIPS = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Colours(nn.Module):
    """A model of someone else, in one file."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(3, 5)
        self.head = nn.Linear(5, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.hidden(x.mean(dim=(1, 3, 4))).tanh())
        return logits


class PerFrame(nn.Module):
    """Its classifier sees frames, not clips."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 7)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.mean(dim=(3, 4))).mean(dim=1)
        return logits


def build(num_classes: int) -> nn.Module:
    """Build the model for `model = ...`."""
    return Colours(num_classes)


def test_a_model_gives_its_logits_and_the_input_of_its_classifier() -> None:
    model = Colours(7)
    wrapped = WithClassifierInput(model, num_classes=7)
    for _ in range(2):
        logits, vectors = wrapped(CLIPS)
        assert torch.equal(model.head(vectors), logits)
        assert vectors.shape == (2, 5)
    model.eval()
    assert torch.equal(model(CLIPS), logits)
    wrapped.close()
    assert not model.head._forward_pre_hooks


def test_lstpnet_gives_its_own_features() -> None:
    model = LSTPNet(7, width_multiplier=0.125).eval()
    with torch.no_grad():
        logits, vectors = WithClassifierInput(model, num_classes=7)(CLIPS)
        assert torch.equal(logits, model(CLIPS))
        assert torch.equal(vectors, model.features(CLIPS))


@pytest.mark.parametrize("loss", ["clustered", "center"])
def test_models_without_a_linear_classifier_are_refused(loss: str) -> None:
    recipe = quick(**{loss: 1.0}).recipe
    for model in (nn.Conv3d(3, 7, 1), nn.Linear(3, 5)):
        check_losses(quick().recipe, model, num_classes=7)
        with pytest.raises(UsageError, match="last part is not a linear layer with one output per class"):
            check_losses(recipe, model, num_classes=7)
    with pytest.raises(UsageError, match="last part is not a linear layer"):
        WithClassifierInput(PerFrame(), num_classes=7)(CLIPS)
    assert classifier_of(Colours(7), num_classes=7).in_features == 5


def test_the_form_of_earlier_versions_is_refused_before_anything_is_written(crops: Path, tmp_path: Path) -> None:
    experiment = make_experiment(crops, quick(clustered=10, clustered_form="ratio"), fold=3, seed=0)
    with pytest.raises(UsageError, match=r"is in runs of earlier versions only, .*; use 'paper' or 'code'"):
        initial_model(experiment, init=None)
    with pytest.raises(UsageError, match="is in runs of earlier versions only"):
        train_run(experiment, tmp_path / "run", device=CPU)
    assert not (tmp_path / "run").exists()


def test_a_custom_model_trains_with_both_losses_and_again_on_all_of_train(crops: Path, tmp_path: Path) -> None:
    changes = {"clustered": 1.0, "clustered_form": "code", "center": 0.01, "refit": True, "val": "blocks", "ema": 0.5}
    name = f"{__name__}:build"
    experiment = make_experiment(crops, quick(model=name, frame_epochs=0, epochs=1, **changes), fold=3, seed=0)
    results = train_run(experiment, tmp_path / "run", device=CPU)["results"]
    assert [result["checkpoint"] for result in results] == ["last", "best", "refit"]
