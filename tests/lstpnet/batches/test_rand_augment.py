"""Operations are PIL's as timm uses them, draws are those of timm's rand-m7-n4-mstd0.5-inc1, alike over a clip."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from lstpnet.batches.rand_augment import OPERATIONS, RandAugmentPolicy, drawn_operations, rand_augmented

IDS = [f"{number:05d}" for number in range(6)]
POLICY = RandAugmentPolicy(num_operations=4, magnitude=7, deviation=0.5)


def pictures(*, num_clips: int = 1, size: tuple[int, int] = (40, 56)) -> torch.Tensor:
    """Clips of 3 smooth frames with some noise, in the memory order of stored clips."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[: size[0], : size[1]]
    frames = [[np.stack([x * 2 + 9 * c, y * 3 + 5 * t, x + 2 * y], -1) for t in range(3)] for c in range(num_clips)]
    smooth = 120 + 90 * np.sin(np.array(frames) / 23) + rng.normal(0, 6, (num_clips, 3, *size, 3))
    return torch.from_numpy(smooth.clip(0, 255).astype(np.uint8)).permute(0, 1, 4, 2, 3)


def moved(matrix: Callable[[float, int, int], tuple[float, ...]]) -> Callable[[Image.Image, float], Image.Image]:
    def change(picture: Image.Image, argument: float) -> Image.Image:
        data = matrix(argument, *picture.size)
        affine, bicubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
        return picture.transform(picture.size, affine, data, resample=bicubic, fillcolor=(128, 128, 128))

    return change


def solarize_add(picture: Image.Image, added: float) -> Image.Image:
    return picture.point([min(255, level + int(added)) if level < 128 else level for level in range(256)] * 3)


