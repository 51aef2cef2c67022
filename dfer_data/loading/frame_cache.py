"""Keep decoded frames in host or device memory: each clip is decoded once, when it is first read.

Batches hold the bytes that reading from the shards gives, since the frames of a clip are chosen as without a cache.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from dfer_data.frame_sampling import BLACK
from dfer_data.loading.cache_places import CachePlace
from dfer_data.loading.free_memory import free_host_bytes
from dfer_data.types import Image

CacheRows = npt.NDArray[np.int64]

_AUTO_BYTES = 1 << 30
_HOST_SHARE, _DEVICE_SHARE = 0.7, 0.5  # of the free memory; a device also has to hold the network
_log = logging.getLogger(__name__)


class WholeClips(Protocol):
    """What a cache reads: a dataset that gives all frames of a clip, and the choice among them."""

    @property
    def frame_counts(self) -> npt.NDArray[np.int64]:
        """(num_clips,) stored frames of each clip."""
        ...

    @property
    def item_shape(self) -> tuple[int, int, int, int, int]:
        """(V, T, size, size, 3): views, frames and pixels of one clip."""
        ...

    def frame_indices(self, index: int) -> npt.NDArray[np.int32]:
        """Return the frames that make up a clip in this epoch, (V, T); BLACK for a black frame."""
        ...

    def read_all_into(self, index: int, out: Image) -> None:
        """Read all frames of a clip into `out`, (frame_counts[index], size, size, 3) uint8."""
        ...


class FrameCache:
    """The decoded frames of a dataset, in one array; several threads may fill it and read from it."""

    def __init__(self, dataset: WholeClips, *, device: torch.device | None = None) -> None:
        """Reserve the memory, in which nothing is written yet; `device`: None for host memory."""
        self._dataset = dataset
        self._starts = np.concatenate([[0], np.cumsum(dataset.frame_counts)])
        # one frame more, which is black
        self._frames = torch.empty(
            (int(self._starts[-1]) + 1, *dataset.item_shape[2:]), dtype=torch.uint8, device=device
        )
        self._frames[-1] = 0
        self._stream: torch.cuda.Stream | None = None
        if self._frames.is_cuda:  # copies to the cache do not wait for the steps that were launched before them
            self._stream = torch.cuda.Stream(device)
            torch.cuda.synchronize(device)  # kernels launched earlier may still use this memory
        self._is_filled = np.zeros(len(self._starts) - 1, np.bool_)

    def is_of(self, dataset: object) -> bool:
        """Whether these are the frames of a dataset; numbers of clips mean others in another one."""
        return dataset is self._dataset

    @property
    def is_on_host(self) -> bool:
        """Whether clips are read by `read_into`; else by `gathered`."""
        return self._frames.device.type == "cpu"

    def fill(self, index: int) -> None:
        """Decode a clip unless it is in the cache."""
        if self._is_filled[index]:
            return
        frames = self._frames[int(self._starts[index]) : int(self._starts[index + 1])]
        if self.is_on_host:
            self._dataset.read_all_into(index, frames.numpy())
        else:
            pixels = torch.empty(frames.shape, dtype=torch.uint8)
            self._dataset.read_all_into(index, pixels.numpy())
            self._upload(pixels, frames)
        self._is_filled[index] = True  # two threads may both have filled it, with the same bytes

    def _upload(self, pixels: torch.Tensor, frames: torch.Tensor) -> None:
        """Copy pixels into frames of the cache, and wait for the copy: another stream reads it next."""
        if self._stream is None:
            frames.copy_(pixels)
            return
        with torch.cuda.device(frames.device), torch.cuda.stream(self._stream):
            frames.copy_(pixels)
        self._stream.synchronize()

    def read_into(self, index: int, out: Image) -> None:
        """Write a clip into `out`, uint8 of the dataset's `item_shape`; only for a cache in host memory."""
        slots = out.reshape(-1, *out.shape[2:])
        np.take(self._frames.numpy(), self.rows(index), axis=0, out=slots, mode="clip")  # "raise" copies once more

    def gathered(self, rows: Sequence[CacheRows]) -> torch.Tensor:
        """Return the clips with these `rows`, (B, V, T, size, size, 3) uint8 on the cache's device, in new memory."""
        chosen = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *rows]))
        if self._frames.is_cuda:
            chosen = chosen.pin_memory()
        chosen = chosen.to(self._frames.device, non_blocking=True)
        return self._frames.index_select(0, chosen).reshape(len(rows), *self._dataset.item_shape)

    def rows(self, index: int) -> CacheRows:
        """Return the rows of the cache that make up a clip in this epoch, (VT,); decode it unless it is there."""
        self.fill(index)
        numbers = self._dataset.frame_indices(index).reshape(-1).astype(np.int64)
        return np.where(numbers == BLACK, len(self._frames) - 1, numbers + self._starts[index])


def cache_bytes(dataset: WholeClips) -> int:
    """Return how many bytes the decoded clips of a dataset take."""
    return (int(dataset.frame_counts.sum()) + 1) * int(np.prod(dataset.item_shape[2:]))


def open_cache(place: CachePlace, dataset: WholeClips, device: torch.device) -> FrameCache | None:
    """Return an empty cache for the clips of a dataset, or None for none; `device` is the one that computes.

    Clips that do not fit on the device are kept on the host, and clips that do not fit there are not kept: a warning
    says so. A CPU's own memory is the host's.
    """
    num_bytes = cache_bytes(dataset)
    if place == "off" or (place == "auto" and num_bytes > _AUTO_BYTES):
        return None
    if place == "device" and device.type == "cuda":
        room = int(_DEVICE_SHARE * torch.cuda.mem_get_info(device)[0])
        if num_bytes <= room:
            return FrameCache(dataset, device=device)
        _warn_no_room(num_bytes, room, where=f"half of what is free on {device}", instead="host memory")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # of torchrun, each with its own cache
    room = int(_HOST_SHARE * free_host_bytes()) // processes
    if num_bytes <= room:
        return FrameCache(dataset)
    if place != "auto":
        _warn_no_room(num_bytes, room, where="what each process may use", instead="the shards in each epoch")
    return None


def _warn_no_room(num_bytes: int, room: int, *, where: str, instead: str) -> None:
    needed, free = (f"{number / 2**30:.1f} GiB" for number in (num_bytes, room))
    _log.warning("the decoded clips take %s, more than %s (%s): they are read from %s", needed, free, where, instead)
