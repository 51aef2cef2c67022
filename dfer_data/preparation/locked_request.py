"""Plan a rebuild: what a lock says, carried out on the videos and annotation files of the user."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from dfer_data.config import FaceSettings, Folding, Request
from dfer_data.errors import ConfigMismatchError, CorruptDataError, UsageError
from dfer_data.locking.lock_file import Lock
from dfer_data.locking.lock_header import LockedVideo, video_key
from dfer_data.locking.rebuilt_result import rebuilt_result, write_rebuilt
from dfer_data.preparation.amendments import Amendments
from dfer_data.preparation.output_folder import record
from dfer_data.preparation.plan import Plan
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.preparation.source_changes import source_hash
from dfer_data.processes import num_cores
from dfer_data.settings import settings_of
from dfer_data.shards.rebuilt_file import read_rebuilt
from dfer_data.shards.sidecar import finished_sidecars
from dfer_data.sources.base import OFFICIAL, SourceListing, SourceVideo
from dfer_data.sources.make_folds import with_folds
from dfer_data.sources.names import check_names
from dfer_data.sources.registry import adapter
from dfer_data.sources.subset import without
from dfer_data.storage.base import Target
from dfer_data.wording import counted

_ALLOWED = ("source", "crops", "from_lock")
_RULE = re.compile(r"(\d+) folds by (subject|folder|clip)(, stratified)?, seed (\d+)")
_NAMED = 3


@dataclass(frozen=True)
class SourcesCompared:
    """Event: the files of a rebuild were hashed, before the first one is decoded."""

    num_videos: int
    """Videos that were hashed."""
    differing: tuple[str, ...]
    """Ids of those that are other files than the lock's."""


def refuse_settings(given: Iterable[str]) -> None:
    """Raise UsageError for settings that a lock decides."""
    flags = [settings_of(kind)[name].flag for kind in (Request, Folding) for name in given if name in settings_of(kind)]
    allowed = [settings_of(Request)[name].flag for name in _ALLOWED]
    if refused := [flag for flag in flags if flag not in allowed]:
        raise UsageError(f"{', '.join(refused)}: cannot be combined with --from, because the lock holds the settings")


def resolve_locked(request: Request, lock: Lock) -> ResolvedRequest:
    """List the dataset and match it with a lock: the plan is that of the dataset that was locked.

    Raises UsageError or a subclass for faults of the request or the dataset.
    """
    header, config = lock.header, lock.header.config
    if request.dataset != config.dataset:
        raise UsageError(f"{lock.path} is a lock of {config.dataset}: use `dfer prepare {config.dataset} --from ...`")
    root = request.source.parent if request.source.is_file() else request.source
    listing = adapter(request.dataset).list(request.source, layout=header.document["layout"], crops=request.crops)
    matches = _matched(header.videos, listing, source_hash(root))
    listing = _listing(listing, lock, matches.videos)
    check_names(listing)
    by_id = {video.clip_id: video for video in listing.videos}
    shards, first = [], 0
    for number in header.shards:
        ids = [video.clip_id for video in matches.videos[first : first + number]]
        shards.append(tuple(by_id[clip_id] for clip_id in ids))
        first += number
    subjects, amended = dict[str, int](), dict[str, dict[str, str]]()
    for locked, video in zip(header.videos, matches.videos, strict=True):
        subjects |= {video.clip_id + suffix: track for suffix, track in locked.subjects or ()}
    for number, suffix, values in header.amended or ():
        amended[matches.videos[number].clip_id + suffix] = {str(name): value for name, value in values.items()}
    plan = Plan(
        config,
        replace(listing, notes=(*matches.notes, *listing.notes)),
        tuple(shards),
        header.document["tool_versions"],
        pipeline_version=header.document.get("pipeline_version", 1),
        amendments=Amendments(labels=amended),
        limit=header.limit,
    )
    return ResolvedRequest(plan, None, root, subjects, lock=lock)


