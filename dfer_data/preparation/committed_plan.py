"""Commit the plan of a run: write it, or bring the one that is there in line with it and keep what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dfer_data.errors import UsageError
from dfer_data.preparation.donors import RowChange, Sidecar, donor_sidecars, give_up_shards, video_ids
from dfer_data.preparation.fold_sets import fold_files
from dfer_data.preparation.manifest import hashes_before, read_history
from dfer_data.preparation.plan import Plan, check_plan, commit_plan, read_plan, with_subjects
from dfer_data.preparation.request import ResolvedRequest
from dfer_data.preparation.run_settings import ALL_CODES, Revision, TaskShare
from dfer_data.preparation.source_changes import SourceChange, merged_plan, source_hash
from dfer_data.shards.fold_file import fold_bytes, fold_splits
from dfer_data.shards.layout import DATASET_NAME, HISTORY_NAME, PLAN_NAME
from dfer_data.shards.sidecar import failure_codes, finished_sidecars
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.base import Target
from dfer_data.storage.changeset import Changeset
from dfer_data.storage.files import canonical_json
from dfer_data.wording import counted

OnHashed = Callable[[int, int], None]
"""Called while the source is compared with what is stored, with the number of hashed videos and of all."""


def committed_plan(
    resolved: ResolvedRequest,
    out: Target,
    *,
    revision: Revision,
    share: TaskShare | None,
    on_hashed: OnHashed = lambda done, total: None,
) -> tuple[Plan, SourceChange | None]:
    """Write the plan, or check the one in `out`, and give up the shards that must be remade.

    Returns the plan to carry out, and for an update how the source differed. Raises ConfigMismatchError, UsageError.
    """
    if out.size(PLAN_NAME) is None:
        return commit_plan(with_subjects(resolved.plan, resolved.subjects or {}), out), None
    old = read_plan(out)
    if revision.update or (old.limit is not None and old.limit != resolved.plan.limit):
        if share is not None:
            raise UsageError(
                "the prepared pilot must grow before the tasks of an array can share the work: run it once without "
                "--task-index"
            )
        return _updated(old, resolved, out, revision=revision, on_hashed=on_hashed)
    planned = _chosen_tracks(old.listing.videos)
    subjects = resolved.subjects
    if subjects is None:
        subjects = {clip_id: track for tracks in planned.values() for clip_id, track in tracks.items()}
    plan = with_subjects(resolved.plan, subjects)
    chosen = _chosen_tracks(plan.listing.videos)
    changed_ids = {
        video_id for video_id in planned.keys() | chosen.keys() if planned.get(video_id) != chosen.get(video_id)
    }
    if revision.retried is None and not changed_ids:
        return commit_plan(plan, out), None
    if share is not None:
        raise UsageError(
            "changed --subjects cannot be combined with --task-index: run it once without --task-index; the "
            "tasks then make the missing shards"
        )
    return _reopened(old, plan, out, retry_failed=revision.retried, changed_ids=changed_ids), None


def _chosen_tracks(videos: tuple[SourceVideo, ...]) -> dict[str, dict[str, int]]:
    """Return video id -> clip id -> track chosen by hand."""
    return {video.clip_id: dict(video.subjects) for video in videos if video.subjects}


def _reopened(old: Plan, plan: Plan, out: Target, *, retry_failed: str | None, changed_ids: set[str]) -> Plan:
    """Give up the clips of videos that failed with such a code or that are among `changed_ids`; replace the plan."""
    sidecars = finished_sidecars(out)
    failed = {str(row["source_clip_id"]) for row in _failures(sidecars, retry_failed)}
    stored = {video for sidecar in _all_sidecars(out) for video in video_ids(sidecar)}
    given_up = frozenset((failed | changed_ids) & stored)
    unmade = {video.clip_id for video in plan.listing.videos} - stored
    check_plan(plan, out, open_ids=given_up | unmade)
    if not given_up and retry_failed not in (None, ALL_CODES) and len(sidecars) == len(old.shards):
        known = ", ".join(sorted({code for one in sidecars.values() for code in failure_codes(one)})) or "none failed"
        raise UsageError(f"--retry-code {retry_failed}: no clip in {out} failed with that code; there are: {known}")
    shards = [[video.clip_id for video in shard] for shard in old.shards]
    plan = replace(plan.with_cut(shards), amendments=old.amendments)
    changes = Changeset(out)
    if give_up_shards(out, changes, RowChange({}, {}, given_up)):
        changes.remove(DATASET_NAME)
    changes.put(PLAN_NAME, plan.as_bytes())
    changes.commit()
    return plan


def _failures(sidecars: Mapping[int, Sidecar], code: str | None) -> Iterator[Mapping[str, Any]]:
    for sidecar in sidecars.values():
        yield from (row for row in sidecar["failures"] if code in (row["code"], ALL_CODES))


def _all_sidecars(out: Target) -> list[Sidecar]:
    return [*finished_sidecars(out).values(), *donor_sidecars(out).values()]


def _updated(
    old: Plan, resolved: ResolvedRequest, out: Target, *, revision: Revision, on_hashed: OnHashed
) -> tuple[Plan, SourceChange]:
    """Replace the plan by one that is in line with the source; give up the shards that change."""
    history = read_history(out)
    if resolved.excluded is None and any(entry["change"] == "removed" for entry in history):
        number = sum(int(entry["clips"]) for entry in history if entry["change"] == "removed")
        raise UsageError(
            f"{out} keeps no id of what was removed ({counted(number, 'clip')}); add --exclude FILE with what must not "
            "be prepared again (an empty file if the source no longer has it)"
        )
    plan = with_subjects(resolved.plan, resolved.subjects or {})
    check_plan(plan, out, is_update=True)
    is_pilot = old.limit is not None
    merged = merged_plan(
        old,
        plan,
        _all_sidecars(out),
        hashed=source_hash(resolved.source),
        prune=revision.prune,
        keep_shards=not is_pilot,
        has_subjects=resolved.subjects is not None,
        on_hashed=on_hashed,
    )
    changes = Changeset(out)
    is_remade = bool(give_up_shards(out, changes, merged.rows, all_shards=is_pilot))
    if is_remade or merged.plan.shards != old.shards:
        changes.remove(DATASET_NAME)
    if merged.rows.new_ids:
        _rename_in_fold_sets(merged.plan, merged.clip_ids, out, changes)
    counts = merged.change.counts(prune=revision.prune)
    if not is_pilot and (counts.keys() - {"kept"} or merged.change.has_other_folds):
        counts |= {"folds": 1} if merged.change.has_other_folds else {}
        entry = {"change": "updated", **counts, **hashes_before(out)}
        changes.put(HISTORY_NAME, canonical_json([*history, entry]))
    content = merged.plan.as_bytes()
    if content != out.read(PLAN_NAME):
        changes.put(PLAN_NAME, content)
    changes.commit()
    return merged.plan, merged.change


def _rename_in_fold_sets(plan: Plan, clip_ids: Mapping[str, str], out: Target, changes: Changeset) -> None:
    """Give clips their new ids in the files of own sets of folds; `clip_ids`: old id -> new id of those that remain."""
    for name in plan.amendments.fold_sets:
        for file in fold_files(name, out):
            splits = fold_splits(out.read(file))
            rows = [(clip_ids[clip_id], split) for clip_id, split in splits.items() if clip_id in clip_ids]
            changes.put(file, fold_bytes(rows))
