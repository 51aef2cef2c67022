"""Cache prepared datasets behind a URL: small files are copied, clips are fetched when they are read; size is bounded.

The cache folder of a dataset is named by the hash of its dataset.json, so files of one version are never used for
another. The folder can be opened like any prepared dataset, and still fetches what is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import threading
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from uuid import uuid4

import numpy as np

from dfer_data.errors import CorruptDataError, CorruptShardError, RemoteError, UsageError
from dfer_data.storage.cache_folder import cache_root
from dfer_data.storage.files import ORIGIN_NAME, place_of
from dfer_data.storage.url_files import FIRST_ANSWER_SECONDS, UrlFiles
from dfer_data.storage.walk import entries_of
from dfer_data.types import Image

BOUND_VARIABLE = "DFER_DATASET_CACHE_GB"
DEFAULT_GB = 50.0
_CLIP_SUFFIX = ".clip"

_log = logging.getLogger(__name__)


def located(root: Path | str) -> tuple[Path, Remote | None]:
    """Return the local folder of a dataset, and its remote if it comes from a URL.

    Fetches dataset.json of a URL. Only a folder of dfer's own cache may name its URL; in any other folder the name is
    ignored with a warning. Raises RemoteError when a URL cannot be read, UsageError without fsspec.
    """
    folder = place_of(root)
    if isinstance(folder, str):
        remote = Remote(folder)
        return remote.folder, remote
    if (folder / ORIGIN_NAME).is_file():
        if folder.resolve().is_relative_to(datasets_folder().resolve()):
            return folder, Remote(str(json.loads((folder / ORIGIN_NAME).read_bytes())["url"]), folder=folder)
        _log.warning("%s is ignored: only dfer's own cache may name another place", folder / ORIGIN_NAME)
    return folder, None


def forget(url: str) -> int:
    """Delete this machine's cached files of the dataset behind a URL, of all its versions; return how many versions.

    Whoever reads the dataset at that moment fetches again. Raises OSError for files that cannot be deleted; then, and
    after a kill, the next call resumes.
    """
    place, number = UrlFiles(url).url, 0
    for origin in sorted(datasets_folder().glob(f"*/*/{ORIGIN_NAME}")):
        try:
            is_of_url = json.loads(origin.read_bytes())["url"] == place
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue
        if not is_of_url:
            continue
        for path in entries_of(origin.parent):
            if path.is_dir():
                shutil.rmtree(path)
            elif path != origin:  # the last, since it says what the folder is of
                path.unlink(missing_ok=True)
        shutil.rmtree(origin.parent)
        with contextlib.suppress(OSError):  # another dataset of the same hash is in it
            origin.parent.parent.rmdir()
        number += 1
    return number


class Remote:
    """A prepared dataset behind a URL, and the cache folder with its fetched files."""

    def __init__(self, url: str, *, folder: Path | None = None) -> None:
        """Fetch dataset.json, unless `folder` has it already."""
        self._files = UrlFiles(url)
        self.url = self._files.url
        if folder is None:
            document = self.read("dataset.json", limit_seconds=FIRST_ANSWER_SECONDS)
            folder = datasets_folder() / hashlib.sha256(document).hexdigest()[:16] / PurePosixPath(self.url).name
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / ORIGIN_NAME, json.dumps({"url": self.url}, allow_nan=False).encode("utf-8"))
            _write(folder / "dataset.json", document)
        self.folder = folder

    def read(
        self,
        name: str,
        *,
        start: int | None = None,
        stop: int | None = None,
        limit_seconds: float | None = None,
    ) -> bytes:
        """Return a file's bytes, or a range of them; RemoteError naming the URL if they cannot be read."""
        try:
            return self._files.read(name, start=start, stop=stop, limit_seconds=limit_seconds)
        except FileNotFoundError as error:
            if name == "dataset.json" and self._files.size("plan.json") is not None:
                raise UsageError(f"{self.url}: prepare has not finished here: run it again to resume") from error
            raise RemoteError(f"{self.url}/{name}: no such file; is this the URL of a prepared dataset?") from error

    def fetch(self, name: str, *, sha256: str) -> None:
        """Download a file into the folder unless it is there, and verify its sha256; CorruptDataError if it differs."""
        path = self.folder / name
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return
        content = self.read(name)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CorruptDataError(f"{self.url}/{name} is not the file that dataset.json names; upload it again")
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, content)

    def shard_bytes(self, name: str) -> RemoteBytes:
        """Return the bytes of a shard, fetched clip by clip when they are read."""
        return RemoteBytes(self, name)


