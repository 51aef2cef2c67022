"""Make the lock of a prepared dataset: everything that decides its pictures, and no picture."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from dfer_data.config import PrepareConfig
from dfer_data.errors import CorruptDataError, CorruptShardError, UsageError
from dfer_data.loading.prepared import open_dataset
from dfer_data.locking.lock_file import LOCK_SUFFIX, LockedFrames, frame_type, write_lock
from dfer_data.locking.lock_header import (
    Amended,
    Annotation,
    LockedClip,
    LockedFailure,
    LockedTrack,
    LockedVideo,
    LockHeader,
    video_key,
)
from dfer_data.locking.name_mask import masked
from dfer_data.locking.picture_hash import picture_hash
from dfer_data.shards.duplicates import shard_opener
from dfer_data.shards.layout import PLAN_NAME, sidecar_name
from dfer_data.shards.reader import ShardReader
from dfer_data.sources.base import Split
from dfer_data.storage.base import Target
from dfer_data.storage.files import atomic_file, place_of
from dfer_data.storage.scratch_folder import scratch_folder
from dfer_data.storage.target import target_at
from dfer_data.wording import counted

_Row = Mapping[str, Any]
_KINDS = ("clips", "failures", "left_out")
_OF_CLIP = tuple(name for name in LockedClip.model_fields if name not in ("suffix", "reason"))


@dataclass(frozen=True)
class LockSummary:
    """What was locked."""

    out: str
    """The lock."""
    sha256: str
    """Hash of the whole file."""
    num_bytes: int
    num_clips: int
    """Clips with faces."""
    num_frames: int
    shard_bytes: int
    """Size of the shards whose place the lock can take."""
    notes: tuple[str, ...] = ()


def lock(
    root: Path | str,
    out: Path | str | None = None,
    *,
    with_paths: bool = False,
    with_labels: bool = False,
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> LockSummary:
    """Write the lock of a prepared dataset: the same dataset gives the same bytes.

    Args:
        root: folder or URL of the prepared dataset.
        out: the file; None: NAME.dferlock in the working folder.
        with_paths: name the sources by id and path; else by their hashes alone, since a path may spell the label.
        with_labels: hold labels, votes, persons and folds; else they come from the annotation files of the user.
        on_clip: called with the number of finished clips, and of all.

    Raises UsageError for a dataset that cannot be rebuilt, CorruptDataError, OSError when the disk fails.
    """
    dataset = open_dataset(root)
    document, source = dataset.document, target_at(root)
    config = PrepareConfig.from_dict(document["config"])
    if "content_sha256" not in document:
        raise UsageError(f"{root} was made by dfer 0.1, which kept too little to rebuild it; prepare it again")
    plan = json.loads(_checked(source, PLAN_NAME, document))
    sidecars = [
        json.loads(_checked(source, sidecar_name(number), document)) for number in range(len(document["shards"]))
    ]
    _refuse_unknown_warps(config, sidecars, root)
    header = _header(document, plan, sidecars, with_paths=with_paths, with_labels=with_labels)
    num_frames = sum(clip.num_stored(config) for _, clip in header.clips())
    path = Path(out) if out is not None else Path(default_name(root))
    frames = _frames(header, config, shard_opener(document, source.shard_bytes), on_clip=on_clip)
    with (
        scratch_folder(path.parent, "lock") as work,  # two locks may be written to one path
        atomic_file(path, work=work) as file,
    ):
        sha256 = write_lock(file, header, frames, num_frames=num_frames)
    num_clips = sum(1 for _ in header.clips())
    shard_bytes = sum(facts["num_bytes"] for facts in document["shards"])
    notes = tuple(_notes(header, plan, with_labels=with_labels))
    return LockSummary(str(path), sha256, path.stat().st_size, num_clips, num_frames, shard_bytes, notes)


def default_name(root: Path | str) -> str:
    """Return the name of the lock of a prepared dataset, a folder or URL."""
    place = place_of(root)
    name = place.rstrip("/").rpartition("/")[2] if isinstance(place, str) else place.resolve().name
    return f"{name}{LOCK_SUFFIX}"


def _checked(source: Target, name: str, document: Mapping[str, Any]) -> bytes:
    """Return a file of the dataset, which must be the one that dataset.json describes."""
    content = source.read(name) if source.size(name) is not None else b""
    if hashlib.sha256(content).hexdigest() != document["files"][name]["sha256"]:
        raise CorruptDataError(f"{source}/{name} is missing or was changed; restore it or prepare again")
    return content


def _refuse_unknown_warps(config: PrepareConfig, sidecars: list[_Row], root: Path | str) -> None:
    """Raise UsageError where what is stored does not tell how each picture was aligned."""
    is_thinned = config.store == "clips16" or config.undetected == "drop"
    reasons = {
        "--store clips16 with --undetected drop": config.store == "clips16" and config.undetected == "drop",
        "--align box with --store clips16 or --undetected drop": config.align == "box" and is_thinned,
        "--align-scale track, by a dfer that did not store the scale": config.align_scale == "track"
        and is_thinned
        and any("scale" not in clip for sidecar in sidecars for clip in sidecar["clips"]),
    }
    if found := [words for words, holds in reasons.items() if holds]:
        raise UsageError(
            f"{root} was prepared with {found[0]}: it does not hold what its alignment was computed from, so no lock "
            "could rebuild it; prepare it again with other settings"
        )


def _header(
    document: Mapping[str, Any], plan: _Row, sidecars: list[_Row], *, with_paths: bool, with_labels: bool
) -> LockHeader:
    facts = {video["clip_id"]: video for video in plan["videos"]}
    videos = []
    for shard, sidecar in zip(plan["shards"], sidecars, strict=True):
        rows: dict[str, dict[str, list[_Row]]] = {kind: defaultdict(list) for kind in _KINDS}
        for kind in _KINDS:
            for row in sidecar.get(kind, ()):
                rows[kind][row["source_clip_id"]].append(row)
        for clip_id in shard:
            of_video = {kind: rows[kind][clip_id] for kind in _KINDS}
            videos.append(_video(facts[clip_id], of_video, with_paths=with_paths, with_labels=with_labels))
    numbers = {clip_id: number for number, clip_id in enumerate(id_ for shard in plan["shards"] for id_ in shard)}
    return LockHeader(
        document=dict(document),
        shards=[len(shard) for shard in plan["shards"]],
        videos=videos,
        limit=plan.get("limit"),
        folds=_folds(plan, numbers) if with_labels else None,
        amended=_amended(plan, sidecars, numbers) if with_labels else None,
    )


def _video(facts: _Row, rows: Mapping[str, list[_Row]], *, with_paths: bool, with_labels: bool) -> LockedVideo:
    clip_id, path = str(facts["clip_id"]), str(facts["path"])
    mask: Callable[[str], str] = (lambda text: text) if with_paths else partial(masked, clip_id=clip_id, path=path)

    def suffix(row_id: str) -> str:
        return row_id.removeprefix(clip_id)

    clips = [
        LockedClip(
            suffix=suffix(row["clip_id"]),
            reason=mask(row["reason"]),
            **{name: row[name] for name in _OF_CLIP if name in row},
        )
        for row in rows["clips"]
    ]
    failures = [
        LockedFailure(
            suffix=suffix(row["clip_id"]),
            code=row["code"],
            message=mask(row["message"]),
            frame=row["frame"],
            hint=mask(row["hint"]),
        )
        for row in rows["failures"]
    ]
    names = [name for name in LockedTrack.model_fields if name != "suffix"]
    left_out = [
        LockedTrack(suffix=suffix(row["clip_id"]), **{name: row[name] for name in names}) for row in rows["left_out"]
    ]
    subjects = [(suffix(id_), track) for id_, track in facts["subjects"]] if facts.get("subjects") else None
    annotation = Annotation(**{name: facts.get(name) for name in Annotation.model_fields})
    return LockedVideo(
        key=video_key(clip_id),
        num_bytes=facts["num_bytes"],
        sha256=next((row["source_sha256"] for row in rows["clips"]), ""),
        clips=clips,
        failures=failures,
        left_out=left_out,
        subjects=subjects,
        clip_id=clip_id if with_paths else None,
        path=path if with_paths else None,
        annotation=annotation if with_labels else None,
    )


def _folds(plan: _Row, numbers: Mapping[str, int]) -> dict[str, dict[Split, list[int]]]:
    return {
        fold: {
            split: sorted(numbers[video] for video, part in splits.items() if part == split and video in numbers)
            for split in get_args(Split)
        }
        for fold, splits in plan["folds"].items()
    }


def _amended(plan: _Row, sidecars: list[_Row], numbers: Mapping[str, int]) -> list[Amended]:
    """Return the labels changed by hand, by the number of their video and the suffix of their clip."""
    video_of = {
        row["clip_id"]: row["source_clip_id"]
        for sidecar in sidecars
        for row in (*sidecar["clips"], *sidecar["failures"])
    }
    return [
        (numbers[video_of[clip_id]], clip_id.removeprefix(video_of[clip_id]), dict(values))
        for clip_id, values in sorted(plan.get("labels", {}).items())
        if clip_id in video_of
    ]


def _frames(
    header: LockHeader,
    config: PrepareConfig,
    open_shard: Callable[[int], ShardReader],
    *,
    on_clip: Callable[[int, int], None],
) -> Iterator[LockedFrames]:
    """Yield the frames of each clip, in the order of the header."""
    total, done, first = sum(1 for _ in header.clips()), 0, 0
    for number, num_videos in enumerate(header.shards):
        reader, row = open_shard(number), 0
        for video in header.videos[first : first + num_videos]:
            for _ in video.clips:
                yield _frames_of(reader, row, config)
                row, done = row + 1, done + 1
                on_clip(done, total)
        first += num_videos


def _frames_of(reader: ShardReader, row: int, config: PrepareConfig) -> LockedFrames:
    begin, end = (int(offset) for offset in reader.clip_offsets[row : row + 2])
    frames = np.zeros(end - begin, frame_type(config.detector))
    for name in frames.dtype.names or ():
        if name != "picture_hash":
            frames[name] = reader.tensor(name)[begin:end]
    for index, payload in enumerate(reader.jpegs(row, range(end - begin))):
        try:
            frames["picture_hash"][index] = picture_hash(payload, config)
        except ValueError as error:
            raise CorruptShardError(
                f"frame {index} of the clip in row {row} is not a readable JPEG: {error}"
            ) from error
    return frames


def _notes(header: LockHeader, plan: _Row, *, with_labels: bool) -> Iterator[str]:
    """Yield what to know before the lock is published, and what a rebuild cannot make equal."""
    if not header.document["synthetic"]:
        yield (
            "boxes and landmarks of faces over time are personal data too: ask the owners of the videos before you "
            "publish it"
        )
    if plan.get("fold_sets"):
        names = ", ".join(sorted(plan["fold_sets"]))
        yield f"own sets of folds are not in the lock ({names}): make them again with `dfer folds`"
    if plan.get("labels") and not with_labels:
        yield f"labels changed by hand: {len(plan['labels']):,}; they are in the lock only with --with-labels"
    without = [clip for _, clip in header.clips() if clip.rivals and clip.portrait_places is None]
    if without:
        yield (
            f"{counted(len(without), 'ambiguous clip')} of an older dfer, which did not store where other faces are: "
            "contact sheets of a rebuilt dataset show them in grey"
        )
