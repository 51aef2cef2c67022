from __future__ import annotations

import contextlib
import json
import shutil
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from dfer_data.changes.relabel import relabel
from dfer_data.errors import UsageError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.storage.files import canonical_json
from tests.dfer_data.crop_source import contents, source_of
from tests.dfer_data.kills import Killed, after, killed_writes

IDS = ["happy/a", "happy/b", "sad/c", "sad/d"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    source_of(tmp_path / "source", *IDS).prepare(tmp_path / "out")
    return tmp_path / "out"


def corrected(data: Path, text: str) -> int:
    table = data.parent / "table.csv"
    table.write_text(text)
    return relabel(data, table)


def test_labels_change_and_pictures_do_not(data: Path) -> None:
    before, was = contents(data), open_dataset(data).identity()
    assert corrected(data, "clip_id,label\nhappy/a,sad\nsad/c,sad\n") == 1
    after, now = contents(data), open_dataset(data).identity()
    assert {name for name in before if before[name] != after[name]} == {"plan.json", "clips.parquet"}
    assert (now.content_sha256, now.folds_sha256) == (was.content_sha256, was.folds_sha256)
    assert now.labels_sha256 != was.labels_sha256
    assert open_dataset(data).document["counts"]["classes"] == {"happy": 1, "sad": 3}
    assert verify(data, deep=True).damages == ()
    (entry,) = open_dataset(data).document["history"]
    assert (entry["change"], entry["clips"], entry["before"]["labels_sha256"]) == ("relabelled", 1, was.labels_sha256)


def test_the_same_corrections_again_write_nothing_and_the_old_label_forgets_them(data: Path) -> None:
    before = (data / "dataset.json").read_bytes()
    labels = open_dataset(data).identity().labels_sha256
    assert corrected(data, "clip_id,label\nhappy/a,sad\n") == 1
    assert corrected(data, "clip_id,label\nhappy/a,sad\n") == 0
    assert corrected(data, "clip_id,label\nhappy/a,happy\n") == 1
    assert open_dataset(data).identity().labels_sha256 == labels
    assert b'"labels"' not in (data / "plan.json").read_bytes()
    assert (data / "dataset.json").read_bytes() != before  # it tells what happened


def test_an_empty_cell_changes_nothing_and_persons_can_be_added(data: Path) -> None:
    assert corrected(data, "clip_id,label,group\nhappy/a,,anna\nhappy/b,sad,\n") == 2
    clips = pd.read_parquet(data / "clips.parquet").set_index("clip_id")
    assert clips.loc["happy/a", ["label", "group"]].tolist() == ["happy", "anna"]
    assert clips.loc["happy/b", "label"] == "sad"
    assert pd.isna(clips.loc["happy/b", "group"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,label\nhappy/a,sad\n", "has no column clip_id; it has: clip, label"),
        ("clip_id,name\nhappy/a,sad\n", "needs a column label, group or both; it has: clip_id, name"),
        ("clip_id,label\nhappy/x,sad\nhappy/a,sadd\n", "no clip 'happy/x'; 'sadd' is no class; did you mean sad"),
        ("clip_id,label\nhappy/a,joy\n", "'joy' is no class; there are: happy, sad; nothing was changed"),
        ("clip_id,label\nhappy/a,sad,x\nhappy/b\n", "line 2: 3 cells, the header has 2; .* line 3: 1 cell,"),
        ("clip_id,label\nhappy/a,sad\nhappy/a,happy\n", "line 3: clip happy/a is listed twice"),
        ("", "has no column clip_id; it has: none"),
    ],
)
def test_faults_are_named_together_and_nothing_changes(data: Path, text: str, message: str) -> None:
    before = contents(data)
    with pytest.raises(UsageError, match=message):
        corrected(data, text)
    assert contents(data) == before


def test_a_missing_file_is_one_line(data: Path) -> None:
    with pytest.raises(UsageError, match=r"--from .*nowhere.csv cannot be read: No such file"):
        relabel(data, data / "nowhere.csv")


def test_a_dataset_that_is_not_finished_says_what_to_do(data: Path) -> None:
    (data / "dataset.json").unlink()
    next((data / "shards").glob("*.json")).unlink()
    with pytest.raises(UsageError, match=r"prepare has not finished here .* run it again to resume"):
        corrected(data, "clip_id,label\nhappy/a,sad\n")


def test_names_are_known_in_each_unicode_form(tmp_path: Path) -> None:
    source_of(tmp_path / "source", "fröhlich/é", "sad/d").prepare(tmp_path / "out")
    text = unicodedata.normalize("NFD", "clip_id,label\nfröhlich/é,sad\nsad/d,fröhlich\n")
    assert corrected(tmp_path / "out", text) == 2


def test_a_correction_of_a_clip_that_is_gone_is_no_obstacle(data: Path) -> None:
    corrected(data, "clip_id,label\nsad/c,happy\n")
    plan = json.loads((data / "plan.json").read_bytes())
    plan["labels"]["sad/d#0001"] = {"label": "happy"}  # of a video that was cut into fewer clips since
    (data / "plan.json").write_bytes(canonical_json(plan))
    assert corrected(data, "clip_id,label\nhappy/a,sad\n") == 1
    assert json.loads((data / "plan.json").read_bytes())["labels"].keys() == {"happy/a", "sad/c"}


def test_a_kill_at_any_write_is_no_damage_to_readers(data: Path) -> None:
    """They see the labels before it or after it, or the error that a change is not finished; the next run ends it."""
    text, seen = "clip_id,label\nhappy/a,sad\n", set()
    whole = data.parent / "whole"
    shutil.copytree(data, whole)
    assert corrected(whole, text) == 1
    for num_writes in range(100):
        copy, is_whole = data.parent / f"copy-{num_writes}" / "out", False
        shutil.copytree(data, copy)
        with contextlib.suppress(Killed), killed_writes(after(num_writes)):
            corrected(copy, text)
            is_whole = True
        if (copy / ".next/commit.json").exists():
            seen.add("error")
            for read in (open_dataset, verify):
                with pytest.raises(UsageError, match="is being changed by a command, or that was killed"):
                    read(copy)
        else:
            seen.add("read")
            assert len(open_dataset(copy).clips) == len(IDS)
            assert verify(copy, deep=True).damages == ()
        corrected(copy, text)
        assert contents(copy) == contents(whole)
        if is_whole:
            break
    assert seen == {"read", "error"}
    assert is_whole
