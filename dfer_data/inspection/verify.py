"""`verify`: is every byte of a prepared dataset the one that was written?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfer_data.errors import CorruptDataError
from dfer_data.loading.prepared import read_document
from dfer_data.shards.layout import CARD_NAME, DATASET_NAME, LOG_NAME, SHARDS
from dfer_data.shards.reader import ShardReader
from dfer_data.storage import folder_lock as lock
from dfer_data.storage.base import WORK, Target
from dfer_data.storage.files import sha256_file
from dfer_data.storage.shard_bytes import LocalBytes, ShardBytes
from dfer_data.storage.target import target_at
from dfer_data.storage.url_cache import located


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it was written."""

    file: str
    """Path below the dataset's folder."""
    clip_id: str
    """The clip it hits; empty when it is not one clip alone."""
    message: str
    """What is wrong."""


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` looked at and what it found."""

    num_files: int
    """Files that dataset.json names."""
    num_clips: int
    """Clips in the shards."""
    num_frames_decoded: int
    """Pictures decoded; 0 unless deep."""
    damages: tuple[Damage, ...]
    """Empty for an intact dataset."""


def verify(
    root: Path | str, *, deep: bool = False, on_shard: Callable[[int, int], None] = lambda done, total: None
) -> VerifyReport:
    """Check sizes, the hashes of all small files and every shard's index; `deep`: also hash and decode every shard.

    `root`: a folder, or a URL, of which nothing is taken from the cache; `deep` copies one shard at a time to this
    machine. Raises UsageError or FormatVersionError when it is not a dataset this dfer can read, RemoteError.
    """
    place = target_at(root)
    try:
        document = read_document(located(root)[0])
    except CorruptDataError as error:
        return VerifyReport(0, 0, 0, (Damage(DATASET_NAME, "", str(error)),))
    sizes = place.files()
    damages = [damage for name, facts in document["files"].items() for damage in _check_size(name, facts, sizes)]
    damages += _check_small_files(place, document["files"], sizes)
    damages += [Damage(name, "", "is not part of the dataset") for name in _extra_files(sizes, document["files"])]
    num_clips = num_decoded = 0
    for number, facts in enumerate(document["shards"]):
        num_clips += facts["num_clips"]
        name = f"{SHARDS}/{facts['name']}.safetensors"
        if name in sizes:
            decoded, found = _check_shard(place, name, facts, deep=deep)
            num_decoded += decoded
            damages = [d for d in damages if not (found and d.file == name)] + found  # a clip's name says more
        on_shard(number + 1, len(document["shards"]))
    return VerifyReport(len(document["files"]), num_clips, num_decoded, tuple(damages))


def _check_size(name: str, facts: Mapping[str, Any], sizes: Mapping[str, int]) -> list[Damage]:
    if name not in sizes:
        return [Damage(name, "", "is missing")]
    if sizes[name] != facts["num_bytes"]:
        return [Damage(name, "", f"has {sizes[name]} bytes, {facts['num_bytes']} were written")]
    return []


def _check_small_files(place: Target, files: Mapping[str, Any], sizes: Mapping[str, int]) -> list[Damage]:
    """Hash all files of the right size but the shards."""
    names = [
        name
        for name, facts in files.items()
        if not name.endswith(".safetensors") and sizes.get(name) == facts["num_bytes"]
    ]
    contents = place.read_all(names)
    return [
        Damage(name, "", "does not match its sha256")
        for name, content in zip(names, contents, strict=True)
        if hashlib.sha256(content).hexdigest() != files[name]["sha256"]
    ]


def _extra_files(sizes: Mapping[str, int], files: Mapping[str, Any]) -> list[str]:
    known = {*files, DATASET_NAME, LOG_NAME, CARD_NAME}
    return [name for name in sizes if name not in known and not name.startswith((WORK + "/", lock.PREFIX))]


def _check_shard(place: Target, name: str, facts: Mapping[str, Any], *, deep: bool) -> tuple[int, list[Damage]]:
    """Open a shard, which checks its index; with `deep` hash it and decode each frame. Returns (decoded, damages)."""
    if not deep:
        return 0, _opened(place.shard_bytes(name), name, facts)[1]
    with place.local(name) as path:
        reader, damages = _opened(LocalBytes(path, name=f"{place}/{name}"), name, facts)
        if reader is None:
            return 0, damages
        num_decoded, damages = _decode(reader, name, _clip_ids(place, facts["name"]))
        if not damages and sha256_file(path) != facts["sha256"]:
            damages = [Damage(name, "", "does not match its sha256")]
        return num_decoded, damages


def _opened(source: ShardBytes, name: str, facts: Mapping[str, Any]) -> tuple[ShardReader | None, list[Damage]]:
    try:
        return ShardReader(source, index_bytes=facts["index_bytes"], index_crc32=facts["index_crc32"]), []
    except CorruptDataError as error:
        return None, [Damage(name, "", str(error))]


def _decode(reader: ShardReader, name: str, clip_ids: Mapping[int, str]) -> tuple[int, list[Damage]]:
    num_decoded, damages = 0, []
    for row in range(reader.num_clips):
        clip_id = clip_ids.get(row, f"row {row}")
        for index in range(reader.num_frames(row)):
            try:
                reader.frame(row, index, clip_id=clip_id)
                num_decoded += 1
            except CorruptDataError as error:
                damages.append(Damage(name, clip_id, str(error)))
    return num_decoded, damages


def _clip_ids(place: Target, shard: str) -> dict[int, str]:
    try:
        sidecar = json.loads(place.read(f"{SHARDS}/{shard}.json"))
        return {int(clip["row"]): str(clip["clip_id"]) for clip in sidecar["clips"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
