"""Bring a plan in line with a source that has changed: which videos are new, renamed, changed or gone.

Videos are recognised by the sha256 of their file. What is stored of them stays; only new and changed ones are decoded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dfer_data.preparation.amendments import Amendments
from dfer_data.preparation.donors import RowChange, Sidecar
from dfer_data.preparation.plan import Plan, cut_shards, with_subjects
from dfer_data.processes import num_cores
from dfer_data.sources.base import SourceListing, SourceVideo
from dfer_data.storage.files import sha256_file
from dfer_data.video.image_folder import hash_of_pictures


@dataclass(frozen=True)
class SourceChange:
    """How a source differs from what is prepared."""

    added: tuple[str, ...] = ()
    """Ids of videos that are not prepared."""
    changed: tuple[str, ...] = ()
    """Ids of videos whose file has other bytes."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Pairs of old and new id of videos with the same bytes."""
    relabelled: tuple[str, ...] = ()
    """Ids of videos with another label, group or votes."""
    gone: tuple[str, ...] = ()
    """Ids of videos that are not in the source."""
    has_other_folds: bool = False

    def counts(self, *, prune: bool) -> dict[str, int]:
        """Return the number of videos per kind of change, without those that did not occur."""
        numbers = {
            "added": len(self.added),
            "changed": len(self.changed),
            "renamed": len(self.renamed),
            "relabelled": len(self.relabelled),
            "pruned" if prune else "kept": len(self.gone),
        }
        return {name: number for name, number in numbers.items() if number}

    def __str__(self) -> str:
        """Return one line for people."""
        parts = [
            f"{len(ids):,} {words}"
            for ids, words in (
                (self.added, "new"),
                (self.changed, "changed"),
                (self.renamed, "renamed"),
                (self.relabelled, "with another label, person or votes"),
                (self.gone, "gone from the source"),
            )
            if ids
        ]
        parts += ["other folds"] if self.has_other_folds else []
        return f"videos: {', '.join(parts)}" if parts else "the source has not changed"


@dataclass(frozen=True)
class MergedPlan:
    """A plan that takes over what is stored."""

    plan: Plan
    rows: RowChange
    clip_ids: Mapping[str, str]
    """Id of each stored clip that remains -> its new id."""
    change: SourceChange


Hash = Callable[[SourceVideo], str]


def source_hash(source: Path) -> Hash:
    """Return the function that hashes a video of a source, as its clips record it; empty where it cannot be read."""
    return partial(_hash, source)


def _hash(source: Path, video: SourceVideo) -> str:
    path = source / video.path
    try:
        return hash_of_pictures(path)[1] if path.is_dir() else sha256_file(path)
    except OSError:
        return ""


def merged_plan(
    old: Plan,
    new: Plan,
    sidecars: Iterable[Sidecar],
    *,
    hashed: Hash,
    prune: bool = False,
    keep_shards: bool = True,
    has_subjects: bool = False,
    on_hashed: Callable[[int, int], None] = lambda done, total: None,
) -> MergedPlan:
    """Return the new plan with what is stored by the old one, and how the rows of its shards change.

    `sidecars`: of all stored shards. `prune`: drop the videos that are gone from the source; else they stay.
    `keep_shards`: keep the cut into shards and append new ones; else cut all videos anew.
    `has_subjects`: the new plan names the tracks chosen by hand; else those of the old one stay.
    """
    sidecars = list(sidecars)
    stored = _stored_hashes(sidecars)
    before = {video.clip_id: video for video in old.listing.videos}
    now = {video.clip_id: video for video in new.listing.videos}
    hashes = _hashes([video for video in new.listing.videos if video.path], hashed, on_hashed)
    renamed = _renamed(before, now, stored, hashes)
    gone = [clip_id for clip_id in before if clip_id not in now and clip_id not in renamed]
    lost = [clip_id for clip_id in now if before.get(clip_id) and before[clip_id].path and not now[clip_id].path]
    if not has_subjects:
        new = _with_tracks(new, before, renamed)
        now = {video.clip_id: video for video in new.listing.videos}
    changed = [clip_id for clip_id in now if clip_id in before and _is_changed(before, now, stored, hashes, clip_id)]
    changed += lost if prune else []
    was = {new_id: old_id for old_id, new_id in renamed.items()}
    dropped = {*changed, *(gone if prune else (clip_id for clip_id in gone if clip_id not in stored))}
    kept = [] if prune else [before[clip_id] for clip_id in gone if clip_id in stored]
    listing = _with_kept(new.listing, old.listing, kept)
    relabelled = [
        clip_id
        for clip_id in now
        if (origin := before.get(was.get(clip_id, clip_id))) is not None
        and _annotation(origin) != _annotation(now[clip_id])
    ]
    new_ids = {clip_id: renamed.get(clip_id, clip_id) for clip_id in before if clip_id not in gone}
    new_ids |= {video.clip_id: video.clip_id for video in kept}
    plan = replace(new, listing=listing)
    plan = plan.with_cut(_shards(old, listing, new_ids) if keep_shards else _ids(cut_shards(listing.videos)))
    clips = {str(row["clip_id"]): str(row["source_clip_id"]) for row in _rows(sidecars)}
    clip_ids = {
        clip_id: new_ids[video] + clip_id.removeprefix(video) for clip_id, video in clips.items() if video in new_ids
    }
    plan = _with_amendments(plan, old.amendments.for_clips(clip_ids), old.listing.class_names)
    paths = {clip_id: now[clip_id].path for clip_id in renamed.values()}
    change = SourceChange(
        tuple(clip_id for clip_id in now if clip_id not in before and clip_id not in was),
        tuple(changed),
        tuple(renamed.items()),
        tuple(relabelled),
        (*gone, *lost),
        _has_other_folds(old.listing, listing),
    )
    return MergedPlan(plan, RowChange(renamed, paths, frozenset(dropped)), clip_ids, change)


