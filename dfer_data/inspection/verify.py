"""Verify that every byte of a prepared dataset is the one that was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dfer_data.config import PrepareConfig
from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.loading.document import read_document, refuse_change
from dfer_data.shards.audio_reader import open_audio
from dfer_data.shards.audit_folder import audit_faults, audit_note, is_of_audit
from dfer_data.shards.clip_coverage import read_coverage
from dfer_data.shards.clips_table import clips_frame, read_clips
from dfer_data.shards.dataset_card import dataset_card
from dfer_data.shards.duplicates import find_duplicates, shard_opener
from dfer_data.shards.fold_file import checked_fold, fold_splits
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.shards.layout import (
    CARD_NAME,
    CLIPS_NAME,
    DATASET_NAME,
    FOLDS,
    LEDGER_NAME,
    LOG_NAME,
    PLAN_NAME,
    PREVIEW,
    SHARDS,
    audio_name,
    fold_name,
    is_summary,
    sidecar_name,
)
from dfer_data.shards.reader import ShardReader, open_shard
from dfer_data.shards.rebuilt_file import REBUILT_NAME, read_rebuilt, rebuilt_words
from dfer_data.shards.sidecar import checked_sidecar
from dfer_data.storage import folder_lock as lock
from dfer_data.storage.base import WORK, Target
from dfer_data.storage.changeset import NEXT
from dfer_data.storage.files import sha256_file
from dfer_data.storage.parquet import to_frame
from dfer_data.storage.shard_bytes import LocalBytes, ShardBytes
from dfer_data.storage.target import target_at
from dfer_data.storage.url_cache import located
from dfer_data.wording import counted


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
    Raises UsageError or FormatVersionError when this dfer cannot read the dataset, UsageError while a command changes
    it, RemoteError.
    """
    target, folder = target_at(root), located(root)[0]
    refuse_change(folder)
    try:
        document = read_document(folder)
    except CorruptDataError as error:
        return VerifyReport(0, 0, 0, (Damage(DATASET_NAME, "", str(error)),))
    try:
        PrepareConfig.from_dict(document["config"])
    except UsageError as error:
        return VerifyReport(0, 0, 0, (Damage(DATASET_NAME, "", f"has impossible settings: {error}"),))
    try:
        report = _report(target, document, deep=deep, on_shard=on_shard)
    except FileNotFoundError:
        refuse_change(folder, document)
        raise
    if report.damages:
        refuse_change(folder, document)
    return report


def _report(
    target: Target, document: Mapping[str, Any], *, deep: bool, on_shard: Callable[[int, int], None]
) -> VerifyReport:
    sizes = target.files()
    damages = [damage for name, facts in document["files"].items() for damage in _check_size(name, facts, sizes)]
    contents, small_damages = _read_small_files(target, document["files"], sizes)
    damages += [*small_damages, *_check_contents(contents, document)]
    damages += [Damage(name, "", "is not part of the dataset") for name in _extra_files(sizes, document["files"])]
    damages += [Damage(name, "", fault) for name, fault in audit_faults(target, sizes)]
    damages += _check_rebuilt(target)
    num_clips = num_decoded = 0
    for number, facts in enumerate(document["shards"]):
        num_clips += facts["num_clips"]
        name = f"{SHARDS}/{facts['name']}.safetensors"
        if name in sizes:
            num_frames, shard_damages = _check_shard(
                target, document, number, clips=_clips_by_row(contents.get(sidecar_name(number), b"")), deep=deep
            )
            num_decoded += num_frames
            # damages of single clips are more specific than a wrong size of their file
            damages = [d for d in damages if not (shard_damages and d.file == name)] + shard_damages
        if "audio" in facts and audio_name(number) in sizes:
            clip_ids = _clips_by_row(contents.get(sidecar_name(number), b""))
            damages += _check_audio(target, document, number, clip_ids=clip_ids, deep=deep)
        on_shard(number + 1, len(document["shards"]))
    notes = () if damages else _notes(target, document, sizes)
    return VerifyReport(len(document["files"]), num_clips, num_decoded, tuple(damages), notes)


