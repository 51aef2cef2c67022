"""The networks against the figures of their authors' code; tests/golden/networks/ and network_fill.py."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import lstpnet
from lstpnet.checkpoints.authors_names import AUTHORS_FILES
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.dynamic_static import DynamicStaticNetwork
from lstpnet.models.gca import GCA
from lstpnet.models.nr_dfernet import NRDFERNet
from tests.golden.network_fill import FILES, authors_tensors, figures, input_clips

DIGITS = 2e-9
"""The figures of stages have ten digits."""
STAGES = {
    "former-dfer": {
        "s_former.spatial_transformer": "spatial.transformer.0",
        "t_former.spatial_transformer.layers.0.1": "temporal.transformer.0",
    },
    "gca": {
        "s_former.layer1": "layer1",
        "s_former.layer2.0.gc": "layer2.gate.context",
        "s_former.layer3.0.gc": "layer3.gate.context",
        "s_former.pos_transformer": "static_transformer",
        "s_former.layer4": "dynamic.2",
        "s_former.temporal_transformer": "transformer",
    },
    "nr-dfernet": {
        **{f"s_former.layer{number}": f"layer{number}" for number in (1, 2, 3)},
        "s_former.s_branch": "static_transformer",
        "s_former.d_branch": "dynamic.2",
        "s_former.temporal_transformer": "transformer",
    },
}
"""Network -> authors' stages that a module of another place here computes."""
SMALL = [(name, case) for name in FILES for case, facts in figures(name)["cases"].items() if "f32_maxdiff" in facts]
SLOW = [("former-dfer", "112"), ("videomae-b16 at 224", "depth2_224"), ("gca", "112"), ("nr-dfernet", "112")]
"""Cases of seconds, of networks that another case covers."""
LARGE = [(name, case) for name in FILES for case in figures(name)["cases"] if (name, case) not in SMALL]


def golden_network(name: str, case: str) -> ClipNetwork:
    return lstpnet.load_reference(name.split()[0], authors_tensors(name, case))


def logits_and_stages(model: ClipNetwork, clips: Tensor, names: list[str]) -> tuple[Tensor, dict[str, dict[str, Any]]]:
    """The logits, and the figures of the modules' outputs that have one of the authors' names."""
    stages: dict[str, dict[str, Any]] = {}

    def figure(name: str) -> Any:
        def keep(module: nn.Module, inputs: object, out: Tensor | tuple[Tensor, Any]) -> None:
            out = out[0] if isinstance(out, tuple) else out  # an LSTM's states follow
            flat = out.double().flatten()
            stages[name] = {
                "shape": list(out.shape),
                "mean": flat.mean().item(),
                "std": flat.std(correction=0).item(),
                "absmax": flat.abs().max().item(),
                "sum": flat.sum().item(),
                "first8": flat[:8].tolist(),
            }

        return keep

    files = AUTHORS_FILES[model.name]
    modules = {files.authors_name(f"{name}.").rstrip("."): module for name, module in model.named_modules() if name}
    modules |= {name: model.get_submodule(ours) for name, ours in STAGES.get(model.name, {}).items()}
    for name in names:
        if name in modules:
            modules[name].register_forward_hook(figure(name))
    with torch.no_grad():
        return model(clips), stages


def check_stages(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]], *, rtol: float) -> None:
    assert len(found) >= min(4, len(expected))
    for name, stage in found.items():
        golden = expected[name]
        assert stage["shape"] == golden["shape"], name
        scale = golden["absmax"]
        for key in ("mean", "std", "absmax"):
            assert math.isclose(stage[key], golden[key], rel_tol=rtol, abs_tol=rtol * scale), (name, key)
        assert abs(stage["sum"] - golden["sum"]) <= rtol * scale * math.prod(golden["shape"]), name
        np.testing.assert_allclose(stage["first8"], golden["first8"], rtol=0, atol=rtol * scale, err_msg=name)


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(*item, marks=pytest.mark.soak) if item in SLOW else item for item in SMALL],
)
def test_logits_and_stages_are_the_authors(name: str, case: str) -> None:
    golden = figures(name)["cases"][case]
    expected = torch.tensor(golden["logits"], dtype=torch.float64)
    model = golden_network(name, case)
    clips = input_clips(name, case)
    with torch.no_grad():
        torch.testing.assert_close(model(clips).double(), expected, rtol=0, atol=1e-5)
    logits, stages = logits_and_stages(model.double(), clips.double(), list(golden["stages"]))
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-10)
    check_stages(stages, golden["stages"], rtol=DIGITS)


