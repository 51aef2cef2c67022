"""Batches reach the device whole and in order, and the time spent on them is known."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from dfer_data.loading.clip_dataset import FaceClipDataset
from dfer_data.loading.loader import ClipLoader
from lstpnet.batches.device_prefetch import WaitingTime, fetching, on_device

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("num_threads", [0, 2])
def test_every_batch_arrives_as_it_was(crops: Path, name: str, num_threads: int) -> None:
    device = torch.device(name)
    data = FaceClipDataset(crops, fold=3, size_px=32)
    wanted = [(b.clip_ids, b.labels, b.frames.clone()) for b in ClipLoader(data, batch_size=4).epoch(1)]
    loader = ClipLoader(data, batch_size=4, num_threads=num_threads, pins=name == "cuda")
    kept = [
        (b.clip_ids, labels.cpu(), frames.cpu().clone()) for frames, labels, b in on_device(loader.epoch(1), device)
    ]
    assert len(kept) == len(wanted)
    for (ids, labels, frames), (wanted_ids, wanted_labels, wanted_frames) in zip(kept, wanted, strict=True):
        assert ids == wanted_ids
        assert torch.equal(labels, wanted_labels)
        assert torch.equal(frames, wanted_frames)
        assert frames.permute(0, 1, 3, 4, 2).is_contiguous()  # as stored, which the convolutions want


@pytest.mark.parametrize("name", DEVICES)
def test_what_is_fetched_holds_what_it_held_when_fetching_began(name: str) -> None:
    """Else a step that is launched meanwhile could write into it."""
    device = torch.device(name)
    logits, weights = torch.arange(6.0, device=device).reshape(2, 3), torch.ones(2, 4, device=device)
    arrays = fetching([logits * 2, weights.clone()], device)
    logits.zero_()
    fetched = arrays()
    assert [array.tolist() for array in fetched] == [[[0, 2, 4], [6, 8, 10]], [[1, 1, 1, 1]] * 2]


def test_only_waiting_is_counted() -> None:
    def slow() -> Iterator[int]:
        for number in (1, 2, 3):
            time.sleep(0.05)
            yield number

    waiting = WaitingTime()
    for _ in waiting.timed(slow()):
        time.sleep(0.1)
    assert waiting.taken() >= 0.15
    assert waiting.taken() == 0
