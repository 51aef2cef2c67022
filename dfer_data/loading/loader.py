"""Batches of clips, decoded into buffers that are used again, some batches ahead of whoever takes them.

Which clips make a batch and which frames are drawn is a function of (seed, epoch, clip id): the number of threads
changes nothing, and an epoch goes on from any batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from dfer_data.errors import UsageError
from dfer_data.loading.clip_dataset import Clips, FaceClipDataset
from dfer_data.loading.epoch_order import ClipNumbers, of_rank, resampled, shuffled
from dfer_data.loading.epoch_order import steps as cut_into_steps


@dataclass(frozen=True, eq=False)
class Batch:
    """Some clips at once; the frames are overwritten later on, see `ClipLoader.epoch`."""

    frames: torch.Tensor
    """(B, T, 3, size, size) uint8 RGB, or (B, V, T, 3, size, size) where the sampler tests on several views; colours
    lie next to each other in memory, as `channels_last` has it."""
    labels: torch.Tensor
    """(B,) int64, indices into the class names."""
    clip_ids: tuple[str, ...]
    """Names in the manifest."""
    num_clips_of_all: int
    """Clips that all ranks together have in this step."""
    next_position: int
    """Where the epoch goes on after this batch: `ClipLoader.epoch(number, start=next_position)`."""


class ClipLoader:
    """Reads a dataset batch by batch.

    Args:
        dataset: what to read; its seed gives the order.
        batch_size: clips a batch and rank.
        shuffles: each epoch in an order of its own; else in the dataset's order, the last batch as small as it comes.
        num_threads: threads that read ahead; 0 reads when a batch is asked for.
        ahead: batches that are read ahead.
        rank, world_size: which part of each step; see `epoch_order.steps`.
        pins: page-locked buffers, for copies to a GPU.
        shares: (num_classes,) how much of an epoch each class is, `epoch_order.resampled`; None: every clip once.
    """

    def __init__(
        self,
        dataset: Clips,
        *,
        batch_size: int,
        shuffles: bool = True,
        num_threads: int = 0,
        ahead: int = 2,
        rank: int = 0,
        world_size: int = 1,
        pins: bool = False,
        shares: Sequence[float] | None = None,
    ) -> None:
        if isinstance(dataset, FaceClipDataset) and not dataset.is_plain:
            raise UsageError("ClipLoader gives uint8 clips: layout, mean, std and transform are for torch's DataLoader")
        self.dataset = dataset
        self._batch_size, self._shuffles, self._num_threads, self._pins = batch_size, shuffles, num_threads, pins
        self._ahead = ahead if num_threads else 0
        self._rank, self._world_size, self._shares = rank, world_size, shares
        self._free: list[torch.Tensor] = []

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from the one at `start` on; sets the dataset's epoch.

        A batch's frames are valid until the next one is asked for. Raises CorruptShardError naming shard and clip.
        """
        self.dataset.epoch = number
        steps = self._steps(number)
        plan = [of_rank(step, rank=self._rank, world_size=self._world_size) for step in steps]
        pool = ThreadPoolExecutor(self._num_threads) if self._num_threads else None
        waiting: deque[tuple[torch.Tensor, list[Future[None]]]] = deque()
        begun = start
        try:
            for position in range(start, len(plan)):
                while begun < len(plan) and len(waiting) <= self._ahead:
                    waiting.append(self._begin(plan[begun], max(map(len, plan)), pool))
                    begun += 1
                buffer, futures = waiting.popleft()
                for future in futures:
                    future.result()
                yield self._batch(plan[position], buffer, len(steps[position]), next_position=position + 1)
                self._free.append(buffer)
        finally:
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    def num_batches(self, number: int) -> int:
        """Return how many batches an epoch has."""
        return len(self._steps(number))

    def _steps(self, number: int) -> list[ClipNumbers]:
        return cut_into_steps(
            self._order(number),
            batch_size=self._batch_size,
            world_size=self._world_size,
            min_clips=2 if self._shuffles else 1,
        )

    def _order(self, number: int) -> ClipNumbers:
        if not self._shuffles:
            return np.arange(len(self.dataset))
        if self._shares is not None:
            return resampled(self.dataset.labels, self._shares, seed=self.dataset.seed, epoch=number)
        return shuffled(len(self.dataset), seed=self.dataset.seed, epoch=number)

    def _begin(
        self, indices: ClipNumbers, most: int, pool: ThreadPoolExecutor | None
    ) -> tuple[torch.Tensor, list[Future[None]]]:
        """Read clips into a buffer for `most` clips, or have them read."""
        shape = (most, *self.dataset.item_shape)
        self._free = [buffer for buffer in self._free if buffer.shape == shape]
        buffer = self._free.pop() if self._free else torch.empty(shape, dtype=torch.uint8, pin_memory=self._pins)
        places = zip(indices.tolist(), buffer.numpy(), strict=False)
        if pool is not None:
            return buffer, [pool.submit(self.dataset.read_into, index, out) for index, out in places]
        for index, out in places:
            self.dataset.read_into(index, out)
        return buffer, []

    def _batch(self, indices: ClipNumbers, buffer: torch.Tensor, num_clips_of_all: int, *, next_position: int) -> Batch:
        views = buffer[: len(indices)].permute(0, 1, 2, 5, 3, 4)  # (B, V, T, 3, size, size)
        return Batch(
            frames=views if views.shape[1] > 1 else views[:, 0],
            labels=torch.from_numpy(self.dataset.labels[indices]),
            clip_ids=tuple(self.dataset.clip_ids[index] for index in indices.tolist()),
            num_clips_of_all=num_clips_of_all,
            next_position=next_position,
        )
