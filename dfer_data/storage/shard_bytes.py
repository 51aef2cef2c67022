"""Read the bytes of a shard on a disk or behind a URL."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from dfer_data.types import Image


class ShardBytes(Protocol):
    """The bytes of a shard, on a disk or elsewhere."""

    name: str
    """Name of the shard in error messages."""

    def index(self, num_bytes: int, crc32: int) -> bytes:
        """Return the first bytes; fewer if there are no more. OSError.

        `crc32` is for implementations that cache what they fetch; the reader checks in any case.
        """
        ...

    def size(self) -> int | None:
        """Return the size in bytes; None where asking for it is expensive."""
        ...

    def clip(self, start: int, stop: int, is_intact: Callable[[Image], bool]) -> Image:
        """Return the bytes of a clip, uint8 (stop - start,) of the file; fewer if there are no more. OSError.

        `is_intact` is for caching implementations too; the reader checks each frame in any case.
        """
        ...


class LocalBytes:
    """A shard on a disk, mapped into memory."""

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        self.name = name or str(path)
        self._path = path
        self._mapped: Image | None = None

    def index(self, num_bytes: int, crc32: int) -> bytes:
        """Return the first bytes."""
        with self._path.open("rb") as file:
            return file.read(min(num_bytes, self.size()))

    def size(self) -> int:
        """Return the size in bytes."""
        return self._path.stat().st_size

    def clip(self, start: int, stop: int, is_intact: Callable[[Image], bool]) -> Image:
        """Return the bytes of a clip without copying them."""
        if self._mapped is None:
            with self._path.open("rb") as file:
                self._mapped = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        return self._mapped[start:stop]


class RangeBytes:
    """A shard that is read in pieces on demand, without a cache."""

    def __init__(self, name: str, read: Callable[[int, int], bytes]) -> None:
        self.name = name
        self._read = read

    def index(self, num_bytes: int, crc32: int) -> bytes:
        """Return the first bytes."""
        return self._read(0, num_bytes)

    def size(self) -> None:
        """Return None: `Target.files` requests the sizes of all files at once."""

    def clip(self, start: int, stop: int, is_intact: Callable[[Image], bool]) -> Image:
        """Return the bytes of a clip."""
        return np.frombuffer(self._read(start, stop), np.uint8)
