from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peers.plain_lstpnet import plain_gate
from lstpnet.models.channel_attention import kernel_size
from lstpnet.models.tce import TCE, num_reduced_channels, spatial_maximum


@pytest.mark.parametrize(
    ("channels", "maps", "taps"),
    [(8, 8, 3), (16, 8, 3), (32, 8, 3), (64, 8, 3), (128, 16, 5), (256, 32, 5), (512, 64, 5), (1024, 128, 5)],
)
def test_sizes_follow_from_the_channels(channels: int, maps: int, taps: int) -> None:
    assert (num_reduced_channels(channels), kernel_size(channels)) == (maps, taps)


@settings(max_examples=30, deadline=None)
@given(
    num_clips=st.integers(1, 3),
    num_frames=st.integers(1, 40),
    channels=st.sampled_from([8, 16, 64, 128]),
    height=st.integers(1, 14),
    width=st.integers(1, 14),
    seed=st.integers(0, 2**31),
)
def test_it_is_the_plain_form(
    num_clips: int, num_frames: int, channels: int, height: int, width: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    tce = TCE(channels).double()
    for parameter in tce.parameters():
        torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5, generator=generator)
    shape = (num_clips * num_frames, channels, height, width)
    x = torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_()
    weights = torch.randn(shape[:2], dtype=torch.float64, generator=generator)
    found, wanted = tce.gate(x, num_frames), plain_gate(tce, x, num_frames)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    inputs = [x, *tce.parameters()]
    gradients = [torch.autograd.grad((gate * weights).sum(), inputs) for gate in (found, wanted)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_it_multiplies_a_tenth_of_what_the_plain_form_multiplies() -> None:
    counts = dict.fromkeys(("found", "plain"), 0)
    for channels in (64, 128, 256, 512):  # of the four stages, two blocks each
        tce, x = TCE(channels), torch.rand(16, channels, 2, 2)
        for name, gate in (("found", tce.gate), ("plain", functools.partial(plain_gate, tce))):
            with FlopCounterMode(display=False) as counter:
                gate(x, 16)
            counts[name] += counter.get_total_flops()
    assert 0.09 < counts["found"] / counts["plain"] < 0.11


@pytest.mark.parametrize("num_rows", [1, 5, 12])
def test_maps_computed_a_few_frames_at_a_time_give_the_same_gate(
    num_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    tce, x = TCE(64).double(), torch.rand(6, 64, 3, 3, dtype=torch.float64)
    inputs = list(tce.parameters())
    whole = tce.gate(x, 3)
    monkeypatch.setattr("lstpnet.models.tce._CACHED_VALUES", num_rows * 8 * 64)
    parts = tce.gate(x, 3)
    torch.testing.assert_close(parts, whole, rtol=0, atol=1e-14)
    gradients = [torch.autograd.grad(gate.square().sum(), inputs) for gate in (whole, parts)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_of_equal_pixels_one_alone_gets_the_gradient_of_the_maximum() -> None:
    x = torch.ones(1, 8, 3, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(TCE(8).double().gate(x, 1).sum(), x)
    pixels = gradient.reshape(8, 9)
    from_the_mean = pixels.median(dim=1, keepdim=True).values
    assert ((pixels - from_the_mean).abs() > 1e-9).sum(dim=1).tolist() == [1] * 8


def test_a_gate_sees_its_own_clip_and_one_frame_to_either_side() -> None:
    tce, x = TCE(16), torch.rand(2 * 6, 16, 2, 2)
    changed = x.clone()
    changed[3] += 1  # frame 3 of the first clip
    moved = (tce.gate(changed, 6) - tce.gate(x, 6)).abs().amax(dim=1) > 0
    assert moved.nonzero().flatten().tolist() == [2, 3, 4]


def test_gates_lie_between_0_and_2_and_start_near_1() -> None:
    torch.manual_seed(0)
    gate = TCE(64).gate(torch.rand(8, 64, 4, 4), 8)
    assert gate.shape == (8, 64)
    assert 0.5 < gate.min() < gate.max() < 1.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (14, 14)])
def test_both_forms_of_the_maximum_have_equal_values_and_gradients_with_ties(
    dtype: torch.dtype, layout: torch.memory_format, size: tuple[int, int]
) -> None:
    generator = torch.Generator().manual_seed(size[0])
    x = torch.randint(0, 3, (6, 8, *size), generator=generator).to(dtype).contiguous(memory_format=layout)
    weights = torch.randn(6, 8, generator=generator).to(dtype)
    outcomes = []
    for scans in (False, True):
        pixels = x.clone().requires_grad_()
        largest = spatial_maximum(pixels, scans=scans)
        outcomes.append((largest.detach(), *torch.autograd.grad((largest * weights).sum(), pixels)))
    assert torch.equal(outcomes[0][0], outcomes[1][0])
    assert torch.equal(outcomes[0][1], outcomes[1][1])


def test_under_autocast_a_gate_is_that_of_float32_rounded_once() -> None:
    torch.manual_seed(0)
    tce, x = TCE(64), torch.rand(8, 64, 4, 4).bfloat16()
    exact = tce.gate(x.float(), 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gate = tce.gate(x, 8)
        assert torch.is_autocast_enabled("cpu")
    assert gate.dtype == torch.bfloat16
    assert torch.equal(gate, exact.bfloat16())
