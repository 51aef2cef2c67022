"""A dataset of dfer 0.1 can be changed: it gets the hashes that it lacks, and its clips keep their bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dfer_data.changes.folds import make_fold_set
from dfer_data.changes.relabel import relabel
from dfer_data.changes.remove import remove_clips
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.amendments import OwnFolding
from tests.workspace import ROOT

RELEASED = ROOT / "tests/golden/release-0.1/prepared/dfew-retinaface"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RELEASED, tmp_path / "data"))


def test_labels_folds_and_a_removal(data: Path) -> None:
    before = open_dataset(data)
    assert before.identity().content_sha256 == before.document["sha256"]
    clip_id, label = before.clips["clip_id"][0], before.clips["label"][0]
    other = next(name for name in before.class_names if name != label)
    (data.parent / "table.csv").write_text(f"clip_id,label\n{clip_id},{other}\n")
    assert relabel(data, data.parent / "table.csv") == 1
    relabelled = open_dataset(data)
    assert relabelled.clip(clip_id)["label"] == other
    assert relabelled.document["pipeline_version"] == 1
    assert relabelled.document["history"][0]["before"] == {"sha256": before.document["sha256"]}
    make_fold_set(data, OwnFolding(num_folds=2, group_by="clip"))
    gone = before.clips["clip_id"][1]
    kept = {name: before.read_clip(name) for name in before.clips["clip_id"].tolist() if name != gone}
    remove_clips(data, clips=[gone], reason="withdrawn")
    after = open_dataset(data)
    assert sorted(kept) == after.clips["clip_id"].tolist()
    assert all((after.read_clip(name) == frames).all() for name, frames in kept.items())
    assert verify(data, deep=True).damages == ()