def _check_contents(contents: Mapping[str, bytes], document: Mapping[str, Any]) -> Iterator[Damage]:
    """Read the small files with the right hash as readers do; yield what their readers rely on and they lack."""
    for name in (PLAN_NAME, LEDGER_NAME):
        content = contents.get(name)
        if content is not None and not _is_json(content.splitlines() if name == LEDGER_NAME else [content]):
            yield Damage(name, "", "is not JSON of dfer")
    clips = contents.get(CLIPS_NAME)
    if clips is None:
        return
    try:
        table = read_clips(clips, document, name=CLIPS_NAME)
        clips_frame(clips, name=CLIPS_NAME)
    except CorruptDataError as error:
        yield Damage(CLIPS_NAME, "", str(error).removeprefix(f"{CLIPS_NAME} "))
        return
    own_sets = {fold_set: facts["folds"] for fold_set, facts in document.get("fold_sets", {}).items()}
    sets = {OFFICIAL_SET: document["counts"]["folds"], **own_sets}
    for name, split_sizes in {
        fold_name(fold, fold_set=fold_set): sizes for fold_set, folds in sets.items() for fold, sizes in folds.items()
    }.items():
        try:
            if (content := contents.get(name)) is not None:
                checked_fold(content, split_sizes, known_ids=table["clip_id"], name=name)
        except CorruptDataError as error:
            yield Damage(name, "", str(error).removeprefix(f"{name} "))
    frame = to_frame(table.select(["clip_id", "shard", "row", "num_frames"]))
    by_shard = dict(iter(frame.sort_values("row").groupby("shard")))
    for number, facts in enumerate(document["shards"]):
        rows = by_shard.get(number, frame.iloc[:0])
        if (content := contents.get(sidecar_name(number))) is not None:
            sheet = document["files"][f"{PREVIEW}/{facts['name']}.jpg"]["num_bytes"]
            audio_bytes = facts["audio"]["num_bytes"] if "audio" in facts else None
            sidecar = checked_sidecar(content, facts["num_bytes"], sheet, num_audio_bytes=audio_bytes)
            if sidecar is None or _clips_of(sidecar) != list(
                zip(rows["row"], rows["clip_id"], rows["num_frames"], strict=True)
            ):
                yield Damage(sidecar_name(number), "", f"does not describe the clips that {CLIPS_NAME} has there")


def _is_json(contents: Sequence[bytes]) -> bool:
    """Whether each content is a JSON object."""
    try:
        return all(isinstance(json.loads(content), dict) for content in contents)
    except (ValueError, RecursionError):
        return False


def _clips_of(sidecar: Mapping[str, Any]) -> list[tuple[Any, Any, Any]]:
    """Return row, id and number of frames of each clip; [] for a sidecar of another form."""
    try:
        return [(clip["row"], clip["clip_id"], clip["num_frames"]) for clip in sidecar["clips"]]
    except (KeyError, TypeError):
        return []


