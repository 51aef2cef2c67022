"""Cut a dataset that has grown or shrunk into the shards that one preparation of its videos would make."""

from __future__ import annotations

from pathlib import Path

from dfer_data.changes.opened import OnShard, carry_out, opened_for_change
from dfer_data.preparation.donors import RowChange, give_up_shards
from dfer_data.preparation.plan import cut_shards
from dfer_data.shards.layout import DATASET_NAME, PLAN_NAME
from dfer_data.storage.changeset import Changeset


def compact(data: Path | str, *, on_shard: OnShard = lambda done, total: None) -> int:
    """Cut all clips into shards anew, without decoding a video; return the number of shards made, 0 if nothing changes.

    The files are then those of one preparation of the same videos, but for the history. Needs room for the shards
    twice. A killed run is finished by the next one. Raises UsageError, LockedError, CorruptDataError.
    """
    with opened_for_change(data, on_shard=on_shard) as (out, plan, _):
        shards = [[video.clip_id for video in shard] for shard in cut_shards(plan.listing.videos)]
        compacted = plan.with_cut(shards)
        if compacted.shards == plan.shards:
            return 0
        changes = Changeset(out)
        give_up_shards(out, changes, RowChange({}, {}), all_shards=True)
        changes.remove(DATASET_NAME)
        changes.put(PLAN_NAME, compacted.as_bytes())
        changes.commit()
        carry_out(compacted, out, on_shard=on_shard)
        return len(compacted.shards)
