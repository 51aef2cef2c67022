from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError
from dfer_data.sources.adapters.mer import list_mer2023, list_mer2024
from tests.dfer_data.tiny import touch


def test_each_track_is_the_test_part_of_a_fold(tmp_path: Path) -> None:
    touch(tmp_path, "mer2023train/train/sample_00000001.avi", "mer2023train/test3/samplenew_00000007.mp4")
    touch(tmp_path, "test1/sample_00000001.avi", "test1/sample_000000011.avi")
    touch(tmp_path, "train-label.csv", text="name,discrete,valence\nsample_00000001,worried,-1\n")
    touch(tmp_path, "labels/test1-label.csv", text="name,discrete,valence\nsample_00000001,happy,2\n")
    touch(tmp_path, "labels/test3-label.csv", text="name,discrete\nsamplenew_00000007,sad\n")
    found = list_mer2023(tmp_path, layout="videos")
    assert [(video.clip_id, video.label) for video in found.videos] == [
        ("test1/sample_00000001", "happy"),
        ("test3/samplenew_00000007", "sad"),
        ("train/sample_00000001", "worried"),
    ]
    assert not found.missing
    assert found.folds == {
        "1": {"train/sample_00000001": "train", "test1/sample_00000001": "test"},
        "3": {"train/sample_00000001": "train", "test3/samplenew_00000007": "test"},
    }
    assert found.notes == ("left out, in no list: 1 video (test1/sample_000000011...)",)


def test_without_lists_of_tracks_there_are_no_folds(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.avi")
    touch(tmp_path, "train-label.csv", text="name,discrete\na,angry\nb,sad\n")
    found = list_mer2023(tmp_path, layout="videos")
    assert (len(found.videos), len(found.missing), found.folds) == (2, 1, {})


def test_clips_without_labels_are_left_out(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "video-labeled/a.mp4",
        "video-unlabeled-with-test2noise/b.mp4",
        "video-unlabeled-with-test2noise/a.mp4",
    )
    touch(tmp_path, "label-disdim.csv", text="name,discrete\na,neutral\n")
    found = list_mer2024(tmp_path, layout="videos")
    assert [(video.path, video.label) for video in found.videos] == [("video-labeled/a.mp4", "neutral")]
    assert found.folds == {}


def test_all_faults_at_once(tmp_path: Path) -> None:
    touch(tmp_path, "train/a.avi")
    touch(tmp_path, "train-label.csv", text="name,discrete\na,fear\n../a,sad\na,sad\na,angry\n")
    with pytest.raises(AnnotationError) as caught:
        list_mer2023(tmp_path, layout="videos")
    words = "\n".join(caught.value.faults)
    for part in ("'fear'; known: neutral", "'../a' is no name", "is angry, but sad", "is listed twice"):
        assert part in words
