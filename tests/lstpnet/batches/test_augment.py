"""Changes are the same over a clip's frames, a function of (seed, epoch, clip id), and what other libraries make."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from lstpnet.batches import augment
from lstpnet.batches.augment import Augmentation, augmented, mixed
from lstpnet.batches.rand_augment import RandAugmentPolicy, rand_augmented

IDS = [f"{number:05d}" for number in range(6)]
EVERYTHING = Augmentation(
    flip=0.5, crop=0.5, rotation_degrees=20, brightness=0.4, contrast=0.4, saturation=0.4, erasing=0.5
)


def pictures(*, batch: int = 6, size: tuple[int, int] = (24, 24)) -> torch.Tensor:
    """Smooth colours, each clip's own, frame by frame a little brighter."""
    y, x = np.mgrid[: size[0], : size[1]]
    clips = [[np.stack([x * 3 + 9 * b, y * 4 + t, (x + y) * 2 + b]) for t in range(4)] for b in range(batch)]
    return torch.from_numpy((127 + 100 * np.sin(np.array(clips) / 29)).astype(np.uint8))


def change(frames: torch.Tensor, ids: list[str], *, seed: int = 0, epoch: int = 1, **settings: Any) -> torch.Tensor:
    return augmented(frames, ids, Augmentation(**settings), seed=seed, epoch=epoch)


def mirror(frames: torch.Tensor, ids: list[str], **options: Any) -> list[int]:
    """Return which clips were mirrored, after checking that each is whole either way."""
    out = change(frames, ids, **{"flip": 0.5, **options})
    assert (out.shape, out.dtype) == (frames.shape, frames.dtype)
    chosen = [index for index in range(len(ids)) if torch.equal(out[index], frames[index].flip(-1))]
    assert all(torch.equal(out[index], frames[index]) for index in range(len(ids)) if index not in chosen)
    return chosen


def test_mirroring_takes_whole_clips_and_is_a_function_of_seed_epoch_and_clip() -> None:
    frames = pictures()
    chosen = mirror(frames, IDS)
    assert mirror(frames, IDS) == chosen
    alone = [index for index in range(6) if mirror(frames[index : index + 1], IDS[index : index + 1])]
    assert alone == chosen
    assert any(mirror(frames, IDS, epoch=epoch) != chosen for epoch in range(2, 8))
    assert any(mirror(frames, IDS, seed=seed) != chosen for seed in range(1, 8))


@pytest.mark.parametrize(("probability", "wanted"), [(0.0, []), (1.0, [0, 1, 2, 3, 4, 5])])
def test_never_and_always(probability: float, wanted: list[int]) -> None:
    assert mirror(pictures(), IDS, flip=probability) == wanted


def test_about_the_share_that_was_asked_for() -> None:
    ids = [str(number) for number in range(1000)]
    frames = torch.tensor([0, 1], dtype=torch.uint8).expand(1000, 1, 1, 1, 2)
    out = change(frames, ids, flip=0.3)
    assert 250 < int((out[..., 0] == 1).sum()) < 350


def test_everything_at_once_depends_on_the_clip_and_not_on_its_batch() -> None:
    frames = pictures()
    before = frames.clone()
    out = augmented(frames, IDS, EVERYTHING, seed=3, epoch=2)
    assert torch.equal(frames, before)
    assert out.dtype == torch.float32
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    order = [4, 2, 0, 5, 1, 3]
    again = augmented(frames[order], [IDS[i] for i in order], EVERYTHING, seed=3, epoch=2)
    assert torch.equal(again, out[order])
    for number in range(6):
        one = augmented(frames[number : number + 1], [IDS[number]], EVERYTHING, seed=3, epoch=2)
        assert torch.allclose(one[0], out[number], atol=1e-6)
    assert not torch.equal(augmented(frames, IDS, EVERYTHING, seed=3, epoch=3), out)
    assert not torch.equal(augmented(frames, IDS, EVERYTHING, seed=4, epoch=2), out)


def test_all_frames_of_a_clip_change_alike() -> None:
    frames = pictures()[:, :1].expand(-1, 4, -1, -1, -1)
    out = augmented(frames, IDS, EVERYTHING, seed=3, epoch=2)
    assert torch.allclose(out, out[:, :1].expand_as(out), atol=1e-6)


