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
