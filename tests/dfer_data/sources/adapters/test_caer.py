from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError, UsageError
from dfer_data.sources.adapters.caer import list_caer
from tests.dfer_data.tiny import touch


def test_numbers_begin_anew_in_each_folder(tmp_path: Path) -> None:
    places = ("train/Anger/0001", "train/Sad/0001", "validation/Anger/0001", "test/Anger/0001")
    touch(tmp_path, *(f"CAER/{place}.avi" for place in places), "CAER/readme.avi", "CAER-S/test/Angry/0001.png")
    found = list_caer(tmp_path, layout="videos")
    assert [(video.clip_id, video.label) for video in found.videos] == [
        ("test/Anger/0001", "angry"),
        ("train/Anger/0001", "angry"),
        ("train/Sad/0001", "sad"),
        ("validation/Anger/0001", "angry"),
    ]
    assert [clip for clip, split in found.folds["1"].items() if split == "test"] == ["test/Anger/0001"]
    assert found.notes == ("1 clip of validation to train on, unless --val official holds these out",)


def test_faults_and_another_folder(tmp_path: Path) -> None:
    touch(tmp_path, "train/Joyful/0001.avi", "train/Sad/one.avi", "train/Sad/0002.avi", "again/train/Sad/0002.avi")
    with pytest.raises(AnnotationError) as caught:
        list_caer(tmp_path, layout="videos")
    words = "\n".join(caught.value.faults)
    for part in ("'Joyful' is no emotion", "one.avi: its name is not a number", "test: no clips", "two places"):
        assert part.replace("two places", "is also in") in words
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match=r"no clips of CAER.*dfer synth caer"):
        list_caer(tmp_path / "other", layout="videos")
