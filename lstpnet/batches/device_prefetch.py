"""Move batches to the compute device; on CUDA the next batch is copied while the current one is processed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy.typing as npt
import torch

from dfer_data.loading.loader import Batch

_T = TypeVar("_T")


class WaitingTime:
    """Measures how long a loop waits for its iterator."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def taken(self) -> float:
        """Return the seconds waited since the last call, and reset the counter."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds

    def timed(self, source: Iterator[_T]) -> Iterator[_T]:
        """Yield the items of `source` and add up the time spent waiting for them."""
        while True:
            start = time.perf_counter()
            item = next(source, None)
            self._seconds += time.perf_counter() - start
            if item is None:
                return
            yield item


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a small tensor on the device; on CUDA without waiting for what the GPU computes."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def fetching(tensors: Sequence[torch.Tensor], device: torch.device) -> Callable[[], list[npt.NDArray[Any]]]:
    """Begin to copy tensors from the device; return what waits for the copies, and gives them as arrays of equal shape.

    On CUDA it does not wait for what is computed after these tensors.
    """
    if device.type != "cuda":
        return lambda: [tensor.cpu().numpy() for tensor in tensors]
    copies, is_done = [tensor.to("cpu", non_blocking=True) for tensor in tensors], torch.cuda.Event()
    is_done.record(torch.cuda.current_stream(device))

    def arrays() -> list[npt.NDArray[Any]]:
        is_done.synchronize()
        return [copy.numpy() for copy in copies]

    return arrays


def on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[tuple[torch.Tensor, torch.Tensor, Batch]]:
    """Yield frames and labels of each batch on `device`, and the source batch.

    Frames are (B, T, 3, size, size) or (B, V, T, ...) uint8, in memory in the order (..., size, size, 3) in which they
    are stored and the convolutions want them; labels (B,) int64. On a CPU they may share the batch's buffer and are
    valid only as long as it is. On CUDA, copies overlap with computation if the loader's buffers are page-locked.
    """
    if device.type == "cuda":
        yield from _copied_ahead(batches, device)
        return
    for batch in batches:
        yield batch.frames.to(device), batch.labels.to(device), batch


def _copied_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[tuple[torch.Tensor, torch.Tensor, Batch]]:
    stream = torch.cuda.Stream(device)
    ready: tuple[torch.Tensor, torch.Tensor, Batch, torch.cuda.Event] | None = None
    for batch in batches:
        with torch.cuda.stream(stream):
            frames = batch.frames.to(device, non_blocking=True)
            labels = batch.labels.to(device, non_blocking=True)
            event = torch.cuda.Event()
            event.record(stream)
        if ready is not None:
            yield _await_copy(*ready[:3], event=ready[3], device=device)
        event.synchronize()  # the loader reuses this buffer for the next batch
        ready = frames, labels, batch, event
    if ready is not None:
        yield _await_copy(*ready[:3], event=ready[3], device=device)


def _await_copy(
    frames: torch.Tensor, labels: torch.Tensor, batch: Batch, *, event: torch.cuda.Event, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, Batch]:
    """Make the compute stream wait for the copy, and keep the memory until the stream no longer uses it."""
    current = torch.cuda.current_stream(device)
    current.wait_event(event)
    for tensor in (frames, labels):
        tensor.record_stream(current)
    return frames, labels, batch