def _notes(target: Target, document: Mapping[str, Any], sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Return notes on copied videos at odds, on clips that show little of their video, on the card and the audit."""
    names = [f"{FOLDS}/fold-{fold}.csv" for fold in document["counts"]["folds"]]
    clips, *folds = target.read_all([CLIPS_NAME, *names])
    splits = dict(zip(document["counts"]["folds"], map(fold_splits, folds), strict=True))
    note = find_duplicates(clips, splits, open_shard=shard_opener(document, target.shard_bytes)).note
    coverage = read_coverage(clips, all_tracks=bool(document["config"].get("all_tracks")))
    notes = (note, _rebuilt_note(target, document), _card_note(target, document), audit_note(target, sizes, document))
    return (*filter(None, notes), *coverage.notes)


def _check_rebuilt(target: Target) -> list[Damage]:
    """Return the damage of a rebuilt.json whose bytes were changed."""
    try:
        read_rebuilt(target)
    except CorruptDataError as error:
        return [Damage(REBUILT_NAME, "", str(error))]
    return []


def _rebuilt_note(target: Target, document: Mapping[str, Any]) -> str:
    """Return how equal a rebuilt dataset is to the one that was locked; empty for a dataset that was not rebuilt."""
    rebuilt = read_rebuilt(target)
    return "" if rebuilt is None else rebuilt_words(rebuilt, document)


def _card_note(target: Target, document: Mapping[str, Any]) -> str:
    """Return a note on a card that is not the one made from dataset.json; empty if it is."""
    card = dataset_card(document, rebuilt=read_rebuilt(target)).encode("utf-8")
    if target.size(CARD_NAME) is None or target.read(CARD_NAME) == card:
        return ""
    return (
        f"{CARD_NAME} is not what this dfer writes from {DATASET_NAME}: it was edited, or is of another version; no "
        "reader uses it, and no hash covers it"
    )


def _check_size(name: str, facts: Mapping[str, Any], sizes: Mapping[str, int]) -> list[Damage]:
    if name not in sizes:
        return [Damage(name, "", "is missing")]
    if sizes[name] != facts["num_bytes"]:
        return [Damage(name, "", f"has {sizes[name]} bytes, {facts['num_bytes']} were written")]
    return []


def _read_small_files(
    target: Target, files: Mapping[str, Any], sizes: Mapping[str, int]
) -> tuple[dict[str, bytes], list[Damage]]:
    """Return the contents of all files of the right size and hash, but for shards and pictures, and the damages."""
    names = [
        name
        for name, facts in files.items()
        if not name.endswith(".safetensors") and sizes.get(name) == facts["num_bytes"]
    ]
    contents = dict(zip(names, target.read_all(names), strict=True))
    damaged = [name for name in names if hashlib.sha256(contents[name]).hexdigest() != files[name]["sha256"]]
    intact = {name: contents[name] for name in names if name not in damaged and not name.endswith(".jpg")}
    return intact, [Damage(name, "", "does not match its sha256") for name in damaged]


def _extra_files(sizes: Mapping[str, int], files: Mapping[str, Any]) -> list[str]:
    known_names = {*files, DATASET_NAME, LOG_NAME, CARD_NAME, REBUILT_NAME}
    unhashed = (WORK + "/", NEXT + "/", lock.PREFIX)
    return [
        name
        for name in sizes
        if not (name in known_names or name.startswith(unhashed) or is_summary(name) or is_of_audit(name))
    ]


def _check_shard(
    target: Target, document: Mapping[str, Any], number: int, *, clips: Mapping[int, tuple[str, int]], deep: bool
) -> tuple[int, list[Damage]]:
    """Open a shard and check its index; `deep`: also decode and hash it. Returns (decoded frames, damages).

    `clips`: row -> id and number of frames.
    """
    facts = document["shards"][number]
    name = f"{SHARDS}/{facts['name']}.safetensors"
    if not deep:
        return 0, _open_shard(document, number, target.shard_bytes(name), clips)[1]
    with target.local(name) as path:
        reader, damages = _open_shard(document, number, LocalBytes(path, name=f"{target}/{name}"), clips)
        if reader is None:
            return 0, damages
        num_decoded, more = _decode_frames(reader, name, {row: clip_id for row, (clip_id, _) in clips.items()})
        damages += more
        if not damages and sha256_file(path) != facts["sha256"]:
            damages = [Damage(name, "", "does not match its sha256")]
        return num_decoded, damages


def _open_shard(
    document: Mapping[str, Any], number: int, source: ShardBytes, clips: Mapping[int, tuple[str, int]]
) -> tuple[ShardReader | None, list[Damage]]:
    """Open a shard; return it with the clips whose number of frames differs from the one in the sidecar."""
    name = f"{SHARDS}/{document['shards'][number]['name']}.safetensors"
    try:
        reader = open_shard(document, number, source)
    except CorruptDataError as error:
        return None, [Damage(name, "", str(error))]
    lengths = {row: reader.num_frames(row) for row in range(reader.num_clips)} if reader.store == "frames" else {}
    return reader, [
        Damage(name, clip_id, f"has {counted(lengths[row], 'frame')} in its shard, {num_frames} in {CLIPS_NAME}")
        for row, (clip_id, num_frames) in clips.items()
        if lengths.get(row, num_frames) != num_frames
    ]


def _check_audio(
    target: Target, document: Mapping[str, Any], number: int, *, clip_ids: Mapping[int, tuple[str, int]], deep: bool
) -> list[Damage]:
    """Open the sound of a shard and check its index; `deep`: also the samples of each clip, and the hash."""
    name = audio_name(number)
    try:
        if not deep:
            open_audio(document, number, target.shard_bytes(name))
            return []
        with target.local(name) as path:
            reader = open_audio(document, number, LocalBytes(path, name=f"{target}/{name}"))
            damages = []
            for row in range(reader.num_clips):
                clip_id = clip_ids.get(row, (f"row {row}", 0))[0]
                try:
                    reader.samples(row, clip_id=clip_id)
                except CorruptDataError as error:
                    damages.append(Damage(name, clip_id, str(error)))
            if not damages and sha256_file(path) != document["shards"][number]["audio"]["sha256"]:
                damages = [Damage(name, "", "does not match its sha256")]
            return damages
    except CorruptDataError as error:
        return [Damage(name, "", str(error))]


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


def _clips_by_row(content: bytes) -> dict[int, tuple[str, int]]:
    """Return row -> id and number of frames of the clips in a sidecar; empty for one that cannot be read."""
    try:
        clips = _clips_of(json.loads(content))
        return {int(row): (str(clip_id), int(num_frames)) for row, clip_id, num_frames in clips}
    except (ValueError, TypeError, OverflowError, RecursionError):
        return {}
