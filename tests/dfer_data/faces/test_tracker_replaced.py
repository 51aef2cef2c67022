"""Someone else who takes a face's place on one background; pictures of noise stand for people."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from dfer_data.faces.appearance import described
from dfer_data.faces.tracker import link
from dfer_data.types import Detection, Image, Track
from tests.dfer_data.tiny import face

NUM_FRAMES, CUT = 24, 8
SHARES = (0.08, 0.1, 0.11, 0.12, 0.13, 0.14, 0.18)
RNG = np.random.default_rng(7)
ROOM, PERSON = (
    np.asarray(cv2.resize(RNG.integers(20, 220, (18, 32, 3), np.uint8), (320, 180)), np.float32) for _ in range(2)
)
NOISE = RNG.normal(0, 1, (NUM_FRAMES, 180, 320, 3))
BUST = slice(20, 170), slice(70, 250)
PLACE = face(120, 50, side=80)
ASIDE = replace(PLACE, box=PLACE.box + np.array([16, 0, 16, 0], np.float32))


def with_other_person(share: float) -> Image:
    """Return the room with the other person in the first one's place, mixed with the first one by `share`."""
    picture = ROOM.copy()
    picture[BUST] += np.float32(share) * (PERSON[BUST] - ROOM[BUST])
    return np.asarray(picture, np.uint8)


def seen(picture: Image, index: int, found: Detection = PLACE, *, noise: float = 3.0) -> list[Detection]:
    noisy = np.asarray(np.clip(picture + noise * NOISE[index], 0, 255), np.uint8)
    return described(noisy, [found], scheme="eyes-nose-mouth")


def linked(frames: list[list[Detection]]) -> list[Track]:
    return link(frames, iou=0.3, max_gap_frames=12)


@pytest.mark.parametrize("aside", [(), range(CUT, CUT + 4), range(CUT, NUM_FRAMES, 2)])
def test_a_face_that_was_replaced_does_not_take_its_place_back(aside: tuple[int, ...] | range) -> None:
    """The boxes of the second person jump, as dlib's do, and come back to where the first one's were."""
    frames = [
        seen(with_other_person(0.25 * (index >= CUT)), index, ASIDE if index in aside else PLACE, noise=6.0)
        for index in range(NUM_FRAMES)
    ]
    assert [(track.first_frame, len(track)) for track in linked(frames)] == [(0, CUT), (CUT, NUM_FRAMES - CUT)]


def test_a_person_who_comes_back_keeps_the_track() -> None:
    """A picture of someone else in between, as in a cut to a listener and back."""
    frames = [seen(with_other_person(0.6 * (8 <= index < 12)), index) for index in range(NUM_FRAMES)]
    first, second = linked(frames)
    assert (first.first_frame, len(first), first.num_detected) == (0, NUM_FRAMES, NUM_FRAMES - 4)
    assert (second.first_frame, len(second)) == (8, 4)


@pytest.fixture(scope="module")
def outcomes() -> dict[float, str]:
    """What comes of a face and bust that become the other person's by a share, and stay so."""
    found = {}
    for share in SHARES:
        tracks = linked([seen(with_other_person(share * (index >= CUT)), index) for index in range(CUT + 4)])
        found[share] = "two" if len(tracks) == 2 else "listed" if tracks[0].drift >= 0.5 else "one"
    return found


def test_a_change_that_nearly_is_another_person_counts_as_drift(outcomes: dict[float, str]) -> None:
    """With a rising share of the other person: nothing, then one track to look at, then two tracks."""
    assert sorted(outcomes.values(), key=["one", "listed", "two"].index) == list(outcomes.values())
    assert set(outcomes.values()) == {"one", "listed", "two"}


def test_a_face_that_goes_on_changing_does_not_count_as_drift(outcomes: dict[float, str]) -> None:
    (*_, share) = (share for share, outcome in outcomes.items() if outcome == "listed")
    (track,) = linked([seen(with_other_person(share * (index in (8, 10))), index) for index in range(CUT + 8)])
    assert track.drift < 0.5


def test_a_part_of_a_head_that_turns_is_in_no_other_scene() -> None:
    """About a small part there is nothing but the head, which has changed through pictures that look like a mixture."""
    head, part = (slice(30, 150), slice(100, 220)), face(150, 80, side=24)
    frames = []
    for index in range(CUT + 4):
        picture = ROOM.copy()
        picture[head] += np.float32(index / (CUT + 4)) * (PERSON[head] - ROOM[head])
        frames.append(seen(np.asarray(picture, np.uint8), index, PLACE if index < CUT else part))
    assert [(track.first_frame, len(track)) for track in linked(frames)] == [(0, CUT)]