@pytest.mark.parametrize("size", [(24, 24), (20, 32)])
def test_crop_and_turn_are_those_of_opencv(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    frames = pictures(size=size)
    drawn = []

    def watch(*args: Any, **options: Any) -> Any:
        drawn.append(augment._Draws([], [], [], [], []))
        drawn[-1] = plain(*args, **options)
        return drawn[-1]

    plain = augment._draw
    monkeypatch.setattr(augment, "_draw", watch)
    out = change(frames, IDS, crop=0.4, rotation_degrees=30)
    (draws,) = drawn
    height, width = size
    for number in range(len(IDS)):
        share_x, share_y, x, y = draws.crops[number]
        angle = draws.radians[number]
        # where an output pixel comes from: cut out, then turned about the middle; pixel centres are whole numbers
        cut = np.array([[share_x, 0, x * width - share_x * width / 2], [0, share_y, y * height - share_y * height / 2]])
        middle = np.array([width / 2, height / 2])
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        matrix = turn @ cut
        matrix[:, 2] += middle - turn @ middle + matrix[:, :2] @ [0.5, 0.5] - 0.5
        for t in range(frames.shape[1]):
            wanted = cv2.warpAffine(
                frames[number, t].permute(1, 2, 0).numpy().astype(np.float32) / 255,
                matrix,
                (width, height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            )
            assert np.abs(out[number, t].permute(1, 2, 0).numpy() - wanted).max() < 0.03  # OpenCV's 1/32 pixel


@pytest.mark.parametrize(
    ("name", "enhance", "position"),
    [
        ("brightness", ImageEnhance.Brightness, 0),
        ("saturation", ImageEnhance.Color, 2),
        ("contrast", ImageEnhance.Contrast, 1),
    ],
)
def test_colours_change_as_in_pil(name: str, enhance: Any, position: int) -> None:
    frames = pictures()[:, :1]
    changes = replace(Augmentation(), **{name: cast("Any", 0.5)})
    out = augmented(frames, IDS, changes, seed=0, epoch=1)
    draws = augment._draw(IDS, changes, seed=0, epoch=1)
    for number in range(len(IDS)):
        factor = draws.colours[number][position]
        assert 0.5 <= factor <= 1.5
        picture = Image.fromarray(frames[number, 0].permute(1, 2, 0).numpy())
        wanted = np.asarray(enhance(picture).enhance(factor)).astype(np.float32) / 255
        assert np.abs(out[number, 0].permute(1, 2, 0).numpy() - wanted).max() < 2.5 / 255  # PIL rounds to whole levels


def test_erasing_blackens_a_rectangle_in_every_frame() -> None:
    ids = [str(number) for number in range(200)]
    frames = torch.full((200, 2, 3, 40, 40), 255, dtype=torch.uint8)
    out = change(frames, ids, erasing=0.4)
    assert set(out.unique().tolist()) == {0.0, 1.0}
    erased = (out == 0).all(dim=(1, 2))
    assert torch.equal(erased, (out == 0).any(dim=(1, 2)))
    shares = erased.float().mean(dim=(1, 2))
    assert 60 < int((shares > 0).sum()) < 100
    assert float(shares[shares > 0].min()) > 0.01
    assert float(shares.max()) < 0.36
    for clip in erased[shares > 0]:
        assert int(clip.any(0).sum() * clip.any(1).sum()) == int(clip.sum())


def test_a_crop_keeps_the_share_it_may() -> None:
    ids = [str(number) for number in range(300)]
    draws = augment._draw(ids, Augmentation(crop=0.6), seed=0, epoch=0)
    for width, height, x, y in draws.crops:
        assert 0.5 < width * height <= 1
        assert 0 <= x - width / 2 <= x + width / 2 <= 1 + 1e-9
        assert 0 <= y - height / 2 <= y + height / 2 <= 1 + 1e-9


def mix(pixels: torch.Tensor, labels: torch.Tensor, *, epoch: int, **settings: Any) -> Any:
    return mixed(pixels, labels, IDS, Augmentation(**settings), num_classes=7, seed=0, epoch=epoch)


def test_rand_augment_comes_before_the_others() -> None:
    frames = pictures()
    policy = RandAugmentPolicy(num_operations=4, magnitude=9, deviation=0)
    out = change(frames, IDS, randaugment_ops=4, randaugment_magnitude=9.0, randaugment_deviation=0.0)
    assert out.dtype == torch.uint8
    assert torch.equal(out, rand_augmented(frames, IDS, policy, seed=0, epoch=1))
    both = change(frames, IDS, randaugment_ops=4, randaugment_magnitude=9.0, randaugment_deviation=0.0, flip=1.0)
    assert torch.equal(both, out.flip(-1))
    draws, with_it = (augment._draw(IDS, replace(EVERYTHING, randaugment_ops=n), seed=0, epoch=1) for n in (0, 4))
    assert draws == with_it


def test_without_mixing_labels_stay_labels() -> None:
    labels = torch.arange(6)
    pixels = pictures().float()
    out, targets = mix(pixels, labels, epoch=1)
    assert out is pixels
    assert targets is labels


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixed_pictures_and_targets_have_the_same_shares(kind: str) -> None:
    """Every clip is of one value, its label's, so the mean of a mixed clip says what it is made of."""
    labels = torch.tensor([0, 1, 2, 3, 4, 5])
    values = 10.0**labels
    pixels = values[:, None, None, None, None].expand(6, 2, 3, 30, 30).clone()
    before = pixels.clone()
    shares = []
    for epoch in range(12):
        out, targets = mix(pixels.clone(), labels, epoch=epoch, **{kind: 1.0})
        assert torch.allclose(targets.sum(1), torch.ones(6))
        assert torch.allclose(out.mean(dim=(1, 2, 3, 4)), targets[:, :6] @ values, rtol=1e-4)
        again, same = mix(pixels.clone(), labels, epoch=epoch, **{kind: 1.0})
        assert torch.equal(again, out)
        assert torch.equal(same, targets)
        shares += targets.max(1).values.tolist()
    assert torch.equal(pixels, before)
    assert len({round(share, 3) for share in shares}) > 5


def test_mixup_and_cutmix_take_turns_by_chance() -> None:
    pixels = torch.rand(6, 1, 3, 30, 30)
    kinds = set()
    for epoch in range(12):
        out, targets = mix(pixels.clone(), torch.arange(6), epoch=epoch, mixup=1.0, cutmix=1.0)
        row = next(i for i in range(6) if targets[i].max() < 1)
        kinds.add("cutmix" if bool((out[row] == pixels[row]).any()) else "mixup")
    assert kinds == {"mixup", "cutmix"}
