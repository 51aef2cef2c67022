"""A poster next to a person: known shapes, rendered heads through the detector, and real people who sit still."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dfer_data.detect.retinaface import RetinaFace
from dfer_data.faces.stillness import MIN_DETECTIONS, is_picture_next_to, shape_motion
from dfer_data.faces.subject import Subject, choose_subject
from dfer_data.faces.tracker import link
from dfer_data.synth.heads import load_heads
from dfer_data.synth.people import sample_person
from dfer_data.synth.render import Pose, Scene, render
from dfer_data.types import FrameFlag, Image, Track
from tests.scenes import people

NUM_FRAMES = MIN_DETECTIONS + 4
FACE = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)


def track(
    number: int,
    *,
    nod: float = 0.0,
    noise: float = 0.003,
    camera: float = 0.0,
    side: float = 100,
    left: float = 0,
    frames: int = NUM_FRAMES,
) -> Track:
    """A face that nods by a share of its size, with a noisy detector and a camera that shakes; sizes in shares too."""
    rng = np.random.default_rng(number)
    landmarks = np.repeat(FACE[None], frames, axis=0)
    landmarks[:, 2:, 1] += 100 * nod * np.sin(np.arange(frames)[:, None] / 9)
    landmarks += rng.normal(0, 100 * noise, landmarks.shape)
    angles, shifts = rng.normal(0, camera, frames), rng.normal(0, 200 * camera, (frames, 1, 2))
    turn = np.stack([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]]).transpose(2, 0, 1)
    landmarks = (landmarks @ turn + shifts) * side / 100 + (left, 0)
    box = np.array([left, 0, left + side, side], np.float32)
    flags = np.full(frames, int(FrameFlag.DETECTED), np.uint8)
    scores = np.full(frames, 0.9, np.float32)
    return Track(number, 0, np.tile(box, (frames, 1)), landmarks.astype(np.float32), scores, flags)


def chosen(*tracks: Track) -> Subject:
    subject = choose_subject(tracks, width_px=401, height_px=101)
    assert subject is not None
    return subject


@pytest.mark.parametrize("camera", [0.0, 0.02])
def test_a_person_beats_a_larger_poster_and_the_clip_is_ambiguous(camera: float) -> None:
    poster, person = track(0, camera=camera, side=100), track(1, nod=0.06, camera=camera, side=60, left=200)
    subject = chosen(poster, person)
    assert subject.track is person
    assert subject.runners_up == (poster,)
    assert subject.ambiguity == 1
    assert chosen(poster).track is poster


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(track(1, side=60, left=200), id="still as well"),
        pytest.param(track(1, noise=0.05, side=60, left=200), id="only noisy"),
        pytest.param(track(1, nod=0.06, side=60, left=200, frames=MIN_DETECTIONS - 1), id="too short"),
        pytest.param(track(1, nod=0.06, side=5, left=200), id="far away"),
    ],
)
def test_a_still_face_stays_chosen_next_to_another_that_is(other: Track) -> None:
    still = track(0, side=100)
    subject = chosen(still, other)
    assert subject.track is still
    assert subject.ambiguity < 1


def test_other_rules_other_landmarks_and_choices_by_hand_are_kept() -> None:
    poster, person = track(0, side=100), track(1, nod=0.06, side=60, left=200)
    for rule in ("largest", "longest", "score"):
        subject = choose_subject([poster, person], width_px=401, height_px=101, rule=rule)
        assert subject is not None
        assert subject.track is poster
    subject = choose_subject([poster, person], width_px=401, height_px=101, scheme="eye-corners-nose-base")
    assert subject is not None
    assert subject.track is poster
    subject = choose_subject([poster, person], width_px=401, height_px=101, chosen=0)
    assert subject is not None
    assert subject.track is poster


def test_a_short_still_face_says_nothing() -> None:
    assert shape_motion(track(0, frames=MIN_DETECTIONS - 1)) is None
    short = track(0, frames=MIN_DETECTIONS - 1)
    assert not is_picture_next_to(short, track(1, nod=0.06))


def _head(wheel: Path, identity: int, height_px: int, pose: Pose) -> Image:
    scene = Scene(
        np.full((height_px, int(0.8 * height_px), 3), (150, 140, 120), np.uint8),
        (0.4 * height_px, 0.42 * height_px),
        0.22 * height_px,
        np.array([0.2, 0.3, 0.93], np.float32),
        0.5,
        np.ones(3, np.float32),
    )
    return render(sample_person(load_heads(wheel), identity=identity, seed=9), scene, pose)[0]


def _filmed(pictures: list[Image], poster: Image, *, shake_px: float) -> list[Image]:
    """Film small pictures on the left and a poster on the right with a camera that may shake, and with grain."""
    rng = np.random.default_rng(3)
    filmed: list[Image] = []
    for small in pictures:
        room = np.full((360, 640, 3), (120, 130, 140), np.uint8)
        room[20 : 20 + poster.shape[0], 360 : 360 + poster.shape[1]] = poster
        room[340 - small.shape[0] : 340, 60 : 60 + small.shape[1]] = small
        matrix = np.array([[1, 0, rng.normal(0, shake_px)], [0, 1, rng.normal(0, shake_px)]], np.float32)
        moved = cv2.warpAffine(room, matrix, (640, 360), borderMode=cv2.BORDER_REFLECT)
        filmed.append(np.clip(moved + rng.normal(0, 3, moved.shape), 0, 255).astype(np.uint8))
    return filmed


def _subject(images: list[Image], weights: Path) -> Subject:
    detector = RetinaFace(weights, long_side_px=640)
    subject = choose_subject(link(detector.detect(images), iou=0.3, max_gap_frames=12), width_px=640, height_px=360)
    assert subject is not None
    return subject


@pytest.mark.parametrize("shake_px", [0.0, 1.5])
def test_a_real_person_is_chosen_next_to_a_larger_poster(
    heads_wheel: Path, real_videos: dict[str, Path], retinaface_weights: Path, shake_px: float
) -> None:
    person = [
        np.asarray(cv2.resize(image, (200, 250)), np.uint8)
        for image in people(real_videos, num_frames=NUM_FRAMES)["ann"]
    ]
    poster = _head(heads_wheel, 31, 320, Pose({}, 0.1, 0, 0, (0, 0)))
    subject = _subject(_filmed(person, poster, shake_px=shake_px), retinaface_weights)
    assert subject.track.boxes[:, 0].mean() < 320
    assert subject.ambiguity == 1
    still = shape_motion(subject.runners_up[0])
    assert still is not None
    assert still.motion < 0.015


def test_two_posters_are_decided_by_weight(heads_wheel: Path, retinaface_weights: Path) -> None:
    small, large = (
        _head(heads_wheel, 30, 220, Pose({}, 0, 0, 0, (0, 0))),
        _head(heads_wheel, 31, 320, Pose({}, 0, 0, 0, (0, 0))),
    )
    subject = _subject(_filmed([small] * NUM_FRAMES, large, shake_px=1.5), retinaface_weights)
    assert subject.track.boxes[:, 0].mean() > 320
    assert subject.ambiguity < 1
