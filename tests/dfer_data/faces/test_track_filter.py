from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_data.config import TRACK_LIMITS, PrepareConfig
from dfer_data.faces.appearance import described
from dfer_data.faces.track_filter import RULES, MeanBrightness, filter_tracks, luma, why_none_is_kept
from dfer_data.synth.heads import load_heads
from dfer_data.synth.people import sample_person
from dfer_data.synth.render import Pose, Scene, render
from dfer_data.types import Detection, FrameFlag, Image, Track
from tests.dfer_data.tiny import CONFIG

LIMITS = replace(CONFIG, all_tracks=True, min_track_frames=16, min_face_px=32, min_track_score=0.85, min_brightness=8)
DETECTED, BETWEEN, GAP = FrameFlag.DETECTED, FrameFlag.BETWEEN_KEYFRAMES, FrameFlag.GAP_FILLED


def track(
    number: int = 0,
    *,
    side: float | tuple[float, float] = 64,
    score: float = 0.99,
    flags: list[FrameFlag] | None = None,
) -> Track:
    """A track with a detection in each of sixteen frames, or with rows of the given flags."""
    rows = flags or [DETECTED] * 16
    width, height = side if isinstance(side, tuple) else (side, side)
    boxes = np.tile(np.array([10, 10, 10 + width, 10 + height], np.float32), (len(rows), 1))
    scores = np.array([score if flag == DETECTED else np.nan for flag in rows], np.float32)
    return Track(number, 0, boxes, np.zeros((len(rows), 5, 2), np.float32), scores, np.array(rows, np.uint8))


def reasons(one: Track, config: PrepareConfig = LIMITS, *, brightness: float | None = 100) -> tuple[str, ...]:
    _, left_out = filter_tracks([one], {} if brightness is None else {one.number: brightness}, config)
    return left_out[0].reasons if left_out else ()


@pytest.mark.parametrize(
    ("flags", "is_short"),
    [
        ([DETECTED] * 16, False),
        ([DETECTED] * 15, True),
        ([DETECTED, BETWEEN, BETWEEN, BETWEEN] * 3 + [DETECTED] * 4, False),
        ([DETECTED, BETWEEN, BETWEEN, BETWEEN] * 3 + [DETECTED] * 3, True),
        ([DETECTED] * 8 + [GAP] * 12 + [DETECTED] * 7, True),
        ([DETECTED] * 8 + [GAP] * 12 + [DETECTED] * 8, False),
    ],
)
def test_frames_between_keyframes_count_and_those_of_gaps_do_not(flags: list[FrameFlag], is_short: bool) -> None:
    assert reasons(track(flags=flags)) == (("short",) if is_short else ())


@pytest.mark.parametrize(
    ("side", "is_small"), [(32, False), (31.9, True), ((16, 64), False), ((16, 63), True), ((200, 4), True)]
)
def test_the_side_of_a_face_is_the_root_of_its_area(side: float | tuple[float, float], is_small: bool) -> None:
    assert reasons(track(side=side)) == (("small",) if is_small else ())


def test_sides_and_scores_are_means_over_detections_alone() -> None:
    one = track(flags=[DETECTED] * 8 + [GAP] * 4 + [DETECTED] * 8)
    one.boxes[8:12] = 0
    one.boxes[:8] = [0, 0, 20, 20]
    one.boxes[12:] = [0, 0, 46, 46]
    one.scores[:8], one.scores[12:] = 0.75, 0.97
    _, (measured,) = filter_tracks([one], {}, replace(LIMITS, min_track_score=0.9))
    assert measured.face_px == pytest.approx(33)
    assert measured.mean_score == pytest.approx(0.86)
    assert (measured.num_frames, measured.brightness, measured.reasons) == (16, None, ("doubtful",))


@pytest.mark.parametrize(("score", "is_doubtful"), [(0.86, False), (0.84, True)])
def test_a_low_mean_score_leaves_a_track_out(score: float, is_doubtful: bool) -> None:
    assert reasons(track(score=score)) == (("doubtful",) if is_doubtful else ())


@pytest.mark.parametrize(("brightness", "is_dark"), [(8, False), (7.9, True), (None, False)])
def test_a_dark_face_is_left_out_where_it_was_measured(brightness: float | None, is_dark: bool) -> None:
    assert reasons(track(), brightness=brightness) == (("dark",) if is_dark else ())


@pytest.mark.parametrize(("setting", "reason"), [(rule.setting, reason) for reason, rule in RULES.items()])
def test_each_limit_can_be_off(setting: str, reason: str) -> None:
    bad = track(side=5, score=0.7, flags=[DETECTED] * 2)
    assert reasons(bad, brightness=1) == tuple(RULES)
    without = replace(LIMITS, **{setting: None})  # type: ignore[arg-type]
    assert reasons(bad, without, brightness=1) == tuple(other for other in RULES if other != reason)
    assert reasons(bad, replace(CONFIG, all_tracks=True), brightness=1) == ()


def test_every_limit_is_a_rule() -> None:
    assert tuple(rule.setting for rule in RULES.values()) == TRACK_LIMITS


