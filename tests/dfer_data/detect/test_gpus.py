"""Workers share the GPUs of a machine; here the GPUs are only said to be there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dfer_data.detect.gpus import WORKERS_PER_GPU, most_workers, take_gpu, worker_memory_mb
from dfer_data.preparation.workers import process_pool
from dfer_data.processes import num_cores


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A machine that seems to have two GPUs; returns which of them were taken."""
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    return taken


def test_workers_take_turns_on_the_gpus(two_gpus: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[int | None] = []

    def start(place: Any, *, gpu: int | None) -> tuple[Any, Any]:
        started.append(gpu)
        return None, None

    monkeypatch.setattr(process_pool, "start_worker", start)
    for device in ("cuda", "cpu"):
        place: Any = SimpleNamespace(needs_gpu=device == "cuda")
        processes = process_pool._Processes(place)
        for _ in range(3):
            processes.hire()
    assert started == [0, 1, 0, None, None, None]
    take_gpu(1)
    assert two_gpus == [1]


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_has_few_workers_with_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert most_workers("cpu") == num_cores()
    monkeypatch.setattr("dfer_data.detect.gpus.num_cores", lambda: 64)
    assert most_workers("cuda") == 2 * WORKERS_PER_GPU
    monkeypatch.setattr("dfer_data.detect.gpus.num_cores", lambda: 4)
    assert most_workers("cuda") == 4
    assert worker_memory_mb("cuda") > worker_memory_mb("cpu") == 2048
