"""The snippet filter of NR-DFERNet."""

from __future__ import annotations

import pytest
import torch

import lstpnet
from dfer_data.errors import UsageError
from lstpnet.models.nr_dfernet import NRDFERNet, filtered


def logits_of(chances: list[float]) -> torch.Tensor:
    return torch.tensor(chances).log()


def test_a_sure_snippet_of_another_class_rules_out_neutral() -> None:
    sure, unsure = logits_of([0.01, 0.19, 0.80]), logits_of([0.02, 0.24, 0.74])
    neutral = logits_of([0.04, 0.01, 0.95])
    logits = torch.tensor([[3.0, 2.0, 1.0]] * 3)
    snippets = torch.stack([torch.stack([unsure, sure]), torch.stack([unsure, unsure]), torch.stack([neutral] * 2)])
    expected = [[-1000.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]
    assert filtered(logits, snippets, neutral_class=0).tolist() == expected


def test_the_filter_works_in_testing_alone_and_with_a_neutral_class_alone() -> None:
    torch.manual_seed(0)
    plain = lstpnet.build_model("nr-dfernet", width_multiplier=0.125, depth=1)
    robust = lstpnet.build_model("nr-dfernet", width_multiplier=0.125, depth=1, neutral_class=2)
    assert isinstance(plain, NRDFERNet)
    assert isinstance(robust, NRDFERNet)
    robust.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for model in (plain, robust):
            model.fc.weight.zero_()
            model.fc.bias.copy_(torch.tensor([9.0] + [0.0] * 6))
        clips = torch.rand(2, 16, 3, 112, 112)
        assert torch.equal(robust.train()(clips), plain.train()(clips))
        found, expected = robust.eval()(clips), plain.eval()(clips)
    assert found[:, 2].tolist() == [-1000.0] * 2
    others = [0, 1, 3, 4, 5, 6]
    assert torch.equal(found[:, others], expected[:, others])


def test_a_neutral_class_that_is_none_of_the_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="neutral_class 5: must be -1 or the number of one of 5 classes"):
        lstpnet.build_model("nr-dfernet", 5, neutral_class=5)