def _with_tracks(new: Plan, before: Mapping[str, SourceVideo], renamed: Mapping[str, str]) -> Plan:
    """Return the new plan with the tracks that were chosen by hand for the old one."""
    now = {video.clip_id for video in new.listing.videos}
    tracks: dict[str, int] = {}
    for clip_id, video in before.items():
        new_id = renamed.get(clip_id, clip_id)
        if video.subjects and new_id in now:
            tracks |= {new_id + part.removeprefix(clip_id): track for part, track in video.subjects}
    return with_subjects(new, tracks)


def _has_other_folds(old: SourceListing, new: SourceListing) -> bool:
    """Return whether a video that is in both listings is in another split of a fold, or there are other folds."""
    if (old.fold_rule, old.folds.keys()) != (new.fold_rule, new.folds.keys()):
        return True
    common = {video.clip_id for video in old.videos} & {video.clip_id for video in new.videos}
    return any(
        splits.get(video) != new.folds[fold].get(video) for fold, splits in old.folds.items() for video in common
    )


def _annotation(video: SourceVideo) -> tuple[object, ...]:
    return video.label, video.group, video.votes, video.labels


def _rows(sidecars: Iterable[Sidecar]) -> Iterable[Mapping[str, object]]:
    for sidecar in sidecars:
        yield from sidecar["clips"]
        yield from sidecar["failures"]


def _stored_hashes(sidecars: Iterable[Sidecar]) -> dict[str, str]:
    """Return the id of each stored video -> the sha256 of its file, empty where it is not known."""
    hashes: dict[str, str] = {}
    for row in _rows(sidecars):
        video = str(row["source_clip_id"])
        hashes[video] = str(row.get("source_sha256") or hashes.get(video, ""))
    return hashes


def _hashes(videos: list[SourceVideo], hashed: Hash, on_hashed: Callable[[int, int], None]) -> dict[str, str]:
    """Return id -> sha256, hashed by as many threads as there are cores: hashing releases the interpreter."""
    hashes = {}
    with ThreadPoolExecutor(num_cores()) as pool:
        for number, (video, sha256) in enumerate(zip(videos, pool.map(hashed, videos), strict=True), start=1):
            hashes[video.clip_id] = sha256
            on_hashed(number, len(videos))
    return hashes


def _renamed(
    before: Mapping[str, SourceVideo],
    now: Mapping[str, SourceVideo],
    stored: Mapping[str, str],
    hashes: Mapping[str, str],
) -> dict[str, str]:
    """Return old id -> new id of videos that have another id and the same bytes; equal files pair up in order."""
    vanished: defaultdict[str, list[str]] = defaultdict(list)
    for clip_id in sorted(before.keys() - now.keys()):
        if stored.get(clip_id):
            vanished[stored[clip_id]].append(clip_id)
    renamed = {}
    for clip_id in sorted(now.keys() - before.keys()):
        if candidates := vanished.get(hashes.get(clip_id, "")):
            renamed[candidates.pop(0)] = clip_id
    return renamed


def _is_changed(
    before: Mapping[str, SourceVideo],
    now: Mapping[str, SourceVideo],
    stored: Mapping[str, str],
    hashes: Mapping[str, str],
    clip_id: str,
) -> bool:
    """Return whether a stored video must be decoded again; without a hash, path and size decide."""
    if clip_id not in stored:
        return False
    old, new = before[clip_id], now[clip_id]
    if old.subjects != new.subjects:
        return True
    if not new.path:
        return False  # annotated, but without a file: what is stored is kept
    if stored[clip_id]:
        return hashes[clip_id] != stored[clip_id]
    return (old.path, old.num_bytes) != (new.path, new.num_bytes)


def _with_kept(listing: SourceListing, old: SourceListing, kept: list[SourceVideo]) -> SourceListing:
    """Return the listing with videos that are gone from the source, in their old folds."""
    if not kept:
        return listing
    known = set(listing.class_names)
    labels = {video.label for video in kept}
    names = (*listing.class_names, *(name for name in old.class_names if name in labels and name not in known))
    videos = tuple(sorted((*listing.videos, *kept), key=lambda video: video.clip_id))
    ids = {video.clip_id for video in kept}
    folds = {
        fold: {**splits, **{clip_id: split for clip_id, split in old.folds.get(fold, {}).items() if clip_id in ids}}
        for fold, splits in listing.folds.items()
    }
    return replace(listing, class_names=names, videos=videos, folds=folds)


def _with_amendments(plan: Plan, amendments: Amendments, old_names: tuple[str, ...]) -> Plan:
    """Return the plan with what was changed by hand; a class that only corrected labels have stays a class."""
    names = plan.listing.class_names
    corrected = {values.get("label") for values in amendments.labels.values()}
    names += tuple(name for name in old_names if name in corrected and name not in names)
    return replace(plan, listing=replace(plan.listing, class_names=names), amendments=amendments)


def _shards(old: Plan, listing: SourceListing, new_ids: Mapping[str, str]) -> list[list[str]]:
    """Return the shards of the old plan with the ids that remain, and shards with the other videos after them."""
    shards = [[new_ids[video.clip_id] for video in shard if video.clip_id in new_ids] for shard in old.shards]
    placed = {clip_id for shard in shards for clip_id in shard}
    return shards + _ids(cut_shards([video for video in listing.videos if video.clip_id not in placed]))


def _ids(shards: Iterable[Iterable[SourceVideo]]) -> list[list[str]]:
    return [[video.clip_id for video in shard] for shard in shards]
