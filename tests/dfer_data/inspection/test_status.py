"""`dfer status` of a prepared dataset: finished, stopped, under way, changed halfway."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.inspection.status import DatasetStatus, dataset_status, is_dataset
from dfer_data.preparation.tasks import VideoDone
from dfer_data.storage.folder_lock import hold_folder
from tests.dfer_data.crop_source import CropSource, source_of

IDS = [f"{label}/{number:02d}" for label in ("happy", "sad") for number in range(3)]


@pytest.fixture
def source(tmp_path: Path) -> CropSource:
    """Six clips, the first without a readable picture."""
    source = source_of(tmp_path / "source", *IDS)
    (source.root / IDS[0] / "000.jpg").write_text("not a picture")
    return source


def test_a_finished_dataset(source: CropSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    source.prepare(out, num_folds=2, group_by="clip")
    status = dataset_status(out)
    assert (status.state, status.num_videos, status.num_videos_done) == ("finished", 6, 6)
    assert (status.num_shards, status.num_shards_done) == (6, 6)
    assert status.num_clips == {"BAD_PICTURE": 1, "ok": 5}
    assert (status.holders, status.progress, status.last_end) == ((), None, "finished")
    assert status.next_step == f"`dfer verify {out}` checks it; ledger.jsonl names what failed"


def test_what_is_missing_is_the_next_step(source: CropSource, tmp_path: Path) -> None:
    out = tmp_path / "with blank"
    source.prepare(out, limit=2)
    status = dataset_status(out)
    assert (status.state, status.limit, status.num_videos) == ("finished", 2, 2)
    assert status.next_step == "a pilot: the same `dfer prepare` without --limit prepares the rest"
    source.prepare(out)
    assert dataset_status(out).next_step.startswith("no folds: cannot be trained on; `dfer folds '")
    (out / "dataset.json").unlink()
    status = dataset_status(out)
    assert (status.state, status.next_step) == (
        "unfinished",
        "run the same `dfer prepare` again to write the manifest",
    )
    (out / ".next").mkdir()
    (out / ".next/commit.json").write_text('{"moves": [], "removed": []}')
    status = dataset_status(out)
    assert status.is_change_interrupted
    assert "interrupted" in status.next_step
    assert (out / ".next/commit.json").is_file()  # looking changes nothing


def test_a_run_that_is_under_way_and_then_stopped(source: CropSource, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen: list[DatasetStatus] = []

    def watch(event: object) -> None:
        if isinstance(event, VideoDone) and event.clip_id == IDS[3]:
            line = {"event": "progress", "num_done": 3, "num_videos": 6, "share": 0.5, "num_failed": 1}
            line |= {"frames_per_second": 12.5, "seconds_left": 600.0, "num_under_way": 0, "longest": None}
            with (out / "prepare.log").open("a") as log:
                log.write(json.dumps(line) + "\n{cut off")
            seen.append(dataset_status(out))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.prepare(out, on_event=watch)
    (status,) = seen
    assert (status.state, status.num_videos_done, status.num_shards_done) == ("in use", 3, 3)
    assert status.holders[0].startswith(f"process {os.getpid()} on ")
    assert str(status.progress) == "this run: 3 of 6 videos, 50 % of the work, 12 frames/s, about 10 min left"
    assert status.next_step == "wait; `dfer status` shows how far it is"
    status = dataset_status(out)
    assert (status.state, status.holders, status.progress, status.last_end) == ("unfinished", (), None, "stopped")
    assert status.next_step == "run the same `dfer prepare` again to resume"
    with (out / "prepare.log").open("a") as log:
        log.write('\n{"event": "begun"}\n')
    with hold_folder(out):
        assert dataset_status(out).progress is None  # that line is of an earlier run
    (out / "summary.json").write_text("[1]")
    assert dataset_status(out).last_end == ""


def test_places_without_a_dataset_and_damaged_plans(tmp_path: Path) -> None:
    assert not is_dataset(tmp_path / "absent")
    with pytest.raises(UsageError, match=r"is not a prepared dataset: plan\.json is missing"):
        dataset_status(tmp_path)
    for content in ("{", "[]", '{"videos": 3, "shards": []}'):
        (tmp_path / "plan.json").write_text(content)
        with pytest.raises(CorruptDataError, match=r"plan\.json is damaged"):
            dataset_status(tmp_path)
