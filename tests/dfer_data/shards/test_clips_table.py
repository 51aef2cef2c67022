"""clips.parquet of an open dataset."""

from __future__ import annotations

from pathlib import Path

import pytest

import dfer_data as dd
from dfer_data.errors import UsageError
from dfer_data.shards.clips_table import ClipsFile


@pytest.fixture
def clips_file(crops: Path) -> ClipsFile:
    return ClipsFile(crops / "clips.parquet", dd.open_dataset(crops).document)


def test_rows_come_in_the_order_that_is_asked_for(clips_file: ClipsFile) -> None:
    clip_ids = ["00003", "00001", "00003"]
    assert clips_file.index_of(clip_ids)["clip_id"].to_pylist() == clip_ids
    label = clips_file.row("00003")["label"]
    assert clips_file.index_of(clip_ids)["label"].to_pylist()[::2] == [label, label]
    assert clips_file.labels(clip_ids).sum(axis=1).tolist() == [1, 1, 1]
    assert clips_file.frame.set_index("clip_id").loc["00003", "label"] == label


def test_unknown_clips_are_named_with_their_number(clips_file: ClipsFile, crops: Path) -> None:
    with pytest.raises(UsageError, match=f"^{crops} has no clip 'x' and 1 more$"):
        clips_file.index_of(["00001", "x", "y"])
    with pytest.raises(UsageError, match=f"^{crops} has no clip 'x'; its ids look like 00001$"):
        clips_file.row("x")
    with pytest.raises(UsageError, match=f"^{crops} has no clip 'x'$"):
        clips_file.votes(["x"])