REFERENCES: Mapping[str, Callable[[Image.Image, Any], Image.Image]] = {
    "AutoContrast": lambda picture, _: ImageOps.autocontrast(picture),
    "Equalize": lambda picture, _: ImageOps.equalize(picture),
    "Invert": lambda picture, _: ImageOps.invert(picture),
    "Rotate": lambda picture, degrees: picture.rotate(
        degrees, resample=Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)
    ),
    "PosterizeIncreasing": lambda picture, bits: (
        ImageOps.posterize(picture, int(bits)) if bits else picture.point([0] * 768)
    ),
    "SolarizeIncreasing": lambda picture, threshold: ImageOps.solarize(picture, int(threshold)),
    "SolarizeAdd": solarize_add,
    "ColorIncreasing": lambda picture, factor: ImageEnhance.Color(picture).enhance(factor),
    "ContrastIncreasing": lambda picture, factor: ImageEnhance.Contrast(picture).enhance(factor),
    "BrightnessIncreasing": lambda picture, factor: ImageEnhance.Brightness(picture).enhance(factor),
    "SharpnessIncreasing": lambda picture, factor: ImageEnhance.Sharpness(picture).enhance(factor),
    "ShearX": moved(lambda factor, width, height: (1, factor, 0, 0, 1, 0)),
    "ShearY": moved(lambda factor, width, height: (1, 0, 0, factor, 1, 0)),
    "TranslateXRel": moved(lambda share, width, height: (1, 0, share * width, 0, 1, 0)),
    "TranslateYRel": moved(lambda share, width, height: (1, 0, 0, 0, 1, share * height)),
}
ROUNDED = {
    *("Rotate", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"),
    *("ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing"),
}
"""Operations with fractions, which PIL may round to the neighbouring level; the others are exact."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_are_those_of_pil(name: str) -> None:
    """Up to the greatest strength: at most 1 % of the pixels are off, by 1 of 255; none of the exact operations."""
    clip = pictures()[0]
    before = clip.clone()
    for share, sign in ((0.7, 1), (0.7, -1), (0.31, 1), (1.0, -1)):
        argument = OPERATIONS[name].argument(share, sign)
        out = OPERATIONS[name].change(clip, argument)
        assert (out.shape, out.dtype) == (clip.shape, torch.uint8)
        for frame, mine in zip(clip, out, strict=True):
            picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
            theirs: npt.NDArray[np.int16] = np.asarray(REFERENCES[name](picture, argument)).astype(np.int16)
            difference = np.abs(mine.permute(1, 2, 0).numpy().astype(np.int16) - theirs)
            assert difference.max() <= (name in ROUNDED)
            assert np.mean(difference > 0) <= 0.01
    assert torch.equal(clip, before)


def test_frames_of_one_colour_and_of_two_stay_finite() -> None:
    for name in ("AutoContrast", "Equalize"):
        for levels in ([77] * 64, [3] * 63 + [200]):
            clip = torch.tensor(levels, dtype=torch.uint8).reshape(1, 1, 8, 8).expand(1, 3, 8, 8)
            picture = Image.fromarray(clip[0].permute(1, 2, 0).contiguous().numpy())
            wanted = np.asarray(REFERENCES[name](picture, 0))
            assert np.array_equal(OPERATIONS[name].change(clip, 0)[0].permute(1, 2, 0).numpy(), wanted)


def test_draws_are_a_function_of_seed_epoch_and_clip() -> None:
    first = [drawn_operations(clip_id, POLICY, seed=0, epoch=1) for clip_id in IDS]
    assert [drawn_operations(clip_id, POLICY, seed=0, epoch=1) for clip_id in IDS] == first
    assert [drawn_operations(clip_id, POLICY, seed=1, epoch=1) for clip_id in IDS] != first
    assert [drawn_operations(clip_id, POLICY, seed=0, epoch=2) for clip_id in IDS] != first
    assert len({str(draws) for draws in first}) == 6


def test_draws_have_timms_frequencies_and_strengths() -> None:
    draws = [item for number in range(3000) for item in drawn_operations(str(number), POLICY, seed=0, epoch=1)]
    assert len(draws) == pytest.approx(3000 * 4 / 2, rel=0.03)
    counts = Counter(name for name, _ in draws)
    assert set(counts) == set(OPERATIONS)
    assert max(abs(count - len(draws) / 15) for count in counts.values()) < 90
    degrees = np.array([argument for name, argument in draws if name == "Rotate"])
    assert np.mean(degrees > 0) == pytest.approx(0.5, abs=0.1)
    assert np.abs(degrees).mean() == pytest.approx(21, abs=0.4)
    assert np.abs(degrees).std() == pytest.approx(1.5, abs=0.2)
    factors = np.array([argument for name, argument in draws if name == "ColorIncreasing"])
    assert np.abs(factors - 1).mean() == pytest.approx(0.63, abs=0.02)
    assert {argument for name, argument in draws if name == "PosterizeIncreasing"} <= {1, 2}
    strongest = RandAugmentPolicy(num_operations=20, magnitude=10, deviation=0)
    extremes = dict(item for number in range(30) for item in drawn_operations(str(number), strongest, seed=0, epoch=1))
    assert (extremes["PosterizeIncreasing"], extremes["SolarizeIncreasing"], extremes["SolarizeAdd"]) == (0, 0, 110)


def test_a_clip_changes_by_its_own_draws_whatever_its_batch() -> None:
    frames = pictures(num_clips=6)
    before = frames.clone()
    out = rand_augmented(frames, IDS, POLICY, seed=3, epoch=1)
    assert torch.equal(frames, before)
    assert out.stride() == frames.stride()  # as stored clips are in memory
    order = random.Random(0).sample(range(6), 6)
    again = rand_augmented(frames[order], [IDS[i] for i in order], POLICY, seed=3, epoch=1)
    assert torch.equal(again, out[order])
    for number in range(6):
        wanted = frames[number]
        for name, argument in drawn_operations(IDS[number], POLICY, seed=3, epoch=1):
            wanted = OPERATIONS[name].change(wanted, argument)
        assert torch.equal(out[number], wanted)
    still = frames[:, :1].expand_as(frames)
    changed = rand_augmented(still, IDS, POLICY, seed=3, epoch=1)
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
    assert not torch.equal(changed, still)
