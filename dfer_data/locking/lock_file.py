"""The file of a lock: a preamble, a header of JSON, one record per frame, and the sha256 of all that.

Nothing is compressed, so the same dataset gives the same bytes everywhere, and the size of the file bounds every
number in it. docs/reference/lock-format.md describes it byte by byte.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from dfer_data.errors import CorruptDataError, FormatVersionError, UsageError
from dfer_data.locking.lock_header import LockedClip, LockedVideo, LockHeader, parse_header
from dfer_data.storage.files import canonical_json, own_sha256, regular_file, sha256_file

LOCK_SUFFIX, LOCK_VERSION = ".dferlock", 1
MOST_HEADER_BYTES = 64 * 2**20
"""Of a header that is read; about 150,000 clips."""
_MAGIC = b"DFERLOCK"
_PREAMBLE = struct.Struct("<8sQQQ")
_HASH_BYTES = 32
_BLOCK_BYTES, _BLOCK_FRAMES = 1 << 20, 1 << 14
_MOST_VERSIONS = 10_000
_MOST_PX = 1e6
_PICTURE = [("crc32", "<u4"), ("frame_index", "<i4"), ("picture_hash", "<u8"), ("flags", "|u1")]
CROP_FRAME = np.dtype(_PICTURE)
"""One frame of a shipped crop, 17 bytes."""
DETECTED_FRAME = np.dtype(
    [("pts_seconds", "<f4"), ("box", "<f4", (4,)), ("landmarks", "<f4", (5, 2)), ("score", "<f4"), *_PICTURE]
)
"""One frame with a detected face, 81 bytes: the fields of a shard, and the hash of the picture."""
LockedFrames = npt.NDArray[np.void]
"""(F,) of dtype CROP_FRAME or DETECTED_FRAME."""


def frame_type(detector: str) -> np.dtype[np.void]:
    """Return the dtype of a frame in the lock of a dataset made with a detector."""
    return CROP_FRAME if detector == "none" else DETECTED_FRAME


@dataclass(frozen=True, eq=False)
class Lock:
    """A lock whose bytes and numbers are checked; its frames are read when they are asked for."""

    path: Path
    """The file."""
    sha256: str
    """Hash of the whole file."""
    header: LockHeader
    first_frame: int
    """Offset of the first frame in the file."""
    num_frames: int
    """Number of frames of all clips."""

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Type of a frame."""
        return frame_type(str(self.header.document["config"]["detector"]))

    def frames(self, start: int, stop: int) -> LockedFrames:
        """Return frames `start` to `stop` (exclusive) of the lock. Raises CorruptDataError, OSError."""
        size = self.dtype.itemsize
        with self.path.open("rb") as file:
            file.seek(self.first_frame + start * size)
            content = file.read((stop - start) * size)
        if len(content) != (stop - start) * size:
            raise CorruptDataError(f"{self.path} was cut short while it was read; get it again")
        return np.frombuffer(content, self.dtype)

    def clips(self) -> Iterator[tuple[LockedVideo, LockedClip, range]]:
        """Yield each clip with its video and the numbers of its frames."""
        config, start = self.header.config, 0
        for video, clip in self.header.clips():
            stop = start + clip.num_stored(config)
            yield video, clip, range(start, stop)
            start = stop


def write_lock(file: IO[bytes], header: LockHeader, frames: Iterable[LockedFrames], *, num_frames: int) -> str:
    """Write a lock into an open file, and return the sha256 of the whole file. Raises UsageError for too many clips."""
    text = canonical_json(header.model_dump(mode="json", exclude_defaults=True))
    if len(text) > MOST_HEADER_BYTES:
        raise UsageError(
            f"a lock holds about 150,000 clips; this dataset needs {len(text):,} bytes to describe its own"
        )
    digest = hashlib.sha256()
    start = [_PREAMBLE.pack(_MAGIC, LOCK_VERSION, len(text), num_frames), text]
    for content in chain(start, (block.tobytes() for block in frames)):
        digest.update(content)
        file.write(content)
    file.write(digest.digest())
    return _whole_hash(digest)


def _whole_hash(digest: hashlib._Hash) -> str:
    """Return the hash of a file that ends with this hash of all before it."""
    whole = digest.copy()
    whole.update(digest.digest())
    return whole.hexdigest()


