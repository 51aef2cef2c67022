"""The networks that recipes can ask for: they run, learn, and differ where they say that they do."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lstpnet.models.catalogue import NETWORKS
from lstpnet.models.channel_attention import CBAM, ECA, SE, ChannelAttention, NoAttention
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.network_config import NetworkConfig
from lstpnet.models.resnet import CHANNEL_ATTENTIONS
from lstpnet.models.variants import VARIANTS, cost, network_cost
from lstpnet.recipe_files import resolve_recipe
from tests.workspace import ROOT

SMALL = {"width_multiplier": 0.125}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_runs_and_every_weight_learns(name: str) -> None:
    torch.manual_seed(0)
    model = LSTPNet(5, **(dict(VARIANTS[name]) | SMALL))
    assert model.config.network == {**NetworkConfig().network, **VARIANTS[name], **SMALL}
    x = torch.rand(2, 5, 3, 40, 48)
    logits = model(x)
    assert logits.shape == (2, 5)
    torch.autograd.backward(F.cross_entropy(logits, torch.tensor([0, 3])))
    still = [n for n, parameter in model.named_parameters() if parameter.grad is None]
    assert still == []


@pytest.mark.parametrize("name", VARIANTS)
def test_a_recipe_can_ask_for_it(name: str) -> None:
    recipe = resolve_recipe("dfew", overrides=dict(VARIANTS[name])).recipe
    assert recipe.network == {**NetworkConfig().network, **VARIANTS[name]}


def test_the_papers_network_is_the_first_and_what_it_costs_is_counted() -> None:
    found = cost("lstpnet", is_timed=False)
    assert found.num_parameters == 24_619_686
    assert found.gmac[224] == pytest.approx(29.6, abs=0.05)  # 32.9 in the authors' order of operations
    assert found.gmac[64] < found.gmac[112] < found.gmac[224]
    assert found.milliseconds == {}
    assert cost("attention=none", is_timed=False).gmac[224] < found.gmac[224]


def test_the_table_on_the_page_is_counted() -> None:
    shown = {}
    for line in (ROOT / "docs/reference/models.md").read_text(encoding="utf-8").splitlines():
        if found := re.fullmatch(r"    (\S.*?)  +([\d.]+) M((?: +\d+\.\d\d){3})", line):
            shown[found[1]] = (found[2], *found[3].split())
    assert list(shown) == list(VARIANTS)
    for name in ("lstpnet", "attention=cbam", "temporal=gru", "num_layers=3"):
        counted = cost(name, is_timed=False)
        gmac = [f"{counted.gmac[size]:.2f}" for size in (224, 112, 64)]
        assert shown[name] == (f"{counted.num_parameters / 1e6:.2f}", *gmac)


def test_the_networks_on_the_page_are_counted() -> None:
    page = (ROOT / "docs/reference/models.md").read_text(encoding="utf-8")
    shown = re.findall(r"^    (\S+) +([\d.]+) M +([\d.]+) +(\d+) +(any|even|16)$", page, flags=re.MULTILINE)
    expected = []
    for name, facts in NETWORKS.items():
        if facts.missing_packages:
            shown = [line for line in shown if line[0] != name]
            continue
        counted = network_cost(name)
        figures = (f"{counted.num_parameters / 1e6:.2f}", f"{counted.gmac[facts.size_px]:.2f}")
        expected.append((name, *figures, str(facts.size_px), facts.short_frames))
    assert shown == expected


def test_a_clip_is_timed() -> None:
    found = cost("width_multiplier=0.25", sizes_px=(32,), num_frames=2)
    assert 0 < found.milliseconds[32] < 10_000


@settings(max_examples=20)
@given(
    name=st.sampled_from(["eca", "se", "cbam", "none"]),
    channels=st.sampled_from([8, 16, 64]),
    num_clips=st.integers(1, 3),
    num_frames=st.integers(1, 4),
    size=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_the_rivals_look_at_each_frame_alone_and_pool_what_they_excite(
    name: str, channels: int, num_clips: int, num_frames: int, size: int, seed: int
) -> None:
    torch.manual_seed(seed)
    module: ChannelAttention = CHANNEL_ATTENTIONS[name](channels).eval().double()
    x = torch.randn(num_clips * num_frames, channels, size, size, dtype=torch.float64)
    with torch.no_grad():
        excited = module(x, num_frames)
        torch.testing.assert_close(module.pooled(x, num_frames), excited.mean(dim=(2, 3)))
        torch.testing.assert_close(module(x.flip(0), 1), excited.flip(0))
    assert excited.shape == x.shape
    assert (excited.abs() <= x.abs() + 1e-12).all()


def maps() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(3, 32, 5, 5)


def test_eca_is_its_papers() -> None:
    module, x = ECA(32), maps()
    scores = F.conv1d(F.adaptive_avg_pool2d(x, 1).reshape(3, 1, 32), module.conv.weight, padding=1)
    torch.testing.assert_close(module(x, 1), x * scores.sigmoid().reshape(3, 32, 1, 1))


def test_se_is_its_papers() -> None:
    module, x = SE(32), maps()
    first, _, second = module.mlp
    squeezed = F.adaptive_avg_pool2d(x, 1).flatten(1)
    assert isinstance(first, nn.Linear)
    assert first.out_features == 2
    torch.testing.assert_close(module(x, 1), x * second(first(squeezed).relu()).sigmoid()[:, :, None, None])


def test_cbam_is_its_papers() -> None:
    module, x = CBAM(32).eval(), maps()
    channel = (
        module.mlp(F.adaptive_avg_pool2d(x, 1).flatten(1)) + module.mlp(F.adaptive_max_pool2d(x, 1).flatten(1))
    ).sigmoid()
    x1 = x * channel[:, :, None, None]
    places = torch.cat([x1.max(dim=1, keepdim=True).values, x1.mean(dim=1, keepdim=True)], dim=1)
    torch.testing.assert_close(
        module(x, 1), x1 * module.norm(F.conv2d(places, module.conv.weight, padding=3)).sigmoid()
    )


def test_none_is_nothing() -> None:
    x = maps()
    assert NoAttention(32)(x, 1) is x


@pytest.mark.parametrize("temporal", ["lstformer", "transformer", "lstm", "gru"])
def test_order_in_time_matters_to_every_head_but_the_mean(temporal: str) -> None:
    torch.manual_seed(0)
    settings_ = {**SMALL, "attention": "none"}
    x = torch.rand(1, 6, 3, 32, 32)
    with torch.no_grad():
        model = LSTPNet(temporal=temporal, **settings_).eval()  # type: ignore[arg-type]
        assert (model(x) - model(x.flip(1))).abs().max() > 1e-5
        mean = LSTPNet(temporal="mean", **settings_).eval()  # type: ignore[arg-type]
        torch.testing.assert_close(mean(x), mean(x.flip(1)))


def test_without_its_convolutions_the_lstformer_is_blind_to_order() -> None:
    torch.manual_seed(0)
    model = LSTPNet(attention="none", near_conv=False, ffn_conv=False, width_multiplier=0.125).eval()
    x = torch.rand(1, 6, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(model(x), model(x.flip(1)), atol=1e-5, rtol=1e-5)


def test_only_the_lstformer_has_attention_maps() -> None:
    with pytest.raises(ValueError, match="a model with temporal 'gru' has no attention maps"):
        LSTPNet(temporal="gru", width_multiplier=0.125).attention_maps(torch.rand(1, 2, 3, 32, 32))
