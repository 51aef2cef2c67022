"""Counts in messages, one of a kind has no plural; names with numbers, in order."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer_data.errors import AnnotationError
from dfer_data.preparation.progress import PreparationProgress
from dfer_data.preparation.tasks import VideoUnderWay
from dfer_data.shards.clip_coverage import Coverage
from dfer_data.shards.duplicates import Duplicates
from dfer_data.wording import by_number, counted


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (0, "video", "0 videos"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (1, "folder of crops", "1 folder of crops"),
        (11_697, "pair of duplicates", "11,697 pairs of duplicates"),
    ],
)
def test_a_count_has_its_noun(number: int, noun: str, expected: str) -> None:
    assert counted(number, noun) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, "1 annotation fault: x"),
        (2, "2 annotation faults: x; x"),
    ],
)
def test_an_error_counts_its_faults(number: int, expected: str) -> None:
    assert str(AnnotationError(["x"] * number)) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, ["0 of 1 video, ", "a, 1 frame", "1 clip with a face in under", "1 test clip of fold 3 also in train"]),
        (2, ["0 of 2 videos, ", "a, 2 frames", "2 clips with a face in under", "2 test clips of fold 3 also in train"]),
    ],
)
def test_notes_and_progress_count_alike(number: int, expected: list[str]) -> None:
    progress = PreparationProgress(0, number, 0.0, 0, 0.0, None, 1, VideoUnderWay("a", number, 0))
    coverage = Coverage(seldom_detected=("a",) * number)
    duplicates = Duplicates((), {"3": (("a", "b"),) * number})
    text = "\n".join([str(progress), *coverage.notes, duplicates.note])
    assert [words for words in expected if words not in text] == []


@pytest.mark.parametrize(
    "names",
    [
        ["head-1", "head-2", "head-10", "head-10b", "tail-1"],
        ["1", "02", "2", "3", "10"],
        ["demo,epochs=2", "demo,epochs=10"],
        ["runs/a/fold-2/seed-10", "runs/a/fold-10/seed-2"],
        ["x" + "8" * 5000, "x" + "9" * 5000],
    ],
)
def test_numbers_in_names_are_sorted_by_their_value(names: list[str]) -> None:
    assert sorted(reversed(names), key=by_number) == names


@given(st.lists(st.text("a-0125٣"), unique=True), st.randoms())
def test_the_order_of_names_is_one(names: list[str], random: Random) -> None:
    """Different names are never equal, so the order of a set does not matter."""
    expected = sorted(names, key=by_number)
    random.shuffle(names)
    assert sorted(names, key=by_number) == expected
