from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.changes.compact import compact
from dfer_data.errors import UsageError
from dfer_data.loading.prepared import open_dataset
from tests.dfer_data.crop_source import contents, source_of
from tests.dfer_data.tiny import Prepared


@pytest.mark.parametrize("store", ["frames", "clips16"])
def test_a_grown_dataset_becomes_the_bytes_of_one_preparation(tmp_path: Path, store: str) -> None:
    source = source_of(tmp_path / "source", *(f"happy/{number:02d}" for number in range(20)))
    source.prepare(tmp_path / "out", store=store)
    source.add("happy/05b", 50, num_frames=20)
    source.add("sad/00", 51)
    source.prepare(tmp_path / "out", store=store, update=True)
    source.prepare(tmp_path / "whole", store=store)
    assert contents(tmp_path / "out") != contents(tmp_path / "whole")
    num_made = compact(tmp_path / "out")
    assert num_made == len(open_dataset(tmp_path / "whole").document["shards"])
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert compact(tmp_path / "out") == 0


def test_who_reads_a_dataset_while_it_is_cut_anew_is_told_to_open_it_again(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *(f"happy/{number:02d}" for number in range(20)))
    source.prepare(tmp_path / "out", num_folds=2, group_by="clip")
    source.add("happy/00b", 50)
    source.prepare(tmp_path / "out", num_folds=2, group_by="clip", update=True)
    data = open_dataset(tmp_path / "out")
    assert len(data.clips) == 21
    compact(tmp_path / "out")
    for clip_id in ("happy/00b", "happy/10"):
        with pytest.raises(UsageError, match="was changed by a command while it was read: open it again"):
            data.read_clip(clip_id)
    assert open_dataset(tmp_path / "out").read_clip("happy/00b").shape == (16, 3, 224, 224)


def test_videos_with_faces_are_taken_over_whole(prepared: Prepared, prepared_copy: Path) -> None:
    """Boxes, landmarks, flags, failures and the rows of the contact sheets, those of rivals included."""
    from dfer_data.changes import opened

    before = contents(prepared_copy)
    with opened.opened_for_change(prepared_copy) as (out, plan, _):
        from dfer_data.preparation.donors import RowChange, give_up_shards
        from dfer_data.storage.changeset import Changeset

        changes = Changeset(out)
        assert give_up_shards(out, changes, RowChange({}, {}), all_shards=True) == len(plan.shards)
        changes.commit()
        opened.carry_out(plan, out)
    assert contents(prepared_copy) == before
