from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_data.errors import UsageError, VideoError
from dfer_data.inspection.look_settings import LookSettings
from dfer_data.inspection.video_look import VideoLook, look_at_video, look_document, spans
from dfer_data.types import Detection, Image, LandmarkScheme
from tests.dfer_data.tiny import CONFIG, face, pictures, write_video


class OneFace:
    """Finds a face in all pictures but dark ones, and counts how many it saw."""

    def __init__(self) -> None:
        self.num_seen = 0

    @property
    def scheme(self) -> LandmarkScheme:
        return "eyes-nose-mouth"

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        self.num_seen += len(images)
        return [[face(30, 30, side=30)] if image.mean() > 20 else [] for image in images]


def looked_at(path: Path, *, detector: OneFace | None = None, **settings: float) -> VideoLook:
    chosen = LookSettings(**settings)  # type: ignore[arg-type]
    return look_at_video(path, config=CONFIG, detector=detector or OneFace(), settings=chosen)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """20 frames with a face, 10 dark ones, 12 with a face again."""
    shown = pictures(1)[0]
    return write_video(tmp_path / "v.mp4", [*[shown] * 20, *[np.zeros_like(shown)] * 10, *[shown] * 12])


def test_persons_cuts_and_frames_without_a_face(video: Path) -> None:
    document = look_document(looked_at(video))
    assert [(person["start"]["frame"], person["frames"]) for person in document["persons"]] == [(0, 20), (30, 12)]
    assert [cut["frame"] for cut in document["cuts"]] == [20, 30]
    (gap,) = document["without_a_face"]
    assert (gap["start"], gap["end"]["frame"], gap["frames"]) == ({"frame": 20, "seconds": 0.8}, 29, 10)
    assert document["subject"] == 0
    assert document["hit_rate"] == pytest.approx(20 / 42, abs=1e-4)
    assert document["ambiguity"] == pytest.approx(12 / 20, abs=0.02)
    assert document["reason"].startswith("Person 0 has the largest weight; person 1, the next one, has 60 % of that.")
    assert document["reason"].endswith("check this choice.")


def test_only_the_first_seconds_are_looked_at(video: Path) -> None:
    look = looked_at(video, seconds=0.5)
    assert (look.num_frames, look.is_whole, look.end_reason) == (13, False, "")
    assert looked_at(video, seconds=0).is_whole
    assert looked_at(video, seconds=1.68).is_whole  # exactly its length
    assert not looked_at(video, seconds=1.64).is_whole  # one frame less


def test_the_detector_sees_fewer_frames_of_a_long_video(tmp_path: Path) -> None:
    still = [np.full((96, 96, 3), 90, np.uint8)] * 610
    path, detector = write_video(tmp_path / "long.mp4", still), OneFace()
    look = looked_at(path, detector=detector)
    assert (look.config.detect_every, look.num_frames) == (3, 610)
    assert detector.num_seen == int(look.is_detector_frame.sum()) == 204
    assert look.hit_rate == 1
    assert looked_at(path, detect_every=8, seconds=10).is_detector_frame.sum() == 33


def test_a_video_without_a_face_has_no_subject(tmp_path: Path) -> None:
    path = write_video(tmp_path / "dark.mp4", [np.zeros((48, 48, 3), np.uint8)] * 4)
    look = looked_at(path)
    assert (look.subject, look.hit_rate, look.faceless) == (None, 0.0, [(0, 4)])
    assert look.reason == "No face was found in 4 frames."


def test_what_is_no_video_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.mp4").write_bytes(b"<html>")
    with pytest.raises(VideoError, match=r"page.mp4 .* is not a readable video"):
        looked_at(tmp_path / "page.mp4")


def test_settings_are_checked_together() -> None:
    with pytest.raises(UsageError, match=r"--detect-every 9: .*--seconds -1"):
        LookSettings(detect_every=9, seconds=-1)


def test_the_reason_names_a_picture_that_weighs_more(video: Path) -> None:
    look = looked_at(video)
    assert look.subject is not None
    first, second = look.tracks
    moved = replace(look, subject=replace(look.subject, track=second, runners_up=(first,), ambiguity=1.0))
    assert moved.reason == "Person 1 moves; person 0 weighs more, but is as still as a picture. Check this choice."


def test_spans() -> None:
    assert spans(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert spans(np.zeros(3, np.bool_)) == []
