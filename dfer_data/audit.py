"""`verify`: is every byte of a prepared dataset the one that was written?"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfer_data import lock
from dfer_data.dataset_card import CARD_NAME
from dfer_data.errors import CorruptDataError
from dfer_data.manifest import DATASET_NAME, read_document
from dfer_data.output import LOG_NAME, WORK
from dfer_data.reader import LocalBytes, ShardReader
from dfer_data.sidecar import SHARDS
from dfer_data.weights import sha256_file


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
class Report:
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
    root: Path, *, deep: bool = False, on_shard: Callable[[int, int], None] = lambda done, total: None
) -> Report:
    """Check sizes, the hashes of all small files and every shard's index; `deep`: also hash and decode every shard.

    Raises UsageError or FormatVersionError when `root` is not a dataset this dfer can read.
    """
    try:
        document = read_document(root)
    except CorruptDataError as error:
        return Report(0, 0, 0, (Damage(DATASET_NAME, "", str(error)),))
    damages = [damage for name, facts in document["files"].items() for damage in _check_file(root, name, facts, deep)]
    damages += [Damage(name, "", "is not part of the dataset") for name in _extra_files(root, document["files"])]
    num_clips = num_decoded = 0
    for number, facts in enumerate(document["shards"]):
        num_clips += facts["num_clips"]
        name = f"{SHARDS}/{facts['name']}.safetensors"
        if (root / name).is_file():
            decoded, found = _check_shard(root, name, facts, deep=deep)
            num_decoded += decoded
            damages = [d for d in damages if not (found and d.file == name)] + found  # a clip's name says more
        on_shard(number + 1, len(document["shards"]))
    return Report(len(document["files"]), num_clips, num_decoded, tuple(damages))


def _check_file(root: Path, name: str, facts: Mapping[str, Any], deep: bool) -> list[Damage]:
    path = root / name
    if not path.is_file():
        return [Damage(name, "", "is missing")]
    if path.stat().st_size != facts["num_bytes"]:
        return [Damage(name, "", f"has {path.stat().st_size} bytes, {facts['num_bytes']} were written")]
    hash_it = deep or not name.endswith(".safetensors")
    if hash_it and sha256_file(path) != facts["sha256"]:
        return [Damage(name, "", "does not match its sha256")]
    return []


def _extra_files(root: Path, files: Mapping[str, Any]) -> list[str]:
    found = (path.relative_to(root).as_posix() for path in sorted(root.rglob("*")) if path.is_file())
    known = {*files, DATASET_NAME, LOG_NAME, CARD_NAME}
    return [name for name in found if name not in known and not name.startswith((WORK + "/", lock.PREFIX))]


def _check_shard(root: Path, name: str, facts: Mapping[str, Any], *, deep: bool) -> tuple[int, list[Damage]]:
    """Open a shard, which checks its index; with `deep` decode each frame. Returns (frames decoded, damages)."""
    try:
        reader = ShardReader(
            LocalBytes(root / name), index_bytes=facts["index_bytes"], index_crc32=facts["index_crc32"]
        )
    except CorruptDataError as error:
        return 0, [Damage(name, "", str(error))]
    if not deep:
        return 0, []
    clip_ids = _clip_ids(root / SHARDS / f"{facts['name']}.json")
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


def _clip_ids(sidecar: Path) -> dict[int, str]:
    try:
        return {int(clip["row"]): str(clip["clip_id"]) for clip in json.loads(sidecar.read_bytes())["clips"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
