"""Take clips out of a prepared dataset for good: a person withdraws, or clips must not be kept."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from dfer_data.changes.opened import OnShard, carry_out, clips_of, opened_for_change
from dfer_data.errors import UsageError
from dfer_data.preparation.donors import RowChange, give_up_shards
from dfer_data.preparation.fold_sets import fold_files
from dfer_data.preparation.manifest import read_history
from dfer_data.preparation.plan import Plan
from dfer_data.shards.audit_folder import AUDIT, is_of_audit
from dfer_data.shards.fold_file import fold_bytes, fold_splits
from dfer_data.shards.layout import (
    AMBIGUOUS_NAME,
    CARD_NAME,
    CLIPS_NAME,
    DATASET_NAME,
    HISTORY_NAME,
    LEDGER_NAME,
    LEFT_OUT_NAME,
    LOG_NAME,
    PLAN_NAME,
    fold_name,
    is_summary,
)
from dfer_data.sources.subset import with_ids, without
from dfer_data.storage.base import Target
from dfer_data.storage.changeset import Changeset
from dfer_data.storage.csv_text import composed
from dfer_data.storage.files import canonical_json, read_regular_text, write_atomically


@dataclass(frozen=True)
class Removal:
    """What was taken out."""

    clip_ids: tuple[str, ...]
    """Ids of the clips; they are kept nowhere in the dataset."""
    video_ids: tuple[str, ...]
    """Ids of the videos of which nothing is left."""
    has_finished_another: bool = False
    """Whether an interrupted change was finished first."""
    has_deleted_audit: bool = False
    """Whether there was an audit, which named and showed clips."""


def remove_clips(
    data: Path | str,
    *,
    clips: Iterable[str] = (),
    persons: Iterable[str] = (),
    reason: str,
    exclude_file: Path | None = None,
    on_shard: OnShard = lambda done, total: None,
) -> Removal:
    """Remove clips, by the id of a clip or video, and all clips of persons (column `group`).

    Pictures, boxes, landmarks, sheets, rows and log lines of these clips are gone when it returns; after a kill, once a
    command changes the dataset again. The ledger and history keep the number of clips and `reason`, no id and no
    hash. `exclude_file`: the ids are appended there, for `dfer prepare --exclude`.
    Raises UsageError with all unknown ids and persons at once, LockedError, CorruptDataError.
    """
    if not reason.strip():
        raise UsageError("--reason: say why; the dataset keeps the reason and the number of clips")
    with opened_for_change(data, on_shard=on_shard) as (out, plan, has_finished_another):
        table = clips_of(out)
        chosen = _chosen(table, clips, persons, is_lenient=has_finished_another)
        if not chosen:
            return Removal((), (), has_finished_another)
        left = set(table["source_clip_id"][~table["clip_id"].isin(chosen)])
        gone = sorted(set(table["source_clip_id"][table["clip_id"].isin(chosen)]) - left)
        if exclude_file is not None:
            _append_ids(exclude_file, gone, chosen, table)
        reduced = _reduced(plan, chosen, set(gone), table)
        has_audit = bool(out.listing(AUDIT))
        _commit(reduced, out, chosen, gone, reason=reason)
        out.remove_folder(AUDIT)
        carry_out(reduced, out, on_shard=on_shard)
        return Removal(tuple(sorted(chosen)), tuple(gone), has_finished_another, has_audit)


def clips_to_remove(data: Path | str, *, clips: Iterable[str] = (), persons: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the ids of the clips that `remove_clips` would remove; finish an interrupted change first.

    Raises UsageError with all unknown ids and persons at once, LockedError.
    """
    with opened_for_change(data) as (out, _, has_finished_another):
        return tuple(sorted(_chosen(clips_of(out), clips, persons, is_lenient=has_finished_another)))


