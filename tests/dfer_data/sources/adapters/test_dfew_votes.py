"""Annotators' votes: from DFEW's sheet through the manifest to whoever asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from openpyxl import Workbook

from dfer_data import open_dataset
from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.adapters.dfew import list_dfew
from dfer_data.sources.class_labels import DFEW_NAMES
from tests.crops import NUM_CLASSES, label_of, prepare_crops, write_crops
from tests.dfer_data.dfew_tree import IDS, LABELS, write_splits

HEADER = ("1happy", "2sad", "3neutral", "4angry", "5surprise", "6disgust", "7fear", "order", "label")
SHEET = "Annotation/annotation.xlsx"


def votes_for(label: int) -> list[int]:
    """Eight votes for a class, two for the next."""
    counts = [0] * NUM_CLASSES
    counts[label - 1], counts[label % NUM_CLASSES] = 8, 2
    return counts


ROWS = [[*votes_for(label), number, label] for number, label in LABELS.items()]


def write_sheet(root: Path, rows: Sequence[Sequence[object]], *, header: Sequence[object] = HEADER) -> None:
    book = Workbook()
    for row in (header, *rows):
        book.worksheets[0].append(list(row))
    (root / SHEET).parent.mkdir(exist_ok=True)
    book.save(root / SHEET)


@pytest.fixture
def dfew(tmp_path: Path) -> Path:
    write_splits(tmp_path)
    (tmp_path / "Clip/original").mkdir(parents=True)
    for clip_id in IDS:
        (tmp_path / f"Clip/original/{clip_id}.mp4").touch()
    return tmp_path


def faults(root: Path) -> tuple[str, ...]:
    with pytest.raises(AnnotationError) as caught:
        list_dfew(root, layout="videos")
    return caught.value.faults


def test_a_tree_without_the_sheet_has_no_votes(dfew: Path) -> None:
    assert {video.votes for video in list_dfew(dfew, layout="videos").videos} == {None}


@pytest.mark.parametrize(
    "header", [HEADER, (*(name.upper() for name in DFEW_NAMES), "clip_name", "annotation"), ("remark", *HEADER)]
)
def test_votes_are_read_by_the_names_of_their_columns(dfew: Path, header: tuple[str, ...]) -> None:
    pad = ["x"] if header[0] == "remark" else []
    write_sheet(dfew, [[*pad, *row] for row in ROWS], header=header)
    found = list_dfew(dfew, layout="videos")
    assert [video.votes for video in found.videos] == [tuple(votes_for(label)) for label in LABELS.values()]
    assert found.notes == ()


def test_unlabelled_and_absent_clips_and_other_labels_are_notes(dfew: Path) -> None:
    other = [*ROWS[1][:-1], 5]
    write_sheet(dfew, [[4, 4, 2, 0, 0, 0, 0, 9, 0], other, *([] for _ in range(2)), *ROWS[2:]])
    found = list_dfew(dfew, layout="videos")
    assert [video.votes is None for video in found.videos] == [True, *[False] * 6]
    assert found.videos[1].label == DFEW_NAMES[LABELS[2] - 1]
    assert found.notes == (
        "1 clip without votes in annotation.xlsx",
        "annotation.xlsx and the split files differ in the label of 1 clip (00002...); the split files are used",
    )


def test_every_broken_line_is_named(dfew: Path) -> None:
    broken: list[Sequence[object]] = [
        [1, 2, 3, 4, 0, 0, 0, 1],
        [0] * 7 + [1, 1],
        ["many", *ROWS[0][1:]],
        [*ROWS[0][:-1], 8],
        [-1, *ROWS[0][1:]],
    ]
    rows: list[Sequence[object]] = [*ROWS, ROWS[0]]
    write_sheet(dfew, rows + broken)
    found = faults(dfew)
    assert [fault.split(": ")[0] for fault in found] == [f"{SHEET}:{line}" for line in range(9, 15)]
    assert found[0].endswith("clip 1 is listed twice")
    assert all("seven numbers of votes" in fault for fault in found[1:])


def test_a_sheet_with_other_columns_says_which_are_wanted(dfew: Path) -> None:
    write_sheet(dfew, ROWS, header=("a", *HEADER[1:]))
    (fault,) = faults(dfew)
    assert fault.startswith(f"{SHEET}:1: the columns are 'a, 2sad")


@pytest.mark.parametrize("content", [b"", b"happy,sad\n1,2\n", b"PK\x03\x04 not a zip"])
def test_a_file_that_is_no_sheet_is_one_fault(dfew: Path, content: bytes) -> None:
    (dfew / SHEET).parent.mkdir()
    (dfew / SHEET).write_bytes(content)
    (fault,) = faults(dfew)
    assert fault.startswith(f"{SHEET}: not a readable Excel file")


def test_votes_stand_in_the_manifest(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "source", num_clips=14, num_frames=lambda number: 1, size_px=8)
    write_sheet(source, [[*votes_for(label_of(number)), number, label_of(number)] for number in range(2, 15)])
    data = open_dataset(prepare_crops(source, tmp_path / "dfew-none"))
    assert data.votes(["00003", "00001", "00009"]).tolist() == [votes_for(3), [0] * 7, votes_for(2)]
    assert data.clip("00002")["votes"] == votes_for(2)
    assert pd.isna(data.clips["votes"].iloc[0])
    with pytest.raises(UsageError, match="no clip '00099'"):
        data.votes(["00099"])


def test_a_dataset_without_votes_has_none(crops: Path) -> None:
    assert not open_dataset(crops).votes(["00001", "00002"]).any()
