from __future__ import annotations

import pytest
import torch

from lstpnet.models.drop_path import DropPath, drop_path_rates


def test_clips_are_dropped_whole_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    x = torch.ones(4000, 2, 3)
    out = DropPath(0.25)(x)
    values = out.flatten(1)
    assert bool((values == values[:, :1]).all())
    assert values.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(out.mean()) == pytest.approx(1, abs=0.03)


def test_in_eval_mode_and_without_a_probability_nothing_is_changed_or_drawn() -> None:
    x, before = torch.rand(3, 2), torch.get_rng_state()
    for layer in (DropPath(0.5).eval(), DropPath()):
        assert layer(x) is x
    assert torch.equal(torch.get_rng_state(), before)


def test_the_branch_has_a_gradient_where_it_is_kept() -> None:
    torch.manual_seed(1)
    x = torch.ones(8, 2, requires_grad=True)
    out = DropPath(0.5)(x)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, out.detach())


def test_rates_rise_evenly_and_bad_ones_are_refused() -> None:
    assert drop_path_rates(0.1, depth=5) == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])
    assert drop_path_rates(0.1, depth=1) == [0]
    for probability in (-0.1, 1.0):
        with pytest.raises(ValueError, match="must be 0 or more and less than 1"):
            DropPath(probability)
