"""The sidecar of a shard: describes its contents and marks it as finished."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dfer_data.shards.layout import AUDIO_SUFFIX, PREVIEW, SHARDS, audio_name, shard_name, sidecar_name
from dfer_data.storage.base import Target
from dfer_data.storage.files import own_sha256


def read_sidecar(out: Target, number: int) -> dict[str, Any] | None:
    """Return the sidecar of a finished shard; None unless it is intact and shard and sheet have the sizes in it."""
    name = shard_name(number)
    try:
        content = out.read(sidecar_name(number))
    except OSError:
        return None
    sizes = (out.size(f"{SHARDS}/{name}.safetensors"), out.size(f"{PREVIEW}/{name}.jpg"))
    return checked_sidecar(content, *sizes, num_audio_bytes=out.size(audio_name(number)))


def checked_sidecar(
    content: bytes,
    num_bytes: int | None,
    num_sheet_bytes: int | None = None,
    *,
    has_sheet: bool = True,
    num_audio_bytes: int | None = None,
) -> dict[str, Any] | None:
    """Return a sidecar; None unless it is intact, and shard, sheet and sound have these sizes.

    `has_sheet`: there is a sheet; whether there is sound, the sidecar says.
    """
    try:
        sidecar = json.loads(content)
        is_done = bool(
            sidecar["sidecar_sha256"] == sidecar_sha256(sidecar)
            and num_bytes == sidecar["num_bytes"]
            and (not has_sheet or num_sheet_bytes == sidecar["preview"]["num_bytes"])
            and ("audio" not in sidecar or num_audio_bytes == sidecar["audio"]["num_bytes"])
        )
        return dict(sidecar) if is_done else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def sidecar_sha256(sidecar: Mapping[str, Any]) -> str:
    """Hash a sidecar without its own hash, so that a damaged one is never copied into a new dataset.json."""
    return own_sha256(sidecar, field="sidecar_sha256")


def finished_sidecars(out: Target) -> dict[int, dict[str, Any]]:
    """Return the sidecars of all finished shards, by shard number."""
    sizes, sheets = out.listing(SHARDS), out.listing(PREVIEW)
    names = sorted(name.removesuffix(".json") for name in sizes if name.endswith(".json"))
    shard_names = [name for name in names if name.isdecimal()]
    contents = out.read_all([f"{SHARDS}/{name}.json" for name in shard_names])
    sidecars = {
        int(name): checked_sidecar(
            content,
            sizes.get(f"{name}.safetensors"),
            sheets.get(f"{name}.jpg"),
            num_audio_bytes=sizes.get(f"{name}{AUDIO_SUFFIX}"),
        )
        for name, content in zip(shard_names, contents, strict=True)
    }
    return {number: sidecar for number, sidecar in sidecars.items() if sidecar is not None}


def failure_codes(sidecar: Mapping[str, Any]) -> set[str]:
    """Return the ledger codes in a sidecar."""
    return {str(failure["code"]) for failure in sidecar["failures"]}


def count_clips(sidecars: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """Count the clips in sidecars by `ok`, `partial` and ledger code."""
    counts = Counter(str(clip["status"]) for sidecar in sidecars for clip in sidecar["clips"])
    return counts + Counter(str(failure["code"]) for sidecar in sidecars for failure in sidecar["failures"])


def count_left_out(sidecars: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of tracks that make no clip, by their first reason."""
    tracks = [track for sidecar in sidecars for track in sidecar.get("left_out", ())]
    return dict(Counter(str(track["reasons"][0]) for track in tracks))
