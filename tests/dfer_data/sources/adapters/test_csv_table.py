"""Several labels per clip in a user's table; the other columns are tested where all adapters are."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data import open_dataset
from dfer_data.config import Request
from dfer_data.errors import AnnotationError
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.sources.adapters.csv_table import list_table
from tests.crops import write_coloured_frames


def write(root: Path, *rows: str) -> Path:
    for number in range(len(rows)):
        write_coloured_frames(root / f"c{number}", number, 3, seed=number)
    (root / "mine.csv").write_text("\n".join(["path,label,labels,split", *rows]))
    return root


def test_several_labels_per_clip_reach_the_prepared_dataset(tmp_path: Path) -> None:
    rows = ("c0,happy,happy|surprise,train", "c1,sad,,train", "c2,fear, fear | sad|fear,test")
    source = write(tmp_path / "source", *rows)
    run_preparation(
        resolve_request(Request(dataset="csv", source=source, detector="none")), tmp_path / "out", num_workers=0
    )
    data = open_dataset(tmp_path / "out")
    assert data.has_labels
    names = data.class_names
    chosen = [
        {name for name, is_one in zip(names, row, strict=True) if is_one} for row in data.labels(["c0", "c1", "c2"])
    ]
    assert chosen == [{"happy", "surprise"}, {"sad"}, {"fear", "sad"}]
    assert data.clips.set_index("clip_id")["label"].to_dict() == {"c0": "happy", "c1": "sad", "c2": "fear"}


def test_a_label_that_is_not_among_the_labels_is_a_fault_with_its_line(tmp_path: Path) -> None:
    source = write(tmp_path, "c0,happy,sad|fear,train", "c1,sad,sad,test")
    with pytest.raises(AnnotationError, match=r"mine.csv:2: label 'happy' is not among the labels 'sad\|fear'"):
        list_table(source, layout="frames")


def test_folds_have_the_numbers_that_commands_name(tmp_path: Path) -> None:
    for number in range(3):
        write_coloured_frames(tmp_path / f"c{number}", number, 3, seed=number)
    (tmp_path / "mine.csv").write_text("path,label,fold\nc0,happy,01\nc1,sad,02\nc2,fear,1\n")
    folds = list_table(tmp_path, layout="frames").folds
    assert folds == {
        "1": {"c0": "test", "c1": "train", "c2": "test"},
        "2": {"c0": "train", "c1": "test", "c2": "train"},
    }


def test_empty_lines_before_the_header_hide_no_separator(tmp_path: Path) -> None:
    write(tmp_path, "", "")
    (tmp_path / "mine.csv").write_text("\n\npath;label\nc0;happy\nc1;sad\n")
    listing = list_table(tmp_path, layout="frames")
    assert [(video.clip_id, video.label) for video in listing.videos] == [("c0", "happy"), ("c1", "sad")]
