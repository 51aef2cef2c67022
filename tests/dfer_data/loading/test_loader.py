"""The loader gives the dataset's clips, in the epoch's order, whatever reads them and wherever it goes on."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from dfer_data.errors import CorruptShardError, UsageError
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw, Sampling
from dfer_data.loading.epoch_order import class_shares
from dfer_data.loading.frame_cache import FrameCache
from dfer_data.loading.loader import Batch, ClipLoader
from tests.crops import damage

Seen = list[tuple[tuple[str, ...], list[int], torch.Tensor]]


def clips(
    root: Path, *, sampling: Sampling = "train", sampler: str = "segments-8x2", **options: Any
) -> FaceClipDataset:
    draw = FrameDraw(sampling, sampler, seed=1)
    return FaceClipDataset(root, **{"fold": 3, "size_px": 32, "draw": draw, **options})


def kept(batch: Batch) -> tuple[tuple[str, ...], list[int], torch.Tensor]:
    return batch.clip_ids, batch.labels.tolist(), batch.frames.clone()


def seen(loader: ClipLoader, epoch: int, *, start: int = 0) -> Seen:
    return [kept(batch) for batch in loader.epoch(epoch, start=start)]


def equal(a: Seen, b: Seen) -> bool:
    return [one[:2] for one in a] == [one[:2] for one in b] and all(
        torch.equal(one[2], other[2]) for one, other in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("sampling", ["train", "test", "frame"])
@pytest.mark.parametrize("size_px", [32, 224])
def test_batches_hold_what_the_dataset_gives(crops: Path, sampling: Sampling, size_px: int) -> None:
    data = clips(crops, sampling=sampling, size_px=size_px)
    number = {clip_id: index for index, clip_id in enumerate(data.clip_ids)}
    found = seen(ClipLoader(data, batch_size=8), 5)
    assert sorted(clip_id for ids, _, _ in found for clip_id in ids) == sorted(data.clip_ids)
    for ids, labels, frames in found[:2]:
        for clip_id, label, mine in zip(ids, labels, frames, strict=True):
            item = data[number[clip_id]]
            assert torch.equal(mine, item.frames)
            assert label == item.label


@pytest.mark.parametrize(
    "options", [{"num_threads": 1, "ahead": 1}, {"num_threads": 3}, {"num_threads": 2, "ahead": 9}]
)
def test_threads_change_nothing(crops: Path, options: dict[str, Any]) -> None:
    loader, alone = ClipLoader(clips(crops), batch_size=8, **options), ClipLoader(clips(crops), batch_size=8)
    for epoch in (1, 2, 1):
        assert equal(seen(loader, epoch), seen(alone, epoch))
    assert not equal(seen(alone, 1), seen(alone, 2))


@pytest.mark.parametrize("num_threads", [0, 2])
def test_an_epoch_goes_on_where_it_stopped(crops: Path, num_threads: int) -> None:
    whole = seen(ClipLoader(clips(crops), batch_size=8), 4)
    stopped, position = [], 0
    for batch in ClipLoader(clips(crops), batch_size=8, num_threads=2 - num_threads).epoch(4):
        stopped.append(kept(batch))
        position = batch.next_position
        if position == 3:
            break
    rest = seen(ClipLoader(clips(crops), batch_size=8, num_threads=num_threads), 4, start=position)
    assert equal([*stopped, *rest], whole)
    assert seen(ClipLoader(clips(crops), batch_size=8), 4, start=len(whole)) == []


def test_ranks_share_an_epoch(crops: Path) -> None:
    found = [seen(ClipLoader(clips(crops), batch_size=4, rank=rank, world_size=2), 1) for rank in (0, 1)]
    ids = [{clip_id for one in part for clip_id in one[0]} for part in found]
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] == set(clips(crops).clip_ids)
    assert len(found[0]) == len(found[1])


def test_without_shuffling_the_order_is_the_datasets(crops: Path) -> None:
    data = clips(crops, sampling="test")
    found = seen(ClipLoader(data, batch_size=9, shuffles=False, num_threads=2), 0)
    assert tuple(clip_id for ids, _, _ in found for clip_id in ids) == data.clip_ids
    assert [len(ids) for ids, _, _ in found] == [9] * 6 + [1]


def test_views_have_an_axis_of_their_own(crops: Path) -> None:
    data = clips(crops, sampling="test", sampler="strided-window-1")
    batch = next(iter(ClipLoader(data, batch_size=3, shuffles=False).epoch(0)))
    assert batch.frames.shape == (3, 2, 16, 3, 32, 32)
    assert torch.equal(batch.frames[1], data[1].frames)


def test_buffers_are_used_again_and_pictures_lie_channels_last(crops: Path) -> None:
    loader = ClipLoader(clips(crops), batch_size=8)
    places = [batch.frames.data_ptr() for epoch in (1, 2) for batch in loader.epoch(epoch)]
    assert len(set(places)) == 1
    batch = next(loader.epoch(1))
    assert batch.frames.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    threaded = ClipLoader(clips(crops), batch_size=8, num_threads=2, ahead=2)
    places = [batch.frames.data_ptr() for epoch in (1, 2) for batch in threaded.epoch(epoch)]
    assert len(set(places)) <= 4


@pytest.mark.parametrize("num_threads", [0, 2])
def test_damage_names_shard_and_clip_and_leaves_no_thread(crops: Path, tmp_path: Path, num_threads: int) -> None:
    root = damage(Path(shutil.copytree(crops, tmp_path / "copy")), clip_id="00001")
    before = threading.active_count()
    with pytest.raises(CorruptShardError, match=r"00000\.safetensors: frame \d+ of clip 00001"):
        seen(ClipLoader(clips(root), batch_size=8, num_threads=num_threads), 1)
    assert threading.active_count() == before


def test_an_epoch_by_shares_has_its_classes_in_equal_parts(crops: Path) -> None:
    data = clips(crops)
    shares = class_shares(data.labels, num_classes=7, power=0)
    counted = Counter(
        label for batch in ClipLoader(data, batch_size=8, shares=shares).epoch(2) for label in batch.labels.tolist()
    )
    assert sum(counted.values()) == len(data)
    assert max(counted.values()) - min(counted.values()) <= 1


def test_what_a_loader_would_not_heed_is_refused(crops: Path) -> None:
    data = clips(crops)
    with pytest.raises(UsageError, match="shares draw clips: leave out shuffles=False"):
        ClipLoader(data, batch_size=8, shuffles=False, shares=[1 / 7] * 7)
    with pytest.raises(UsageError, match="the cache holds the frames of another dataset"):
        ClipLoader(data, batch_size=8, cache=FrameCache(clips(crops)))
