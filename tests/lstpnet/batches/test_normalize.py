from __future__ import annotations

from typing import get_args

import pytest
import torch

from lstpnet.batches.normalize import normalised
from lstpnet.models.catalogue import CHANNEL_NORMS
from lstpnet.recipe import InputNorm


def test_every_choice_but_two_is_one_of_these() -> None:
    assert {"none", "per-frame", *CHANNEL_NORMS} == set(get_args(InputNorm))


def pictures(*, batch: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 4, 3, 8, 10), dtype=torch.uint8, generator=generator)


def test_without_normalisation_pixels_are_divided_by_255_and_nothing_else() -> None:
    frames = pictures()
    out = normalised(frames, norm="none")
    assert out.dtype == torch.float32
    assert torch.equal(out, frames.float() / 255)
    assert normalised(torch.tensor([0, 255], dtype=torch.uint8), norm="none").tolist() == [0, 1]


def test_per_frame_gives_every_frame_mean_0_and_deviation_1() -> None:
    frames = pictures()
    frames[0, 0] //= 8  # a dark frame
    out = normalised(frames, norm="per-frame")
    assert (out.shape, out.dtype) == (frames.shape, torch.float32)
    assert out.mean(dim=(2, 3, 4)).abs().max() < 1e-5
    assert (out.std(dim=(2, 3, 4)) - 1).abs().max() < 0.05


def test_per_frame_survives_a_frame_of_one_colour() -> None:
    out = normalised(torch.full((1, 1, 3, 8, 8), 77, dtype=torch.uint8), norm="per-frame")
    assert out.isfinite().all()
    assert out.abs().max() < 1e-3


def test_brightness_and_contrast_do_not_matter_per_frame() -> None:
    frames = pictures() // 4
    lighter = normalised(frames * 2 + 40, norm="per-frame")
    assert (lighter - normalised(frames, norm="per-frame")).abs().max() < 0.05


def test_floats_are_taken_as_they_are() -> None:
    pixels = pictures().float() / 255
    assert torch.equal(normalised(pixels, norm="none"), pixels)
    assert torch.equal(normalised(pixels, norm="per-frame"), normalised(pictures(), norm="per-frame"))


@pytest.mark.parametrize("norm", CHANNEL_NORMS)
def test_channels_get_the_mean_and_deviation_of_their_data(norm: InputNorm) -> None:
    means, deviations = (torch.tensor(values)[:, None, None] for values in CHANNEL_NORMS[norm])
    wanted = (pictures().float() / 255 - means) / deviations
    pixels = pictures().float() / 255
    for frames in (pictures(), pixels):
        assert torch.allclose(normalised(frames, norm=norm), wanted, atol=1e-6)
    assert torch.equal(pixels, pictures().float() / 255)


@pytest.mark.parametrize("norm", ["none", "per-frame", "imagenet"])
def test_the_order_of_the_memory_is_kept_and_changes_no_value(norm: InputNorm) -> None:
    frames = pictures()
    stored = frames.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)  # pixel by pixel, as shards hold them
    out = normalised(stored, norm=norm)
    assert out.stride() == stored.stride()
    assert (out - normalised(frames, norm=norm)).abs().max() < 1e-6


def test_the_deviation_is_that_of_float64_up_to_rounding() -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(100, 120, (1, 2, 3, 224, 224), dtype=torch.uint8, generator=generator)
    exact = frames.double() / 255
    mean, deviation = exact.mean((2, 3, 4), keepdim=True), exact.std((2, 3, 4), keepdim=True)
    wanted = (exact - mean) / (deviation + 1e-3)
    assert (normalised(frames, norm="per-frame") - wanted).abs().max() < 1e-5
