from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from dfer_data.changes import remove as removing
from dfer_data.changes.folds import make_fold_set
from dfer_data.changes.relabel import relabel
from dfer_data.changes.remove import Removal, clips_to_remove, remove_clips
from dfer_data.errors import LockedError, UsageError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.amendments import OwnFolding
from dfer_data.sources.subset import read_ids
from dfer_data.storage.folder_lock import hold_folder
from tests.dfer_data.crop_source import CropSource, source_of
from tests.dfer_data.kills import Killed, after, killed_writes

IDS = [f"{label}/{name}" for label in ("happy", "sad") for name in ("anna-1", "anna-2", "ben-1", "ben-2", "zoe-1")]


@pytest.fixture
def source(tmp_path: Path) -> CropSource:
    return source_of(tmp_path / "source", *IDS)


@pytest.fixture
def data(source: CropSource, tmp_path: Path) -> Path:
    out = tmp_path / "out"
    source.prepare(out)
    rows = "".join(f"{clip_id},{clip_id.partition('/')[2].partition('-')[0]}\n" for clip_id in IDS)
    (tmp_path / "persons.csv").write_text(f"clip_id,group\n{rows}")
    relabel(out, tmp_path / "persons.csv")
    make_fold_set(out, OwnFolding(num_folds=2), name="mine")
    return out


def found(folder: Path, needle: bytes) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path.name for path in files if needle in path.read_bytes() or needle.decode("latin-1") in path.name]


def assert_gone(data: Path, source: CropSource, clip_ids: list[str]) -> None:
    """No file of the folder holds a picture, an id or a person of these clips."""
    for clip_id in clip_ids:
        assert found(data, clip_id.encode()) == []
        for picture in source.pictures(clip_id):
            assert found(data, picture) == []
    assert {path.name for path in data.iterdir()} & {".next", "donors", ".work"} == set()
    assert verify(data, deep=True).damages == ()


def test_a_person_is_gone_from_every_file(data: Path, source: CropSource, tmp_path: Path) -> None:
    ids = ["happy/anna-1", "happy/anna-2", "sad/anna-1", "sad/anna-2"]
    assert all(found(data, picture) for clip_id in ids for picture in source.pictures(clip_id))
    before = open_dataset(data)
    rest = {clip_id: before.read_clip(clip_id, size_px=32) for clip_id in IDS if clip_id not in ids}
    removal = remove_clips(data, persons=["anna"], reason="withdrawn", exclude_file=tmp_path / "gone.txt")
    assert removal == Removal(tuple(ids), tuple(ids))
    assert_gone(data, source, ids)
    assert found(data, b"anna") == []
    after = open_dataset(data)
    assert after.clips["clip_id"].tolist() == sorted(rest)
    assert all((after.read_clip(clip_id, size_px=32) == clip).all() for clip_id, clip in rest.items())
    assert sorted(after.fold("1", fold_set="mine")) == sorted(rest)
    assert (tmp_path / "gone.txt").read_text().split() == ids


def test_the_ledger_and_the_history_keep_number_and_reason_alone(data: Path) -> None:
    remove_clips(data, clips=["sad/zoe-1"], reason="the person asked for it")
    entry = {"change": "removed", "clips": 1, "reason": "the person asked for it"}
    assert [json.loads(line) for line in (data / "ledger.jsonl").read_text().splitlines()] == [entry]
    history = open_dataset(data).document["history"]
    assert history[-1] == entry
    assert [change["change"] for change in history] == ["relabelled", "folds made", "removed"]
    assert all("before" not in change for change in history)


def test_what_was_removed_comes_back_only_on_purpose(data: Path, source: CropSource, tmp_path: Path) -> None:
    gone = tmp_path / "gone.txt"
    remove_clips(data, clips=["sad/zoe-1"], reason="withdrawn", exclude_file=gone)
    source.add("sad/new", 55)
    with pytest.raises(UsageError, match=r"keeps no id of what was removed \(1 clip\); add --exclude FILE"):
        source.prepare(data, update=True)
    source.prepare(data, update=True, exclude=gone)
    assert_gone(data, source, ["sad/zoe-1"])
    assert "sad/new" in open_dataset(data).clips["clip_id"].tolist()
    source.prepare(tmp_path / "other", exclude=gone)
    assert "sad/zoe-1" not in open_dataset(tmp_path / "other").clips["clip_id"].tolist()


