"""Load batches of clips: decode them into reused buffers, some batches ahead of the consumer.

The clips of a batch and their frames are a function of (seed, epoch, clip id): they do not depend on the number of
threads, and an epoch can resume from any batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from dfer_data.errors import UsageError
from dfer_data.loading.clip_dataset import Clips, FaceClipDataset
from dfer_data.loading.epoch_order import ClipNumbers, of_rank, resampled, shuffled
from dfer_data.loading.epoch_order import steps as cut_into_steps
from dfer_data.loading.frame_cache import CacheRows, FrameCache

_Read = Callable[[], CacheRows | None]


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of clips; its frames are overwritten later, see `ClipLoader.epoch`."""

    frames: torch.Tensor
    """(B, T, 3, size, size) uint8 RGB, or (B, V, T, 3, size, size) where the sampler tests on several views; the
    channels of a pixel are adjacent in memory, as in `channels_last`."""
    labels: torch.Tensor
    """(B,) int64, indices into the class names."""
    clip_ids: tuple[str, ...]
    """Ids in the manifest."""
    num_clips_of_all: int
    """Number of clips of all ranks in this step."""
    next_position: int
    """Position after this batch, to resume the epoch: `ClipLoader.epoch(number, start=next_position)`."""


class ClipLoader:
    """Reads a dataset batch by batch.

    Args:
        dataset: the clips; its seed determines the order.
        batch_size: clips per batch and rank.
        shuffles: give each epoch its own order; else keep the dataset's order, and the last batch may have one clip.
        num_threads: threads that read ahead; 0 reads a batch when it is requested.
        ahead: number of batches to read ahead.
        rank: which part of each step to read, of `world_size`; see `epoch_order.steps`.
        world_size: number of parts.
        pins: use page-locked buffers, for copies to a GPU.
        shares: (num_classes,) share of each class in an epoch, `epoch_order.resampled`; None: every clip once.
        cache: decoded frames of this dataset (`open_cache`), which several loaders may share; None: decode each time.

    Raises UsageError for a dataset whose items are not the stored pixels, for `shares` without `shuffles`, and for the
    cache of another dataset.
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
        cache: FrameCache | None = None,
    ) -> None:
        if isinstance(dataset, FaceClipDataset) and not dataset.is_plain:
            raise UsageError(
                "ClipLoader gives uint8 clips: layout, mean, std, dtype, transform and audio are for torch's DataLoader"
            )
        if shares is not None and not shuffles:
            raise UsageError("shares draw clips: leave out shuffles=False, which keeps the dataset's order")
        if cache is not None and not cache.is_of(dataset):
            raise UsageError("the cache holds the frames of another dataset; open one for this dataset")
        self.dataset = dataset
        self._batch_size, self._shuffles, self._num_threads, self._pins = batch_size, shuffles, num_threads, pins
        self._ahead = ahead if num_threads else 0
        self._rank, self._world_size, self._shares = rank, world_size, shares
        self._cache = cache
        self._gathers = cache is not None and not cache.is_on_host
        self._free: list[torch.Tensor] = []

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch, beginning with batch `start`; sets the dataset's epoch.

        The frames of a batch are valid until the next one is requested; with a cache on a device they are on that
        device, and stay valid. Raises CorruptShardError with shard and clip.
        """
        self.dataset.epoch = number
        steps = self._steps(number)
        batches = [of_rank(step, rank=self._rank, world_size=self._world_size) for step in steps]
        pool = ThreadPoolExecutor(self._num_threads) if self._num_threads else None
        pending: deque[tuple[torch.Tensor | None, list[_Read]]] = deque()
        next_to_read, capacity = start, max(map(len, batches), default=0)
        try:
            for position in range(start, len(batches)):
                while next_to_read < len(batches) and len(pending) <= self._ahead:
                    pending.append(self._start_reading(batches[next_to_read], capacity, pool))
                    next_to_read += 1
                buffer, reads = pending.popleft()
                rows = [read() for read in reads]
                clips = self._gathered(rows) if buffer is None else buffer[: len(rows)]
                yield self._batch(batches[position], clips, len(steps[position]), next_position=position + 1)
                if buffer is not None:
                    self._free.append(buffer)
        finally:
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    def num_batches(self, number: int) -> int:
        """Return the number of batches of an epoch."""
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

    def _start_reading(
        self, indices: ClipNumbers, capacity: int, pool: ThreadPoolExecutor | None
    ) -> tuple[torch.Tensor | None, list[_Read]]:
        """Return a buffer for `capacity` clips, None with a cache on a device, and what to call for each clip.

        These calls wait for the pool's threads, which are reading already; without a pool they read.
        """
        buffer, numbers = None, indices.tolist()
        reads: list[_Read]
        if self._cache is not None and self._gathers:
            reads = [partial(self._cache.rows, index) for index in numbers]
        else:
            shape = (capacity, *self.dataset.item_shape)
            self._free = [buffer for buffer in self._free if buffer.shape == shape]
            buffer = self._free.pop() if self._free else torch.empty(shape, dtype=torch.uint8, pin_memory=self._pins)
            read_into = self.dataset.read_into if self._cache is None else self._cache.read_into
            reads = [partial(read_into, index, out) for index, out in zip(numbers, buffer.numpy(), strict=False)]
        return buffer, reads if pool is None else [pool.submit(read).result for read in reads]

    def _gathered(self, rows: Sequence[CacheRows | None]) -> torch.Tensor:
        assert self._cache is not None
        return self._cache.gathered([of_clip for of_clip in rows if of_clip is not None])

    def _batch(self, indices: ClipNumbers, clips: torch.Tensor, num_clips_of_all: int, *, next_position: int) -> Batch:
        views = clips.permute(0, 1, 2, 5, 3, 4)  # (B, V, T, 3, size, size)
        return Batch(
            frames=views if views.shape[1] > 1 else views[:, 0],
            labels=torch.from_numpy(self.dataset.labels[indices]),
            clip_ids=tuple(self.dataset.clip_ids[index] for index in indices.tolist()),
            num_clips_of_all=num_clips_of_all,
            next_position=next_position,
        )
