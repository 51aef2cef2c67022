from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.changes.folds import make_fold_set, remove_fold_set
from dfer_data.changes.relabel import relabel
from dfer_data.errors import UsageError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.amendments import OwnFolding
from tests.dfer_data.crop_source import contents, source_of

IDS = [f"{label}/{name}{n}" for label in ("happy", "sad") for name in ("ann", "ben", "eve") for n in "12"]
BY_CLIP = OwnFolding(num_folds=3, group_by="clip")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    source_of(tmp_path / "source", *IDS).prepare(tmp_path / "out", num_folds=2, group_by="clip")
    return tmp_path / "out"


def test_each_clip_is_tested_once_and_the_official_folds_stay(data: Path) -> None:
    before, was = contents(data), open_dataset(data)
    sizes = make_fold_set(data, BY_CLIP, name="mine")
    now = open_dataset(data)
    assert now.fold_sets == ("official", "mine")
    tested = [
        clip
        for fold in now.fold_names("mine")
        for clip, part in now.fold(fold, fold_set="mine").items()
        if part == "test"
    ]
    assert sorted(tested) == sorted(IDS)
    assert sizes == {fold: {"train": 8, "test": 4} for fold in "123"}
    assert was.identity() == now.identity()
    assert now.identity("mine").folds_sha256 not in ("", now.identity().folds_sha256)
    after = contents(data)
    assert {name for name in after if after[name] != before.get(name)} == {
        "plan.json",
        *(f"folds/mine/fold-{fold}.csv" for fold in "123"),
    }
    assert verify(data, deep=True).damages == ()


def test_persons_stay_together_and_may_come_from_a_file(data: Path, tmp_path: Path) -> None:
    rows = "".join(f"{clip_id},{clip_id[:-1].partition('/')[2]}\n" for clip_id in IDS)
    (tmp_path / "films.csv").write_text(f"clip_id,film\n{rows}")
    by_film = OwnFolding(num_folds=3, group_by="film")
    with pytest.raises(UsageError, match="--group-by film: no such column; give a file that has it with --from"):
        make_fold_set(data, by_film, name="films")
    make_fold_set(data, by_film, name="films", table=tmp_path / "films.csv")
    for fold in "123":
        splits = open_dataset(data).fold(fold, fold_set="films")
        persons = {
            part: {clip[:-1].partition("/")[2] for clip in splits if splits[clip] == part} for part in ("train", "test")
        }
        assert len(persons["test"]) == 1
        assert not persons["train"] & persons["test"]
    (tmp_path / "persons.csv").write_text(rows.join(["clip_id,group\n", ""]))
    relabel(data, tmp_path / "persons.csv")
    make_fold_set(data, OwnFolding(num_folds=3, group_by="subject"), name="persons")
    assert open_dataset(data).fold("1", fold_set="persons") in [
        open_dataset(data).fold(fold, fold_set="films") for fold in "123"
    ]


def test_a_name_is_taken_once(data: Path) -> None:
    make_fold_set(data, BY_CLIP)
    before = contents(data)
    make_fold_set(data, BY_CLIP)
    assert contents(data) == before
    other = OwnFolding(num_folds=3, group_by="clip", seed=1)
    with pytest.raises(UsageError, match=r"there is a set own \(3 folds by clip, seed 0\); .* replace it with --anew"):
        make_fold_set(data, other)
    make_fold_set(data, other, anew=True)
    assert open_dataset(data).document["fold_sets"]["own"]["rule"] == "3 folds by clip, seed 1"
    assert contents(data)["folds/own/fold-1.csv"] != before["folds/own/fold-1.csv"]
    remove_fold_set(data, "own")
    assert open_dataset(data).fold_sets == ("official",)
    assert not (data / "folds/own").exists()
    with pytest.raises(UsageError, match="there is no own set of folds 'own'; there are: none"):
        remove_fold_set(data, "own")


@pytest.mark.parametrize(
    ("name", "folding", "message"),
    [
        ("official", BY_CLIP, "the official folds are never overwritten"),
        ("../x", BY_CLIP, "use lower-case letters"),
        ("x", OwnFolding(num_folds=5, group_by="subject"), "subject is unknown for .* and 9 more; give it with"),
        ("x", OwnFolding(num_folds=3, group_by="folder"), "--folds 3: 2 groups by folder"),
        ("x", OwnFolding(num_folds=2, group_by="folder"), "folder: the groups are the classes, so a fold would test"),
        ("x", OwnFolding(num_folds=2, group_by="label"), "label: the groups are the classes"),
        ("x", OwnFolding(num_folds=13, group_by="clip"), "--folds 13: 12 groups by clip"),
    ],
)
def test_sets_that_cannot_be_are_refused(data: Path, name: str, folding: OwnFolding, message: str) -> None:
    before = contents(data)
    with pytest.raises(UsageError, match=message):
        make_fold_set(data, folding, name=name)
    assert contents(data) == before


def test_a_table_without_the_column_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("clip_id,movie\nhappy/ann1,x\n")
    with pytest.raises(UsageError, match="has no column film; it has: clip_id, movie"):
        make_fold_set(data, OwnFolding(num_folds=2, group_by="film"), table=tmp_path / "films.csv")
    (tmp_path / "films.csv").write_text("clip_id,film\nhappy/ann1,x\n")
    with pytest.raises(UsageError, match=r"film is unknown for happy/ann2.*; every clip needs a row with a value$"):
        make_fold_set(data, OwnFolding(num_folds=2, group_by="film"), table=tmp_path / "films.csv")
