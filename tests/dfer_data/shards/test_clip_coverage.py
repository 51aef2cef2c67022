from __future__ import annotations

import io

import pandas as pd

from dfer_data.shards.clip_coverage import Coverage, coverage_of, read_coverage


def clips(*rows: tuple[str, str, float | None, int, int]) -> pd.DataFrame:
    names = ["clip_id", "status", "detection_rate", "num_frames", "num_source_frames"]
    table = pd.DataFrame(list(rows), columns=names)
    return table.astype({"detection_rate": "Float64"})


def test_clips_with_few_detections_and_clips_that_lose_frames_are_listed_the_worst_first() -> None:
    table = clips(
        ("whole", "ok", 1.0, 90, 90),
        ("half", "ok", 0.5, 90, 90),
        ("just two thirds", "ok", 0.99, 60, 90),
        ("cut", "ok", 0.6, 59, 90),
        ("seldom", "partial", 0.499, 90, 90),
        ("appears late", "ok", 0.1, 9, 90),
        ("no face", "failed", 0.0, 0, 0),
    )
    coverage = coverage_of(table, all_tracks=False)
    assert coverage == Coverage(seldom_detected=("appears late", "seldom"), shortened=("appears late", "cut"))
    content = io.BytesIO()
    table.to_parquet(content)
    assert read_coverage(content.getvalue(), all_tracks=False) == coverage


def test_shipped_crops_have_no_detections_to_miss() -> None:
    assert coverage_of(clips(("a", "ok", None, 5, 5), ("b", "ok", None, 7, 7)), all_tracks=False).notes == ()


def test_a_clip_per_person_is_not_expected_to_fill_its_video() -> None:
    assert coverage_of(clips(("a@0", "ok", 0.1, 9, 90)), all_tracks=True) == Coverage()


def test_notes_name_up_to_three_clips() -> None:
    assert Coverage(("a",), ("b", "c", "d", "e")).notes == (
        "1 clip with a face in under half of the frames: a (detection_rate in clips.parquet; `dfer inspect` shows "
        "them)",
        "4 clips losing more than a third of the frames: b, c, d ... "
        "(num_frames of num_source_frames in clips.parquet)",
    )
    (note,) = Coverage(("a", "b", "c")).notes
    assert note.startswith("3 clips with a face in under half of the frames: a, b, c (detection_rate in ")
