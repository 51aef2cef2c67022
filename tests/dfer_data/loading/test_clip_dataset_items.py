"""The form of the training Dataset's items: number of frames, layout, normalisation, transform, default collate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import dfer_data as dd
from dfer_data.errors import UsageError
from dfer_data.frame_sampling import frames_of_clip

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def clips(crops: Path, **options: Any) -> dd.FaceClipDataset:
    return dd.FaceClipDataset(crops, clip_ids=["00001", "00002", "00008"], size_px=32, **options)


@pytest.mark.parametrize(
    ("layout", "shape", "order"),
    [
        ("TCHW", (16, 3, 32, 32), (0, 1, 2, 3)),
        ("CTHW", (3, 16, 32, 32), (1, 0, 2, 3)),
        ("THWC", (16, 32, 32, 3), (0, 2, 3, 1)),
    ],
)
def test_layouts_are_the_same_pixels_in_another_order(
    crops: Path, layout: Any, shape: tuple[int, ...], order: tuple[int, ...]
) -> None:
    frames = clips(crops, layout=layout)[0].frames
    assert (tuple(frames.shape), frames.dtype, frames.is_contiguous()) == (shape, torch.uint8, True)
    assert torch.equal(frames, clips(crops)[0].frames.permute(*order))


@pytest.mark.parametrize("num_frames", [8, 16, 24])
@pytest.mark.parametrize("split", ["train", "test"])
def test_any_number_of_frames(crops: Path, num_frames: int, split: Any) -> None:
    data = dd.FaceClipDataset(crops, fold=3, split=split, num_frames=num_frames, size_px=32)
    assert data[0].frames.shape == (num_frames, 3, 32, 32)
    assert data.item_shape == (1, num_frames, 32, 32, 3)


def test_eight_frames_are_those_of_the_formula(crops: Path) -> None:
    data = clips(crops, num_frames=8, draw=dd.FrameDraw("test"))
    reader, row = data.prepared._reader_of("00001")
    (indices,) = frames_of_clip(reader.num_frames(row), part="test", clip_frames=8)
    assert indices.tolist() == [2, 3, 6, 7, 10, 11, 14, 15]  # of 18: runs of two at int(4.25 / 2 + 4.25 k)
    whole = clips(crops, num_frames=18, draw=dd.FrameDraw("test", "dense"))[0].frames
    assert torch.equal(data[0].frames, whole[indices.tolist()])


def test_the_split_says_how_frames_are_drawn(crops: Path) -> None:
    train = dd.FaceClipDataset(crops, fold=3, split="train", size_px=32)
    test = dd.FaceClipDataset(crops, fold=3, split="test", size_px=32)
    assert (train.sampling, test.sampling, clips(crops).sampling) == ("train", "test", "test")
    first = train[4].frames
    train.epoch = 1
    assert not torch.equal(train[4].frames, first)


def test_mean_and_std_are_those_of_values_in_0_to_1(crops: Path) -> None:
    plain, normed = clips(crops)[0].frames, clips(crops, mean=MEAN, std=STD, layout="CTHW")[0].frames
    assert normed.dtype == torch.float32
    wanted = (plain.numpy().astype(np.float64) / 255 - np.array(MEAN)[:, None, None]) / np.array(STD)[:, None, None]
    np.testing.assert_allclose(normed.permute(1, 0, 2, 3).numpy(), wanted, atol=1e-5)


def test_items_have_the_type_that_is_asked_for(crops: Path) -> None:
    plain = clips(crops)[0].frames
    assert torch.equal(clips(crops, dtype=torch.float32)[0].frames, plain.float() / 255)
    normed = clips(crops, mean=MEAN, std=STD)[0].frames
    assert torch.equal(clips(crops, mean=MEAN, std=STD, dtype=torch.bfloat16)[0].frames, normed.bfloat16())
    assert torch.equal(clips(crops, dtype=torch.uint8)[0].frames, plain)
    halves = clips(crops, dtype=torch.float16, transform=lambda frames: frames.double() / 2)[0].frames
    assert torch.equal(halves, (plain.double() / 2).half())  # a transform that scales is not scaled again


def test_a_transform_sees_uint8_frames_before_all_else(crops: Path) -> None:
    seen: list[tuple[tuple[int, ...], torch.dtype]] = []

    def flip(frames: torch.Tensor) -> torch.Tensor:
        seen.append((tuple(frames.shape), frames.dtype))
        return frames.flip(-1)

    frames = clips(crops, transform=flip, layout="CTHW")[0].frames
    assert seen == [((16, 3, 32, 32), torch.uint8)]
    assert torch.equal(frames.permute(1, 0, 2, 3), clips(crops)[0].frames.flip(-1))


def test_the_default_collate_of_torch_joins_items(crops: Path) -> None:
    (batch,) = DataLoader(clips(crops, layout="CTHW", mean=MEAN, std=STD), batch_size=3)
    assert batch.frames.shape == (3, 3, 16, 32, 32)
    assert batch.label.tolist() == clips(crops).labels.tolist()
    assert tuple(batch.clip_id) == ("00001", "00002", "00008")


def test_an_open_dataset_will_do(crops: Path) -> None:
    data = dd.open_dataset(crops)
    assert dd.FaceClipDataset(data, fold=3).prepared is data


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layout": "CHWT"}, "layout 'CHWT': one of TCHW, CTHW, THWC is needed"),
        ({"mean": MEAN}, "three numbers each are needed"),
        ({"mean": MEAN, "std": (1, 1)}, "three numbers each are needed"),
        ({"mean": MEAN, "std": (1, 0, 1)}, "std above 0"),
        ({"dtype": torch.int64}, "dtype torch.int64: a floating-point type is needed"),
        ({"dtype": torch.uint8, "mean": MEAN, "std": STD}, "or torch.uint8 without mean and std"),
        ({"num_frames": 15}, "segments-8x2 takes 2 frames per segment: 15 is not a multiple"),
        ({"num_frames": 0}, "clips of 0 frames: must be 1 or more"),
    ],
)
def test_what_no_item_can_have_is_refused(crops: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        clips(crops, **options)


def test_the_loader_takes_plain_clips_alone(crops: Path) -> None:
    with pytest.raises(UsageError, match="layout, mean, std, dtype, transform and audio are for torch's DataLoader"):
        dd.ClipLoader(clips(crops, layout="CTHW"), batch_size=2)
    with pytest.raises(UsageError, match="for torch's DataLoader"):
        dd.ClipLoader(clips(crops, dtype=torch.float32), batch_size=2)