def test_tracks_keep_their_numbers_and_their_order() -> None:
    tracks = [track(0), track(1, side=5), track(2), track(3, flags=[DETECTED]), track(4)]
    kept, left_out = filter_tracks(tracks, {4: 2.0}, LIMITS)
    assert [one.number for one in kept] == [0, 2]
    assert [(one.track, one.reasons) for one in left_out] == [(1, ("small",)), (3, ("short",)), (4, ("dark",))]


def test_the_reasons_are_counted_where_no_track_is_kept() -> None:
    tracks = [track(0, side=5), track(1, side=6), track(2, flags=[DETECTED] * 3, score=0.8)]
    kept, left_out = filter_tracks(tracks, {}, LIMITS)
    assert not kept
    message, _ = why_none_is_kept(left_out, LIMITS)
    assert (
        message == "none of 3 face tracks makes a clip: 1 with fewer than 16 frames, 2 with a face smaller than 32 px"
    )
    alone, _ = why_none_is_kept(left_out[2:], LIMITS)
    assert alone == "the only face track has fewer than 16 frames and a mean score below 0.85"


@pytest.mark.parametrize(
    ("one", "brightness"),
    [
        (track(1, flags=[DETECTED] * 9), 100.0),
        (track(1, side=20.7), 100.0),
        (track(1, score=0.7153), 100.0),
        (track(1), 3.14159),
        (track(1, side=7, score=0.8, flags=[DETECTED] * 2), 0.01),
    ],
)
def test_the_hint_keeps_the_track_that_lacks_least(one: Track, brightness: float) -> None:
    worse = track(0, side=4, score=0.701, flags=[DETECTED])
    measured = {0: 0.005, 1: brightness}
    _, left_out = filter_tracks([worse, one], measured, LIMITS)
    _, hint = why_none_is_kept(left_out, LIMITS)
    assert hint.startswith("to keep track 1: --min-")
    by_flag = {f"--{name.replace('_', '-')}": name for name in TRACK_LIMITS}
    lowered = {by_flag[flag]: float(value) for flag, value in re.findall(r"(--[a-z-]+) ([0-9.]+)", hint)}
    if "min_track_frames" in lowered:
        lowered["min_track_frames"] = int(lowered["min_track_frames"])
    kept, _ = filter_tracks([worse, one], measured, replace(LIMITS, **lowered))  # type: ignore[arg-type]
    assert [other.number for other in kept] == [1]


@pytest.fixture(scope="module")
def heads(heads_wheel: Path) -> list[tuple[Image, np.ndarray, Image]]:
    """Rendered heads of the lightest and darkest skins: picture, landmarks, picture without the head."""
    model = load_heads(heads_wheel)
    light = np.array([0.2, 0.3, 0.93], np.float32)
    made = []
    for identity in range(8):
        wall = np.full((200, 240, 3), (150, 170, 190), np.uint8)
        scene = Scene(wall, (120, 90), 50, light, 0.5, np.ones(3, np.float32))
        picture, landmarks = render(sample_person(model, identity=identity, seed=3), scene, Pose({}, 0, 0, 0, (0, 0)))
        made.append((picture, landmarks, wall))
    return made


def brightness_of(picture: Image, landmarks: np.ndarray) -> float:
    box = np.concatenate([landmarks.min(axis=0) - 15, landmarks.max(axis=0) + 15]).astype(np.float32)
    (one,) = described(picture, [Detection(box, 0.9, landmarks)], scheme="eyes-nose-mouth")
    assert one.appearance is not None
    return luma(one.appearance)


@pytest.mark.parametrize(("gain", "is_dark"), [(1.0, False), (0.5, False), (0.3, False), (0.2, False), (0.02, True)])
@pytest.mark.parametrize("is_backlit", [False, True])
def test_a_head_in_little_light_stays_and_a_black_one_goes(
    heads: list[tuple[Image, np.ndarray, Image]], gain: float, is_dark: bool, is_backlit: bool
) -> None:
    """A bright wall behind a black face does not make it bright."""
    for picture, landmarks, wall in heads:
        dimmed = np.asarray(np.rint(picture * gain), np.uint8)
        if is_backlit:
            dimmed = np.where((picture == wall).all(axis=2, keepdims=True), wall, dimmed)
        assert bool(reasons(track(), brightness=brightness_of(dimmed, landmarks))) == is_dark


def test_the_brightness_is_a_mean_over_detections(heads: list[tuple[Image, np.ndarray, Image]]) -> None:
    picture, landmarks, _ = heads[0]
    box = np.array([80, 50, 160, 150], np.float32)
    mean = MeanBrightness()
    values = []
    for gain in (1.0, 0.5):
        dimmed = np.asarray(np.rint(picture * gain), np.uint8)
        (one,) = described(dimmed, [Detection(box, 0.9, landmarks)], scheme="eyes-nose-mouth")
        mean.add(3, one.appearance)
        values.append(brightness_of(dimmed, landmarks))
    mean.add(4, None)
    assert mean.by_track == {3: pytest.approx(sum(values) / 2)}
