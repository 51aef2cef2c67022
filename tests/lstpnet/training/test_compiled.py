"""A step is one CUDA graph unless gradients are summed; a machine that cannot compile says so in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dfer_data.errors import DferError
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.training.compiled import compiled


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_without_a_compiler_the_error_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    run = compiled(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Tanh()), torch.device("cpu"))
    with pytest.raises(DferError, match=r"(?s)torch\.compile failed on this machine: .*no-such-compiler.*a C\+\+ comp"):
        run(torch.zeros(4, 3))


@pytest.mark.parametrize(
    ("device", "sums_gradients", "mode"),
    [("cuda", False, "reduce-overhead"), ("cuda", True, None), ("cpu", False, None), ("cpu", True, None)],
)
def test_sums_of_gradients_are_not_left_in_the_memory_of_a_cuda_graph(
    device: str, sums_gradients: bool, mode: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph of the next batch would write over them."""
    modes: list[str | None] = []
    monkeypatch.setattr(torch, "compile", lambda module, dynamic, mode: modes.append(mode))
    compiled(torch.nn.Linear(3, 2), torch.device(device), sums_gradients=sums_gradients)
    assert modes == [mode]


@pytest.mark.soak
def test_one_compiled_network_serves_the_next_model_too() -> None:
    """So the folds and seeds of a command are compiled once."""
    from torch._dynamo.utils import counters

    torch.compiler.reset()
    counters.clear()
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = LSTPNet(7, width_multiplier=0.125)
        clips = torch.rand(2, 16, 3, 32, 32)
        traced = torch.compile(model, dynamic=False, backend="eager")
        torch.testing.assert_close(traced(clips), model(clips))
    assert (counters["stats"]["unique_graphs"], counters["graph_break"]) == (1, {})