def _chosen(table: pd.DataFrame, clips: Iterable[str], persons: Iterable[str], *, is_lenient: bool) -> set[str]:
    """Return the ids of the clips to remove; UsageError for unknown ids, unless a change was just finished."""
    faults: list[str] = []
    chosen: set[str] = set()
    by_video: defaultdict[str, set[str]] = defaultdict(set)
    by_person: defaultdict[str, set[str]] = defaultdict(set)
    for clip_id, video, person in zip(table["clip_id"], table["source_clip_id"], table["group"], strict=True):
        by_video[video].add(clip_id)
        if person is not pd.NA and person is not None:
            by_person[person].add(clip_id)
    known = set(table["clip_id"])
    for clip_id in dict.fromkeys(map(composed, clips)):
        if clip_id in known:
            chosen.add(clip_id)
        elif clip_id in by_video:
            chosen |= by_video[clip_id]
        else:
            faults.append(f"there is no clip {clip_id!r}")
    for person in dict.fromkeys(persons):
        if person in by_person:
            chosen |= by_person[person]
        else:
            faults.append(f"there is no clip of a person {person!r}")
    if faults and not is_lenient:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise UsageError(f"{'; '.join(faults[:5])}{more}; nothing was removed")
    return chosen


def _append_ids(path: Path, gone: Collection[str], chosen: set[str], table: pd.DataFrame) -> None:
    """Append the videos of which nothing is left, and the single clips of others, to a file that the user keeps."""
    origin = dict(zip(table["clip_id"], table["source_clip_id"], strict=True))
    gone_ids = set(gone)
    ids = [*gone, *sorted(clip_id for clip_id in chosen if origin[clip_id] not in gone_ids)]
    try:
        text = with_ids(read_regular_text(path) if path.is_file() else "", ids)
    except ValueError as error:
        raise UsageError(f"--exclude {path}: {error}; nothing was removed") from error
    write_atomically(path, text.encode())


def _reduced(plan: Plan, chosen: set[str], gone: set[str], table: pd.DataFrame) -> Plan:
    """Return the plan without these clips and videos."""
    listing = without(plan.listing, gone)
    videos = tuple(
        replace(video, subjects=tuple(pair for pair in video.subjects if pair[0] not in chosen) or None)
        if video.subjects
        else video
        for video in listing.videos
    )
    shards = [[video.clip_id for video in shard if video.clip_id not in gone] for shard in plan.shards]
    kept = {clip_id: clip_id for clip_id in table["clip_id"] if clip_id not in chosen}
    amended = replace(plan, listing=replace(listing, videos=videos), amendments=plan.amendments.for_clips(kept))
    return amended.with_cut(shards)


def _commit(plan: Plan, out: Target, chosen: set[str], gone: Iterable[str], *, reason: str) -> None:
    """Write the plan without the clips, and give up every shard and file that names or shows one."""
    changes = Changeset(out)
    give_up_shards(out, changes, RowChange({}, {}, frozenset(gone), frozenset(chosen)))
    for name in plan.amendments.fold_sets:
        for file in fold_files(name, out):
            splits = fold_splits(out.read(file))
            changes.put(file, fold_bytes((id_, split) for id_, split in splits.items() if id_ not in chosen))
    summaries = filter(is_summary, out.listing())  # the message of a failed run may name a video
    audit = filter(is_of_audit, out.files())
    names = [CLIPS_NAME, LEDGER_NAME, AMBIGUOUS_NAME, LEFT_OUT_NAME, CARD_NAME, *summaries, *audit]
    changes.remove(DATASET_NAME, *names, *(fold_name(fold) for fold in plan.listing.folds))
    # The hashes in earlier entries cover the ids that must be forgotten: a short id could be guessed from one.
    history = [{key: value for key, value in entry.items() if key != "before"} for entry in read_history(out)]
    entry = {"change": "removed", "clips": len(chosen), "reason": reason}
    changes.put(HISTORY_NAME, canonical_json([*history, entry]))
    changes.put(PLAN_NAME, plan.as_bytes())
    if out.size(LOG_NAME) is not None:
        ids = [json.dumps(name, allow_nan=False).encode("ascii") for name in (*chosen, *gone)]
        lines = [line for line in out.read(LOG_NAME).splitlines(keepends=True) if not any(id_ in line for id_ in ids)]
        changes.put(LOG_NAME, b"".join(lines))
    changes.commit()
