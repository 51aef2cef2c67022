"""A cache changes where frames come from, and no byte of a batch; what does not fit is not kept, and reported."""

from __future__ import annotations

import logging
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dfer_data.errors import CorruptShardError
from dfer_data.loading import frame_cache
from dfer_data.loading.clip_dataset import FaceClipDataset, FrameDraw, Sampling
from dfer_data.loading.concat import ConcatClips
from dfer_data.loading.frame_cache import FrameCache, cache_bytes, open_cache
from dfer_data.loading.loader import ClipLoader
from tests.crops import damage

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")


class OnDevice(FrameCache):
    """A cache that is used like one in the memory of a GPU."""

    is_on_host = property(lambda self: False)


def clips(root: Path, *, sampling: Sampling = "train", **changes: Any) -> FaceClipDataset:
    draw = FrameDraw(sampling, seed=1, **changes)
    return FaceClipDataset(root, fold=3, size_px=32, draw=draw)


def batches(loader: ClipLoader, epoch: int, *, start: int = 0) -> list[tuple[tuple[str, ...], torch.Tensor]]:
    return [(batch.clip_ids, batch.frames.clone()) for batch in loader.epoch(epoch, start=start)]


def equal(a: list[tuple[tuple[str, ...], torch.Tensor]], b: list[tuple[tuple[str, ...], torch.Tensor]]) -> bool:
    return [ids for ids, _ in a] == [ids for ids, _ in b] and all(
        torch.equal(one, other) for (_, one), (_, other) in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("kind", [FrameCache, OnDevice])
@pytest.mark.parametrize("num_threads", [0, 3])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sampling": "frame"},
        {"short": "zero"},
        {"sampler": "strided-window-1", "sampling": "test", "short": "zero"},
    ],
)
def test_a_cache_gives_the_same_bytes_in_every_epoch(
    crops: Path, kind: type[FrameCache], num_threads: int, changes: dict[str, Any]
) -> None:
    data = clips(crops, **changes)
    plain, cached = (
        ClipLoader(data, batch_size=8),
        ClipLoader(data, batch_size=8, num_threads=num_threads, cache=kind(data)),
    )
    for epoch in (1, 2):
        assert equal(batches(cached, epoch), batches(plain, epoch))


@pytest.mark.parametrize("kind", [FrameCache, OnDevice])
def test_an_epoch_resumes_with_an_empty_cache(crops: Path, kind: type[FrameCache]) -> None:
    data = clips(crops)
    whole = batches(ClipLoader(data, batch_size=8), 4)
    rest = batches(ClipLoader(data, batch_size=8, num_threads=2, cache=kind(data)), 4, start=3)
    assert equal(rest, whole[3:])


@pytest.mark.parametrize("kind", [FrameCache, OnDevice])
def test_a_process_without_a_clip_in_a_step_gets_an_empty_batch(crops: Path, kind: type[FrameCache]) -> None:
    data = FaceClipDataset(crops, clip_ids=clips(crops).clip_ids[:1], size_px=32)
    loader = ClipLoader(data, batch_size=8, shuffles=False, rank=1, world_size=2, cache=kind(data))
    assert [(ids, frames.shape) for ids, frames in batches(loader, 0)] == [((), (0, 16, 3, 32, 32))]


@pytest.mark.parametrize("kind", [FrameCache, OnDevice])
def test_stages_share_a_cache_and_each_clip_is_decoded_once(
    crops: Path, monkeypatch: pytest.MonkeyPatch, kind: type[FrameCache]
) -> None:
    data, decoded = clips(crops), []
    read_all_into = data.read_all_into

    def count(index: int, out: np.ndarray) -> None:
        decoded.append(index)
        read_all_into(index, out)

    monkeypatch.setattr(data, "read_all_into", count)
    cache = kind(data)
    for sampling in ("frame", "train"):
        data.sampling = sampling
        loader = ClipLoader(data, batch_size=8, cache=cache)
        for epoch in (1, 2):
            batches(loader, epoch)
    assert sorted(decoded) == list(range(len(data)))


def test_a_buffer_on_a_device_stays_valid(crops: Path) -> None:
    data = clips(crops)
    kept = [batch.frames for batch in ClipLoader(data, batch_size=8, cache=OnDevice(data)).epoch(1)]
    wanted = [frames for _, frames in batches(ClipLoader(data, batch_size=8), 1)]
    assert all(torch.equal(a, b) for a, b in zip(kept, wanted, strict=True))


def test_joined_datasets_are_cached_too(crops: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(crops, tmp_path / "other"))
    joined = ConcatClips([clips(crops), clips(other)])
    cached = ClipLoader(joined, batch_size=16, num_threads=2, cache=FrameCache(joined))
    assert equal(batches(cached, 1), batches(ClipLoader(joined, batch_size=16), 1))


@pytest.mark.parametrize("num_threads", [0, 2])
def test_damage_is_found_when_a_clip_is_decoded(crops: Path, tmp_path: Path, num_threads: int) -> None:
    data = clips(damage(Path(shutil.copytree(crops, tmp_path / "copy")), clip_id="00001"))
    loader = ClipLoader(data, batch_size=8, num_threads=num_threads, cache=FrameCache(data))
    with pytest.raises(CorruptShardError, match=r"frame \d+ of clip 00001"):
        batches(loader, 1)


def test_a_dataset_that_keeps_its_frames_is_pickled_without_them(crops: Path) -> None:
    data = FaceClipDataset(crops, fold=3, size_px=32, draw=FrameDraw(seed=1, keep_in_memory=True))
    frames = data[0].frames
    content = pickle.dumps(data)
    assert len(content) < cache_bytes(data) / 10
    assert torch.equal(pickle.loads(content)[0].frames, frames)


def test_the_place_is_chosen_by_the_free_memory(
    crops: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data = clips(crops)
    needed = cache_bytes(data)

    def opened(place: Any, *, free: int, device: torch.device = CPU) -> FrameCache | None:
        caplog.clear()
        monkeypatch.setattr(frame_cache, "free_host_bytes", lambda: free)
        with caplog.at_level(logging.WARNING):
            return open_cache(place, data, device)

    assert opened("off", free=100 * needed) is None
    for place in ("auto", "host", "device"):
        assert opened(place, free=2 * needed) is not None
        assert caplog.messages == []
    assert opened("host", free=needed) is None
    (line,) = caplog.messages
    assert "they are read from the shards in each epoch" in line
    assert opened("auto", free=needed) is None
    assert caplog.messages == []
    monkeypatch.setattr(frame_cache, "_AUTO_BYTES", needed - 1)
    assert opened("auto", free=100 * needed) is None
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")  # two processes, each with a cache
    assert opened("host", free=2 * needed) is None
    assert opened("host", free=4 * needed) is not None
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (needed, 10 * needed))
    kept = opened("device", free=2 * needed, device=CUDA)
    assert kept is not None
    assert kept.is_on_host
    (line,) = caplog.messages
    assert "half of what is free on cuda:0" in line
    assert line.endswith("they are read from host memory")