def check_rebuild(resolved: ResolvedRequest, out: Target, *, is_update: bool) -> None:
    """Raise UsageError or ConfigMismatchError where a rebuild would be mixed with anything else."""
    lock = resolved.lock
    if lock is None:
        rebuilt = read_rebuilt(out)
        if rebuilt is not None and rebuilt["result"] is None:
            raise ConfigMismatchError(
                f"{out} is an unfinished rebuild: give its lock with --from, choose another --out, or remove it with "
                "--force"
            )
        return
    if is_update:
        raise UsageError("--update cannot be combined with --from: the lock decides what is in the dataset")
    try:
        rebuilt = read_rebuilt(out)
    except CorruptDataError:  # it is written again
        return
    if rebuilt is not None and rebuilt["lock_sha256"] != lock.sha256:
        other = f"is of another lock (sha256 {rebuilt['lock_sha256'][:12]})"
    elif rebuilt is None and finished_sidecars(out):
        other = "was prepared without a lock"
    else:
        return
    raise ConfigMismatchError(f"{out} {other}; choose another --out, or remake it from scratch with --force")


def begin_rebuild(
    resolved: ResolvedRequest,
    plan: Plan,
    out: Target,
    *,
    numbers: Sequence[int],
    on_hashed: Callable[[int, int], None] = lambda done, total: None,
) -> SourcesCompared:
    """Note the lock in rebuilt.json and hash the sources of the shards that will be made; name those that differ.

    `numbers`: of these shards. `on_hashed`: called with the number of hashed videos, and of all.
    """
    lock = resolved.lock
    assert lock is not None
    if _ids(plan) != _ids(resolved.plan):
        raise ConfigMismatchError(f"{out} holds these videos in other shards than the lock; choose another --out")
    write_rebuilt(lock, out, tool_versions=resolved.tool_versions, result=None)
    compared = _compared(lock, plan, resolved.source, numbers, on_hashed)
    if compared.differing:
        record(out, event="sources differ from the lock", videos=compared.differing)
    return compared


def _ids(plan: Plan) -> list[list[str]]:
    return [[video.clip_id for video in shard] for shard in plan.shards]


