from __future__ import annotations

import pytest
import torch

from lstpnet.inputs import mirrored, normalised


def pictures(*, batch: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 4, 3, 8, 10), dtype=torch.uint8, generator=generator)


IDS = [f"{number:05d}" for number in range(6)]


def mirror(
    frames: torch.Tensor, ids: list[str], *, probability: float = 0.5, seed: int = 0, epoch: int = 1
) -> list[int]:
    """Return which clips were mirrored, after checking that each is whole either way."""
    out = mirrored(frames, ids, probability=probability, seed=seed, epoch=epoch)
    assert (out.shape, out.dtype) == (frames.shape, frames.dtype)
    chosen = [index for index in range(len(ids)) if torch.equal(out[index], frames[index].flip(-1))]
    assert all(torch.equal(out[index], frames[index]) for index in range(len(ids)) if index not in chosen)
    return chosen


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


def test_mirroring_takes_whole_clips_and_is_a_function_of_seed_epoch_and_clip() -> None:
    frames = pictures()
    chosen = mirror(frames, IDS)
    assert mirror(frames, IDS) == chosen
    alone = [index for index in range(6) if mirror(frames[index : index + 1], IDS[index : index + 1])]
    assert alone == chosen
    others = [mirror(frames, IDS, epoch=epoch) for epoch in range(2, 8)]
    assert any(other != chosen for other in others)
    assert any(mirror(frames, IDS, seed=seed) != chosen for seed in range(1, 8))


@pytest.mark.parametrize(("probability", "wanted"), [(0.0, []), (1.0, [0, 1, 2, 3, 4, 5])])
def test_never_and_always(probability: float, wanted: list[int]) -> None:
    assert mirror(pictures(), IDS, probability=probability) == wanted


def test_about_the_share_that_was_asked_for() -> None:
    ids = [str(number) for number in range(1000)]
    frames = torch.tensor([0, 1], dtype=torch.uint8).expand(1000, 1, 1, 1, 2)
    out = mirrored(frames, ids, probability=0.3, seed=0, epoch=1)
    assert 250 < int((out[..., 0] == 1).sum()) < 350
