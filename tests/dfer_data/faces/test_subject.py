from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data.config import SubjectRule
from dfer_data.errors import UsageError
from dfer_data.faces.subject import choose_subject, read_subjects
from dfer_data.types import FrameFlag, Track


def track(
    number: int, *, frames: int = 10, side: float = 20, at: tuple[float, float] = (50, 50), score: float = 0.9
) -> Track:
    box = np.array([at[0] - side / 2, at[1] - side / 2, at[0] + side / 2, at[1] + side / 2], np.float32)
    landmarks = np.zeros((frames, 5, 2), np.float32)
    flags = np.full(frames, int(FrameFlag.DETECTED), np.uint8)
    return Track(number, 0, np.tile(box, (frames, 1)), landmarks, np.full(frames, score, np.float32), flags)


TRACKS = [
    track(0, frames=20, side=10, at=(20, 20), score=0.8),
    track(1, frames=8, side=40, at=(30, 70), score=0.85),
    track(2, frames=9, side=12, at=(50, 50), score=0.86),
    track(3, frames=7, side=11, at=(80, 20), score=0.99),
]


@pytest.mark.parametrize(
    ("rule", "number"), [("longest", 0), ("largest", 1), ("central", 2), ("score", 3), ("balanced", 1)]
)
def test_each_rule_has_its_winner(rule: SubjectRule, number: int) -> None:
    subject = choose_subject(TRACKS, width_px=101, height_px=101, rule=rule)
    assert subject is not None
    assert subject.track.number == number
    assert {other.number for other in subject.runners_up} == {0, 1, 2, 3} - {number}
    assert 0 < subject.ambiguity < 1


def test_a_person_has_the_last_word() -> None:
    subject = choose_subject(TRACKS, width_px=101, height_px=101, chosen=3)
    assert subject is not None
    assert subject.track.number == 3
    assert subject.ambiguity > 1
    with pytest.raises(ValueError, match="track 7 does not exist; the tracks are 0, 1, 2, 3"):
        choose_subject(TRACKS, width_px=101, height_px=101, chosen=7)


def test_the_file_of_choices_may_have_more_columns(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(b"\xef\xbb\xbfclip_id,track,runner_up,ambiguity\r\na/b.mp4,2,0,0.9\r\n00001#0003,0,1,0.8\r\n")
    assert read_subjects(path) == {"a/b.mp4": 2, "00001#0003": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,track\na,1\n", "has no column clip_id"),
        ("x,y\n", "has no column clip_id and no track"),
        (
            "clip_id,track\na,first\na,1\na,2\n",
            r"line 2: track 'first' is not a number; line 3: clip a is listed twice; line 4",
        ),
        ("clip_id,track\na,-1\n", "line 2: track '-1' is not a number"),
        ("", "has no column clip_id and no track"),
    ],
)
def test_all_faults_of_the_file_at_once(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_subjects(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_subjects(tmp_path / "none.csv")