def read_lock(path: Path) -> Lock:
    """Open a lock with every check: its size and hash first, then the header, then each frame.

    Raises UsageError for a file that cannot be read or is no lock, FormatVersionError for one of a newer dfer,
    CorruptDataError for changed bytes and for content that no dfer writes.
    """
    try:
        with regular_file(path) as file:
            return _read(path, file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        if path.is_dir():
            command = f"dfer lock {shlex.quote(str(path))} -o {shlex.quote(path.name + LOCK_SUFFIX)}"
            raise UsageError(f"{path} is a folder, not a lock; `{command}` makes one of a prepared dataset") from error
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def _read(path: Path, file: IO[bytes], num_bytes: int) -> Lock:
    start = file.read(_PREAMBLE.size)
    if len(start) < _PREAMBLE.size or not start.startswith(_MAGIC):
        raise UsageError(f"{path} is not a lock of dfer; `dfer lock PREPARED -o NAME{LOCK_SUFFIX}` makes one")
    _, version, header_bytes, num_frames = _PREAMBLE.unpack(start)
    if LOCK_VERSION < version < _MOST_VERSIONS:
        raise FormatVersionError(f"{path} has lock format {version}, this dfer reads {LOCK_VERSION}; update dfer")
    num_left = num_bytes - _PREAMBLE.size - header_bytes - _HASH_BYTES
    is_whole = version == LOCK_VERSION and header_bytes <= MOST_HEADER_BYTES and num_left >= 0
    digest = hashlib.sha256(start)
    text = file.read(header_bytes) if is_whole else b""
    digest.update(text)
    while is_whole and num_left > 0 and (block := file.read(min(num_left, _BLOCK_BYTES))):
        digest.update(block)
        num_left -= len(block)
    if not is_whole or num_left or file.read(_HASH_BYTES + 1) != digest.digest():
        raise CorruptDataError(f"{path} is damaged: get it again, and compare its sha256 with the published one")
    try:
        header = parse_header(text)
        lock = Lock(path, _whole_hash(digest), header, _PREAMBLE.size + header_bytes, num_frames)
        if own_sha256(header.document) != header.document["sha256"]:
            raise ValueError("its dataset.json does not match its own sha256")
        if lock.first_frame + num_frames * lock.dtype.itemsize + _HASH_BYTES != num_bytes:
            raise ValueError("it declares another number of frames than it has")
        _check_frames(lock)
    except (ValueError, RecursionError) as error:
        raise CorruptDataError(f"{path}: {error}; no dfer wrote this lock, do not use it") from error
    return lock


def lock_for_workers(lock: Lock | None, work: Path) -> Path | None:
    """Copy a lock to the folder of a run, where all of its workers read it and no one changes it; None for none.

    Raises CorruptDataError if it was changed since it was read.
    """
    if lock is None:
        return None
    path = work / f"{lock.sha256}{LOCK_SUFFIX}"  # a process that rebuilds twice keeps locks by their path
    shutil.copyfile(lock.path, path)
    if sha256_file(path) != lock.sha256:
        raise CorruptDataError(f"{lock.path} was changed while it was read; run the same command again")
    return path


def _check_frames(lock: Lock) -> None:
    """Raise ValueError for frames that a rebuild cannot use."""
    stops = [frames.stop for _, _, frames in lock.clips()]
    if (stops[-1] if stops else 0) != lock.num_frames:
        raise ValueError("its clips do not have all of its frames")
    starts = np.array([0, *stops], np.int64)
    is_baked = lock.header.config.store == "clips16"
    before = -1
    for first in range(0, lock.num_frames, _BLOCK_FRAMES):
        block = lock.frames(first, min(lock.num_frames, first + _BLOCK_FRAMES))
        index = block["frame_index"].astype(np.int64)
        steps = np.diff(index, prepend=before)
        begins = np.isin(np.arange(first, first + len(block)), starts)
        if (index < 0).any() or (steps[~begins] < (0 if is_baked else 1)).any():
            raise ValueError("its frames are not in order")
        before = int(index[-1])
        if block.dtype == DETECTED_FRAME:
            points = np.concatenate([block["box"], block["landmarks"].reshape(-1, 10)], axis=1)
            if not (np.abs(points) < _MOST_PX).all():  # false for NaN too
                raise ValueError("it has a box or landmarks that are no place in a picture")