def finish_rebuild(
    resolved: ResolvedRequest, plan: Plan, out: Target, document: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Compare what was made with the lock and write rebuilt.json; return its result, None without a lock."""
    if resolved.lock is None:
        return None
    video_ids = [*chain.from_iterable(_ids(plan))]
    result = rebuilt_result(resolved.lock, out, document, video_ids=video_ids)
    write_rebuilt(resolved.lock, out, tool_versions=resolved.tool_versions, result=result)
    return result


def _compared(
    lock: Lock, plan: Plan, source: Path, numbers: Iterable[int], on_hashed: Callable[[int, int], None]
) -> SourcesCompared:
    """Hash the files of some shards, with as many threads as there are cores: hashing releases the interpreter."""
    locked, shards, first = lock.header.videos, plan.shards, [0]
    for shard in shards:
        first.append(first[-1] + len(shard))
    pairs = [
        (locked[first[number] + position], video)
        for number in numbers
        for position, video in enumerate(shards[number])
        if video.path and locked[first[number] + position].sha256
    ]
    hashed, differing = source_hash(source), list[str]()
    with ThreadPoolExecutor(num_cores()) as pool:
        hashes = pool.map(hashed, [video for _, video in pairs])
        for number, ((original, video), sha256) in enumerate(zip(pairs, hashes, strict=True), start=1):
            if sha256 != original.sha256:
                differing.append(video.clip_id)
            on_hashed(number, len(pairs))
    return SourcesCompared(len(pairs), tuple(differing))


def settings_like(lock: Lock) -> dict[str, Any]:
    """Return the settings of a lock as those of a request, for other data."""
    config = lock.header.config
    values = {name: getattr(config, name) for name in settings_of(FaceSettings)}
    if config.all_tracks:  # where None means the default, and the least value switches a limit off
        least = {"min_track_frames": 1, "min_face_px": 0.0, "min_brightness": 0.0}
        least |= {"min_track_score": config.score_threshold}
        values |= {name: value for name, value in least.items() if values[name] is None}
    return {name: value for name, value in values.items() if value is not None}


def check_like(lock: Lock, resolved: ResolvedRequest) -> None:
    """Raise UsageError if the detector of a lock has another model file here."""
    there, here = lock.header.config, resolved.plan.config
    if (there.detector, there.backbone) == (here.detector, here.backbone) and (
        there.weights_sha256 != here.weights_sha256
    ):
        raise UsageError(
            f"--like {lock.path}: its model file has sha256 {there.weights_sha256[:12]}, the one here has "
            f"{here.weights_sha256[:12]}; give the same file with --weights, or leave out --like"
        )


@dataclass(frozen=True)
class _Matches:
    """The videos of a lock as the user has them."""

    videos: list[SourceVideo]
    """In the order of the lock; without a path where there is no file."""
    notes: list[str]


def _matched(locked: list[LockedVideo], listing: SourceListing, hashed: Callable[[SourceVideo], str]) -> _Matches:
    """Find each video of a lock by its id, else by its bytes."""
    by_key = {video_key(video.clip_id): video for video in listing.videos}
    known = {video.key for video in locked}
    extra = [video for key, video in by_key.items() if key not in known]
    lost = [video for video in locked if video.key not in by_key]
    renamed = _renamed(lost, extra, hashed)
    videos = [by_key.get(one.key) or renamed.get(one.key) or _unknown(one) for one in locked]
    unknown = [one.name for one in lost if one.key not in renamed]
    unused = [video.clip_id for video in extra if video not in renamed.values()]
    facts = (
        ([f"{old.name} -> {renamed[old.key].clip_id}" for old in lost if old.key in renamed], "with another name here"),
        (unknown, "of the lock, but not in the source"),
        (unused, "left out, not in the lock"),
    )
    notes = [f"{counted(len(names), 'video')} {words} ({_examples(names)})" for names, words in facts if names]
    return _Matches(videos, notes)


def _examples(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + ("..." if len(names) > _NAMED else "")


def _unknown(locked: LockedVideo) -> SourceVideo:
    """Return a video of which the user has neither the file nor an annotation."""
    return SourceVideo(locked.name, "", 0, None)


def _renamed(
    lost: list[LockedVideo], extra: list[SourceVideo], hashed: Callable[[SourceVideo], str]
) -> dict[str, SourceVideo]:
    """Return key -> video of the same bytes under another id; only files of the right size are hashed."""
    by_size: defaultdict[int, list[SourceVideo]] = defaultdict(list)
    for video in extra:
        if video.path:
            by_size[video.num_bytes].append(video)
    hash_of: dict[str, str] = {}
    found: dict[str, SourceVideo] = {}
    for locked in lost:
        candidates = by_size[locked.num_bytes] if locked.sha256 else []
        for video in candidates:
            if video.clip_id not in hash_of:
                hash_of[video.clip_id] = hashed(video)
            if hash_of[video.clip_id] == locked.sha256:
                found[locked.key] = video
                candidates.remove(video)
                break
    return found


def _listing(listing: SourceListing, lock: Lock, videos: list[SourceVideo]) -> SourceListing:
    """Return the listing of the videos of a lock, with its labels and folds if it has some."""
    header, ids = lock.header, {video.clip_id for video in videos}
    listing = without(listing, {video.clip_id for video in listing.videos} - ids)
    listing = replace(listing, videos=tuple(_ordered(videos)))
    rule = str(header.document.get("fold_rule", OFFICIAL))
    if header.folds is None:
        made = _RULE.fullmatch(rule)
        if made is None or listing.folds:
            return listing
        return with_folds(listing, Folding(int(made[1]), made[2], bool(made[3]), int(made[4])))
    folds: dict[str, Mapping[str, Any]] = {
        fold: {videos[number].clip_id: split for split, numbers in splits.items() for number in numbers}
        for fold, splits in header.folds.items()
    }
    labelled = {one.clip_id: _labelled(one, locked) for one, locked in zip(videos, header.videos, strict=True)}
    return replace(
        listing,
        class_names=tuple(header.document["class_names"]),
        videos=tuple(labelled[video.clip_id] for video in listing.videos),
        folds=folds,
        fold_rule=rule,
    )


def _labelled(video: SourceVideo, locked: LockedVideo) -> SourceVideo:
    annotation = locked.annotation
    if annotation is None:
        return video
    votes = None if annotation.votes is None else tuple(annotation.votes)
    labels = None if annotation.labels is None else tuple(annotation.labels)
    return replace(video, label=annotation.label, group=annotation.group, votes=votes, labels=labels)


def _ordered(videos: Iterable[SourceVideo]) -> Iterator[SourceVideo]:
    """Yield videos in the order of a listing."""
    yield from sorted(videos, key=lambda video: video.clip_id)