def test_unknown_clips_and_persons_are_named_together_and_nothing_changes(data: Path) -> None:
    before = (data / "dataset.json").read_bytes()
    with pytest.raises(UsageError, match="no clip 'happy/x'; there is no clip of a person 'max'; nothing was removed"):
        remove_clips(data, clips=["happy/x", "sad/ben-1"], persons=["max"], reason="withdrawn")
    with pytest.raises(UsageError, match="--reason: say why"):
        remove_clips(data, clips=["sad/ben-1"], reason=" ")
    with pytest.raises(UsageError, match="is not a prepared dataset"):
        remove_clips(data.parent, clips=["sad/ben-1"], reason="withdrawn")
    with hold_folder(data), pytest.raises(LockedError):
        remove_clips(data, clips=["sad/ben-1"], reason="withdrawn")
    assert clips_to_remove(data, clips=["sad/ben-1"], persons=["anna"]) == (
        "happy/anna-1",
        "happy/anna-2",
        "sad/anna-1",
        "sad/anna-2",
        "sad/ben-1",
    )
    assert (data / "dataset.json").read_bytes() == before


@pytest.mark.parametrize("num_writes", [0, 3, 9, 14, 20, 26, 31, 40])
def test_a_kill_at_any_write_is_finished_by_the_same_command(data: Path, source: CropSource, num_writes: int) -> None:
    with pytest.raises(Killed), killed_writes(after(num_writes)):
        remove_clips(data, persons=["ben"], reason="withdrawn")
    remove_clips(data, persons=["ben"], reason="withdrawn")
    assert_gone(data, source, ["happy/ben-1", "happy/ben-2", "sad/ben-1", "sad/ben-2"])
    assert [entry.get("clips") for entry in open_dataset(data).document["history"]] == [10, None, 4]


def test_lines_of_the_log_that_name_a_clip_go(data: Path) -> None:
    lines = [{"event": "begun"}, {"event": "worker lost", "clip_id": "sad/zoe-1"}, {"clip_id": "sad/zoe-11"}]
    (data / "prepare.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
    remove_clips(data, clips=["sad/zoe-1"], reason="withdrawn")
    assert [json.loads(line) for line in (data / "prepare.log").read_text().splitlines()] == [lines[0], lines[2]]


def test_one_person_of_several_in_a_video_goes_alone(tmp_path: Path) -> None:
    """With --all-tracks a video has a clip per person; their ids have a part after the video's."""
    table = pd.DataFrame(
        {
            "clip_id": ["a@0", "a@1", "b"],
            "source_clip_id": ["a", "a", "b"],
            "group": pd.array([None, "x", None], "string"),
        }
    )
    chosen = removing._chosen(table, ["a@1"], [], is_lenient=False)
    assert chosen == {"a@1"}
    assert removing._chosen(table, ["a"], ["x"], is_lenient=False) == {"a@0", "a@1"}
    removing._append_ids(tmp_path / "gone.txt", [], chosen, table)
    removing._append_ids(tmp_path / "gone.txt", ["b"], {"a@1", "b"}, table)
    assert (tmp_path / "gone.txt").read_text() == "a@1\nb\n"


def test_the_list_of_removed_ids_keeps_each_of_them_out(tmp_path: Path) -> None:
    odd = ["clip_id", "#top/1", "=eq/1", 'happy/"a"', "happy/#1", "happy/a, b", "happy/b ", "sad/ c"]
    source, out, excluded = source_of(tmp_path / "source", *odd, "sad/d"), tmp_path / "out", tmp_path / "ids.txt"
    source.prepare(out)
    excluded.write_text("# my list\n\nsad/e")  # without a line break at its end
    remove_clips(out, clips=odd, reason="withdrawn", exclude_file=excluded)
    assert excluded.read_text().startswith("# my list\n\nsad/e\n")
    assert set(read_ids(excluded, flag="--exclude")) == {"sad/e", *odd}
    source.prepare(out, update=True, exclude=excluded)
    assert open_dataset(out).clips["clip_id"].tolist() == ["sad/d"]


def test_an_id_is_known_in_each_unicode_form(tmp_path: Path) -> None:
    source_of(tmp_path / "source", "happy/é", "sad/d").prepare(tmp_path / "out")
    removal = remove_clips(tmp_path / "out", clips=[unicodedata.normalize("NFD", "happy/é")], reason="withdrawn")
    assert removal.clip_ids == ("happy/é",)


@pytest.mark.parametrize("num_folds", [2, 0])
def test_everybody_can_go_from_a_dataset_with_own_folds(data: Path, num_folds: int) -> None:
    make_fold_set(data, OwnFolding(num_folds=num_folds), name="own")
    assert len(remove_clips(data, persons=["anna", "ben", "zoe"], reason="withdrawn").clip_ids) == len(IDS)
    dataset = open_dataset(data)
    assert len(dataset.clips) == 0
    assert dataset.fold_sets == ("mine", "own")
    assert verify(data, deep=True).damages == ()
    assert dataset.fold_index("1", "train", fold_set="mine").num_rows == 0
