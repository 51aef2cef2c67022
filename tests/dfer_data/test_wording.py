"""Counts in messages: one of a kind has no plural."""

from __future__ import annotations

import pytest

from dfer_data.errors import AnnotationError
from dfer_data.preparation.progress import PreparationProgress
from dfer_data.preparation.tasks import VideoUnderWay
from dfer_data.shards.clip_coverage import Coverage
from dfer_data.shards.duplicates import Duplicates
from dfer_data.wording import counted


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
