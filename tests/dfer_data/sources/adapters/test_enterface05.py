from __future__ import annotations

from pathlib import Path

import pytest

from dfer_data.errors import AnnotationError
from dfer_data.sources.adapters.enterface05 import list_enterface05
from tests.dfer_data.tiny import touch


def test_folders_are_the_annotation_and_names_are_not(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "enterface database/subject 11/anger/sentence 1/s12_an_1.avi",
        "enterface database/subject 12/anger/sentence 1/s12_an_1.avi",
        "enterface database/subject 3/fear/sentence 2/s_3_fe_2.avi",
        "enterface database/subject 2/anger/sentence 1/s2_an_2.avi",
        "enterface database/subject 6/anger/s6_an.avi",
        "enterface database/Thumbs.avi",
    )
    found = list_enterface05(tmp_path, layout="videos")
    assert [(video.clip_id, video.label, video.group) for video in found.videos] == [
        ("s02_an_1", "angry", "02"),
        ("s03_fe_2", "fear", "03"),
        ("s11_an_1", "angry", "11"),
        ("s12_an_1", "angry", "12"),
    ]
    assert {clip for clip, split in found.folds["2"].items() if split == "test"} == {"s11_an_1", "s12_an_1"}
    assert found.notes == ("left out: 2 other videos",)
    assert found.fold_rule == "five runs of subjects, as MAE-DFER cuts"


def test_underscores_and_crops(tmp_path: Path) -> None:
    touch(tmp_path, "subject_38/surprise/sentence_5/1.jpg", "subject_1/sadness/sentence_3/s1_sa_3/00001.jpg")
    found = list_enterface05(tmp_path, layout="frames")
    assert [(video.clip_id, video.label) for video in found.videos] == [("s01_sa_3", "sad"), ("s38_su_5", "surprise")]


def test_a_file_that_is_no_video_by_its_name_is_a_missing_clip(tmp_path: Path) -> None:
    touch(tmp_path, "subject 16/surprise/sentence 3/s16_su_3avi", "subject 16/surprise/sentence 4/s16_su_4.avi")
    assert [video.clip_id for video in list_enterface05(tmp_path, layout="videos").missing] == ["s16_su_3"]


def test_all_faults_at_once(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "subject 1/joyful/sentence 1/a.avi",
        "subject 1/anger/a.avi",
        "subject 1/anger/sentence 6/a.avi",
        "subject 45/anger/sentence 1/a.avi",
        "subject 7/fear/sentence 1/a.avi",
        "again/subject 7/fear/sentence 1/a.avi",
    )
    with pytest.raises(AnnotationError) as caught:
        list_enterface05(tmp_path, layout="videos")
    assert len(caught.value.faults) == 5
    words = "\n".join(caught.value.faults)
    for part in ("no folder of an emotion", "no folder `sentence 1`", "no fold tests person 45", "two sources are not"):
        assert part in words
