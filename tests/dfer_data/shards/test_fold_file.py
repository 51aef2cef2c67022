from __future__ import annotations

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dfer_data.faces.subject import read_subjects
from dfer_data.shards.fold_file import fold_bytes, fold_splits
from dfer_data.sources.names import name_fault
from dfer_data.storage.csv_text import csv_text, spreadsheet_cell
from tests.workspace import ROOT

IDS = (st.text(min_size=1, max_size=12) | st.text("ab\"',#=+-@ \t", min_size=1)).filter(
    lambda text: not name_fault(text)
)
SPLITS = st.sampled_from(["train", "test"])


@given(st.dictionaries(IDS, SPLITS, min_size=1))
@example({"Smith, John take 1.mp4": "train", '"a".mp4': "test", "a.mp4": "train", " b ": "test", "#c": "train"})
def test_every_id_that_the_plan_accepts_comes_back(folds: dict[str, str]) -> None:
    assert fold_splits(fold_bytes(folds.items())) == folds


@given(st.dictionaries(IDS, st.integers(0, 99), min_size=1))
@example({"=1": 0, "'=1": 1, "-a": 2, "a,b": 3})
def test_every_id_comes_back_from_a_table_of_subjects(
    tmp_path_factory: pytest.TempPathFactory, tracks: dict[str, int]
) -> None:
    path = tmp_path_factory.mktemp("subjects") / "ambiguous.csv"
    rows = [[spreadsheet_cell(clip_id), track] for clip_id, track in tracks.items()]
    path.write_text(csv_text([["clip_id", "track"], *rows]), encoding="utf-8", newline="")
    assert read_subjects(path) == tracks


def test_ordinary_ids_keep_their_bytes() -> None:
    rows = [("00001", "train"), ("happy/a b.mp4", "test"), ("Action/Happy/0001", "train")]
    assert fold_bytes(rows) == b"clip_id,split\n00001,train\nhappy/a b.mp4,test\nAction/Happy/0001,train\n"


@given(st.dictionaries(IDS, SPLITS, min_size=1))
@example({"Smith, John.mp4": "train", '"a".mp4': "test", "a.mp4": "train"})
def test_a_file_of_the_first_release_is_read(folds: dict[str, str]) -> None:
    """It wrote ids without quotes. Such a file could be taken for CSV only if its ids look quoted twice."""
    content = ("clip_id,split\n" + "".join(f"{clip_id},{split}\n" for clip_id, split in folds.items())).encode()
    assume(fold_bytes(folds.items()) == content or not any('""' in clip_id for clip_id in folds))
    assume(not any(clip_id.startswith('"') and clip_id.endswith('"') for clip_id in folds))
    assert fold_splits(content) == folds


@pytest.mark.parametrize(
    "content",
    [b"", b"x,y\na,b\n", b"clip_id,split\na\n", b'clip_id,split\n"a"\n', b"\xff\n", b"clip_id,split\n\n,,,\r"],
)
def test_what_is_no_fold_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        fold_splits(content)


def test_the_first_release_would_be_written_with_the_same_bytes() -> None:
    paths = sorted((ROOT / "tests/golden/release-0.1/prepared/dfew-retinaface/folds").glob("fold-*.csv"))
    assert len(paths) == 5
    for path in paths:
        assert fold_bytes(fold_splits(path.read_bytes()).items()) == path.read_bytes()