class RemoteBytes:
    """A shard behind a URL; its index and each clip become files of the cache when they are first read."""

    def __init__(self, remote: Remote, name: str) -> None:
        """`name`: path of the shard's file below the dataset."""
        self.name = f"{remote.url}/{name}"
        self._remote, self._file = remote, name
        self._folder = (remote.folder / name).with_suffix("")
        self._last = threading.local()

    def index(self, num_bytes: int, crc32: int) -> bytes:
        """Return the first bytes, and cache them if they have this CRC-32."""
        path = self._folder / "index"
        with contextlib.suppress(FileNotFoundError):
            cached = path.read_bytes()
            if zlib.crc32(cached) == crc32:
                return cached
        index = self._remote.read(self._file, start=0, stop=num_bytes)
        if zlib.crc32(index) == crc32:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(path, index)
        return index

    def size(self) -> None:
        """Return None: it would take another request, and each clip's size is checked."""

    def clip(self, start: int, stop: int, is_intact: Callable[[Image], bool]) -> Image:
        """Return the bytes of a clip; CorruptShardError if damaged bytes arrive twice."""
        last: tuple[int, int, Image] | None = getattr(self._last, "clip", None)
        if last is None or last[:2] != (start, stop):
            last = start, stop, self._clip(start, stop, is_intact)
            self._last.clip = last
        return last[2]

    def _clip(self, start: int, stop: int, is_intact: Callable[[Image], bool]) -> Image:
        path = self._folder / f"{start}-{stop}{_CLIP_SUFFIX}"
        with contextlib.suppress(FileNotFoundError):
            cached = np.frombuffer(path.read_bytes(), np.uint8)
            if is_intact(cached):
                return cached
        for _ in range(2):
            clip = np.frombuffer(self._remote.read(self._file, start=start, stop=stop), np.uint8)
            if is_intact(clip):
                _BOUND.make_room(len(clip))
                self._folder.mkdir(parents=True, exist_ok=True)
                _write(path, clip.tobytes())
                return clip
        raise CorruptShardError(f"{self.name}: bytes {start} to {stop} do not match their CRC-32; upload it again")


class _Bound:
    """Keeps the cached clips of all datasets within a number of bytes; the oldest are removed first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._room: float = 0
        """Bytes that may be written before the folder is scanned again."""

    def make_room(self, num_bytes: int) -> None:
        with self._lock:
            self._room -= num_bytes
            if self._room >= 0:
                return
            bound = bound_bytes()
            files = sorted((file.st_mtime_ns, file.st_size, path) for path, file in _clips())
            used = sum(size for _, size, _ in files)
            for _, size, path in files:
                if used + num_bytes <= 0.9 * bound:
                    break
                path.unlink(missing_ok=True)
                used -= size
            self._room = min(0.1 * bound, bound - used - num_bytes) / 2  # another process may write as much


_BOUND = _Bound()


def bound_bytes() -> float:
    """Return the maximum bytes of the cached clips: `$DFER_DATASET_CACHE_GB`, else 50 GB. UsageError."""
    text = os.environ.get(BOUND_VARIABLE, "")
    try:
        gigabytes = float(text) if text else DEFAULT_GB
    except ValueError:
        gigabytes = 0.0
    if not gigabytes > 0:
        raise UsageError(f"{BOUND_VARIABLE} = {text!r}: a number of gigabytes above 0 is needed")
    return gigabytes * 1e9


def datasets_folder() -> Path:
    """Return the folder of fetched datasets."""
    return cache_root() / "datasets"


def _clips() -> list[tuple[Path, os.stat_result]]:
    clips = []
    for path in datasets_folder().rglob(f"*{_CLIP_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            clips.append((path, path.stat()))
    return clips


def _write(path: Path, content: bytes) -> None:
    """Write a file that appears whole, even if other threads and processes write the same one."""
    temporary = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RemoteError(f"cannot cache {path}: {error}; set DFER_CACHE to use another folder") from error
