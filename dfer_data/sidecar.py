"""The sidecar of a shard: what is in it, and the mark that it is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dfer_data.config import canonical_json

SHARDS, PREVIEW = "shards", "preview"


def shard_name(number: int) -> str:
    """Return the stem of a shard's files."""
    return f"{number:05d}"


def sidecar_path(out: Path, number: int) -> Path:
    """Return where the sidecar of a shard lies."""
    return out / SHARDS / f"{shard_name(number)}.json"


def read_sidecar(out: Path, number: int) -> dict[str, Any] | None:
    """Return the sidecar of a finished shard; None unless it is as written and shard and sheet have its sizes."""
    name = shard_name(number)
    try:
        sidecar = json.loads(sidecar_path(out, number).read_bytes())
        is_done = bool(
            sidecar["sidecar_sha256"] == sidecar_sha256(sidecar)
            and (out / SHARDS / f"{name}.safetensors").stat().st_size == sidecar["num_bytes"]
            and (out / PREVIEW / f"{name}.jpg").stat().st_size == sidecar["preview"]["num_bytes"]
        )
        return dict(sidecar) if is_done else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def sidecar_sha256(sidecar: Mapping[str, Any]) -> str:
    """Hash a sidecar without its own hash: a damaged one must not be taken over into a new dataset.json."""
    body = {key: value for key, value in sidecar.items() if key != "sidecar_sha256"}
    return hashlib.sha256(canonical_json(body)).hexdigest()


def finished_sidecars(out: Path) -> dict[int, dict[str, Any]]:
    """Return the sidecars of all finished shards by number."""
    names = sorted(path.stem for path in (out / SHARDS).glob("*.json"))
    found = {int(name): read_sidecar(out, int(name)) for name in names if name.isdecimal()}
    return {number: sidecar for number, sidecar in found.items() if sidecar is not None}


def failure_codes(sidecar: Mapping[str, Any]) -> set[str]:
    """Return the ledger codes in a sidecar."""
    return {str(failure["code"]) for failure in sidecar["failures"]}
