"""Networks by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import lstpnet
from dfer_data.errors import UsageError


def test_a_model_by_name_gives_logits() -> None:
    model = lstpnet.build_model("lstpnet", num_classes=5, width_multiplier=0.125)
    assert isinstance(model, lstpnet.LSTPNet)
    assert model(torch.rand(2, 4, 3, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("resnet", {}, "unknown model 'resnet'; known: lstpnet"),
        ("lstpnet", {"width": 2}, "model lstpnet has no setting width; it has width_multiplier, attention"),
        ("lstpnet", {"width_multiplier": 0.3}, "model lstpnet: .*multiple of 0.125"),
    ],
)
def test_faults_are_one_line(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        lstpnet.build_model(name, **settings)


def test_a_network_whose_extra_is_missing_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"model clip-vit needs transformers and peft, not installed here: .*frontier"):
        lstpnet.build_model("clip-vit")


def test_the_softmax_of_a_dirichlets_logits_is_its_mean() -> None:
    torch.manual_seed(0)
    model = lstpnet.build_model("lstpnet", width_multiplier=0.125, is_dirichlet=True).eval()
    with torch.no_grad():
        features = 20 * model.features(torch.rand(2, 4, 3, 32, 32))
        alpha = torch.nn.functional.softplus(model.scores(features)) + 1
        mean = torch.distributions.Dirichlet(alpha).mean
        torch.testing.assert_close(model.classify(features).softmax(dim=1), mean)
