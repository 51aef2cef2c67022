"""Verify that every byte of a prepared dataset is the one that was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfer_data.errors import CorruptDataError
from dfer_data.loading.prepared import read_document
from dfer_data.shards.duplicates import find_duplicates, fold_splits, shard_opener
from dfer_data.shards.layout import CARD_NAME, CLIPS_NAME, DATASET_NAME, FOLDS, LOG_NAME, SHARDS
from dfer_data.shards.reader import ShardReader
from dfer_data.storage import folder_lock as lock
from dfer_data.storage.base import WORK, Target
from dfer_data.storage.files import sha256_file
from dfer_data.storage.shard_bytes import LocalBytes, ShardBytes
from dfer_data.storage.target import target_at
from dfer_data.storage.url_cache import located


@dataclass(frozen=True)
class Damage:
    """One deviation from what was written."""

    file: str
    """Path relative to the dataset's folder."""
    clip_id: str
    """Id of the damaged clip; empty when the damage is not limited to one clip."""
    message: str
    """Description of the damage."""


@dataclass(frozen=True)
class VerifyReport:
    """The scope and the findings of `verify`."""

    num_files: int
    """Number of files listed in dataset.json."""
    num_clips: int
    """Number of clips in the shards."""
    num_frames_decoded: int
    """Number of decoded frames; 0 unless deep."""
    damages: tuple[Damage, ...]
    """Empty for an intact dataset."""
    notes: tuple[str, ...] = ()
    """Facts about an intact dataset that a user should know, one line each."""


def verify(
    root: Path | str, *, deep: bool = False, on_shard: Callable[[int, int], None] = lambda done, total: None
) -> VerifyReport:
    """Check sizes, the hashes of all small files and the index of every shard; `deep`: hash and decode every shard too.

    `root`: a folder, or a URL, for which the cache is not used; `deep` copies one shard at a time to this machine.
    Raises UsageError or FormatVersionError when this dfer cannot read the dataset, RemoteError.
    """
    target = target_at(root)
    try:
        document = read_document(located(root)[0])
    except CorruptDataError as error:
        return VerifyReport(0, 0, 0, (Damage(DATASET_NAME, "", str(error)),))
    sizes = target.files()
    damages = [damage for name, facts in document["files"].items() for damage in _check_size(name, facts, sizes)]
    damages += _check_small_files(target, document["files"], sizes)
    damages += [Damage(name, "", "is not part of the dataset") for name in _extra_files(sizes, document["files"])]
    num_clips = num_decoded = 0
    for number, facts in enumerate(document["shards"]):
        num_clips += facts["num_clips"]
        name = f"{SHARDS}/{facts['name']}.safetensors"
        if name in sizes:
            num_frames, shard_damages = _check_shard(target, name, facts, deep=deep)
            num_decoded += num_frames
            # damages of single clips are more specific than a wrong size of their file
            damages = [d for d in damages if not (shard_damages and d.file == name)] + shard_damages
        on_shard(number + 1, len(document["shards"]))
    notes = () if damages else _duplicate_notes(target, document)
    return VerifyReport(len(document["files"]), num_clips, num_decoded, tuple(damages), notes)


def _duplicate_notes(target: Target, document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a note if videos with the same bytes have two labels, or are in train and test."""
    names = [f"{FOLDS}/fold-{fold}.csv" for fold in document["counts"]["folds"]]
    clips, *folds = target.read_all([CLIPS_NAME, *names])
    splits = dict(zip(document["counts"]["folds"], map(fold_splits, folds), strict=True))
    note = find_duplicates(clips, splits, open_shard=shard_opener(document, target.shard_bytes)).note
    return (note,) if note else ()


def _check_size(name: str, facts: Mapping[str, Any], sizes: Mapping[str, int]) -> list[Damage]:
    if name not in sizes:
        return [Damage(name, "", "is missing")]
    if sizes[name] != facts["num_bytes"]:
        return [Damage(name, "", f"has {sizes[name]} bytes, {facts['num_bytes']} were written")]
    return []


def _check_small_files(target: Target, files: Mapping[str, Any], sizes: Mapping[str, int]) -> list[Damage]:
    """Hash all files of the right size, except the shards."""
    names = [
        name
        for name, facts in files.items()
        if not name.endswith(".safetensors") and sizes.get(name) == facts["num_bytes"]
    ]
    contents = target.read_all(names)
    return [
        Damage(name, "", "does not match its sha256")
        for name, content in zip(names, contents, strict=True)
        if hashlib.sha256(content).hexdigest() != files[name]["sha256"]
    ]


def _extra_files(sizes: Mapping[str, int], files: Mapping[str, Any]) -> list[str]:
    known_names = {*files, DATASET_NAME, LOG_NAME, CARD_NAME}
    return [name for name in sizes if name not in known_names and not name.startswith((WORK + "/", lock.PREFIX))]


def _check_shard(target: Target, name: str, facts: Mapping[str, Any], *, deep: bool) -> tuple[int, list[Damage]]:
    """Open a shard and check its index; `deep`: also decode and hash it. Returns (decoded frames, damages)."""
    if not deep:
        return 0, _open_shard(target.shard_bytes(name), name, facts)[1]
    with target.local(name) as path:
        reader, damages = _open_shard(LocalBytes(path, name=f"{target}/{name}"), name, facts)
        if reader is None:
            return 0, damages
        num_decoded, damages = _decode_frames(reader, name, _clip_ids(target, facts["name"]))
        if not damages and sha256_file(path) != facts["sha256"]:
            damages = [Damage(name, "", "does not match its sha256")]
        return num_decoded, damages


def _open_shard(source: ShardBytes, name: str, facts: Mapping[str, Any]) -> tuple[ShardReader | None, list[Damage]]:
    try:
        return ShardReader(source, index_bytes=facts["index_bytes"], index_crc32=facts["index_crc32"]), []
    except CorruptDataError as error:
        return None, [Damage(name, "", str(error))]


def _decode_frames(reader: ShardReader, name: str, clip_ids: Mapping[int, str]) -> tuple[int, list[Damage]]:
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


def _clip_ids(target: Target, shard: str) -> dict[int, str]:
    try:
        sidecar = json.loads(target.read(f"{SHARDS}/{shard}.json"))
        return {int(clip["row"]): str(clip["clip_id"]) for clip in sidecar["clips"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