@pytest.mark.parametrize("case", [pytest.param("112", marks=pytest.mark.soak), "112b1"])
def test_auxiliary_and_snippet_logits_are_the_authors(case: str) -> None:
    gca, golden = golden_network("gca", case).double(), figures("gca")["cases"][case]
    robust, golden_robust = golden_network("nr-dfernet", case).double(), figures("nr-dfernet")["cases"][case]
    assert isinstance(gca, GCA)
    assert isinstance(robust, NRDFERNet)
    with torch.no_grad():
        second, third = gca.auxiliary_logits(input_clips("gca", case).double())
        snippets = robust.snippet_logits(input_clips("nr-dfernet", case).double())
    for found, expected in (
        (second, golden["aux_logits_layer2"]),
        (third, golden["aux_logits_layer3"]),
        (snippets, golden_robust["snippet_logits"]),
    ):
        torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("name", "case"), [item for item in SMALL if item[1] in ("32", "64")])
def test_time_colour_and_side_move_the_logits_as_the_authors(name: str, case: str) -> None:
    golden = figures(name)["cases"][case]
    model, clips = golden_network(name, case), input_clips(name, case)
    changed = {"time_reversed": clips.flip(1), "channels_bgr": clips.flip(2), "mirrored": clips.flip(4)}
    with torch.no_grad():
        logits = model(clips)
        moves = {key: (model(x) - logits).abs().max().item() for key, x in changed.items()}
    assert moves == pytest.approx(golden["moves"], abs=1e-4, rel=1e-2)


@pytest.mark.soak
@pytest.mark.parametrize(("name", "case"), LARGE)
def test_logits_at_full_size_are_the_authors(name: str, case: str) -> None:
    golden = figures(name)["cases"][case]
    logits, stages = logits_and_stages(golden_network(name, case), input_clips(name, case), list(golden["stages"]))
    torch.testing.assert_close(logits, torch.tensor(golden["logits"]), rtol=0, atol=2e-5)
    check_stages(stages, golden["stages"], rtol=2e-5)


@pytest.mark.parametrize(("name", "case"), SMALL + LARGE)
def test_multiply_adds_are_the_authors(name: str, case: str) -> None:
    document = figures(name)
    settings: dict[str, Any] = (
        {"depth": int(case.removeprefix("depth").partition("_")[0])} if case.startswith("depth") else {}
    )
    if name == "nr-dfernet":
        settings["neutral_class"] = 2  # theirs always computes the snippets
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        model = lstpnet.build_model(name.split()[0], 7, **settings).eval()
        add_wasted_work(model)
        model(input_clips(name, case)[:1].to("meta"))
    counted = counter.get_total_flops() / 2e9
    assert counted == pytest.approx(document["cases"][case]["gmacs_per_clip"], rel=5e-5)
    if "depth" not in settings:
        assert sum(parameter.numel() for parameter in model.parameters()) == document["params"]


def add_wasted_work(model: ClipNetwork) -> None:
    """Compute what the counts of GCA's and NR-DFERNet's code hold besides: transformers again, auxiliary heads."""
    if isinstance(model, DynamicStaticNetwork):
        for part in (model.static_transformer, model.transformer):
            part.register_forward_pre_hook(lambda module, inputs: run(module.forward, *inputs))
    if isinstance(model, GCA):
        for block in (model.layer2, model.layer3):
            block.gate.register_forward_hook(lambda gate, inputs, out, block=block: run(block.auxiliary, out[1]))


def run(forward: Callable[[Tensor], Tensor], x: Tensor) -> None:
    """Compute an output for nothing."""
    forward(x)
