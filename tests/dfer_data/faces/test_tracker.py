from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_data.faces.subject import choose_subject
from dfer_data.faces.tracker import link
from dfer_data.types import Detection, Track
from tests.dfer_data.tiny import face

IOU, MAX_GAP = 0.3, 3

detections_of_a_frame = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60), st.sampled_from([18, 24, 32])), max_size=4, unique=True
)


def linked(frames: list[list[Detection]], *, max_gap_frames: int = MAX_GAP) -> list[Track]:
    return link(frames, iou=IOU, max_gap_frames=max_gap_frames)


def boxes_by_frame(tracks: list[Track]) -> list[tuple[int, tuple[float, ...]]]:
    return sorted(
        (track.first_frame + int(row), tuple(track.boxes[row].tolist()))
        for track in tracks
        for row in np.flatnonzero(track.is_detected)
    )


@settings(max_examples=60)
@given(st.lists(detections_of_a_frame, max_size=12))
def test_every_detection_lands_in_exactly_one_track(numbers: list[list[tuple[int, int, int]]]) -> None:
    frames = [[face(x, y, side=side) for x, y, side in frame] for frame in numbers]
    tracks = linked(frames)
    wanted = sorted((index, tuple(one.box.tolist())) for index, found in enumerate(frames) for one in found)
    assert boxes_by_frame(tracks) == wanted
    assert [track.first_frame for track in tracks] == sorted(track.first_frame for track in tracks)
    for track in tracks:
        assert track.is_detected[0]
        assert track.is_detected[-1]
        gaps = np.diff(np.flatnonzero(track.is_detected)) - 1
        assert gaps.max(initial=0) <= MAX_GAP
        assert np.isfinite(track.boxes).all()
        assert np.isfinite(track.landmarks).all()
        assert np.isnan(track.scores).tolist() == (~track.is_detected).tolist()


@settings(max_examples=40)
@given(st.lists(detections_of_a_frame, max_size=8), st.randoms(use_true_random=False))
def test_the_order_of_detections_in_a_frame_changes_nothing(
    numbers: list[list[tuple[int, int, int]]], random: Random
) -> None:
    # Offsets that differ for every face rule out ties, which go to the lower number by definition.
    frames = [
        [face(x + 0.013 * i + 0.0007 * t, y + 0.031 * i, side=s) for i, (x, y, s) in enumerate(frame)]
        for t, frame in enumerate(numbers)
    ]
    shuffled = [list(frame) for frame in frames]
    for frame in shuffled:
        random.shuffle(frame)

    def contents(tracks: list[Track]) -> list[tuple[int, bytes, bytes]]:
        return sorted((track.first_frame, track.boxes.tobytes(), track.landmarks.tobytes()) for track in tracks)

    assert contents(linked(shuffled)) == contents(linked(frames))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, MAX_GAP)), min_size=1, max_size=5))
def test_a_slow_face_stays_one_track_over_short_gaps(stretches: list[tuple[int, int]]) -> None:
    visible = [True, *(flag for seen, gap in stretches for flag in [True] * seen + [False] * gap), True]
    frames = [[face(10 + 0.5 * i, 5 + 0.25 * i)] if seen else [] for i, seen in enumerate(visible)]
    (track,) = linked(frames)
    wanted = [face(10 + 0.5 * i, 5 + 0.25 * i) for i in range(len(visible))]
    assert (track.first_frame, len(track)) == (0, len(visible))
    np.testing.assert_allclose(track.boxes, [one.box for one in wanted], atol=1e-5)
    np.testing.assert_allclose(track.landmarks, [one.landmarks for one in wanted], atol=1e-5)
    assert track.is_detected.tolist() == visible
    assert track.num_detected == sum(visible)


@pytest.mark.parametrize(("gap", "lengths"), [(MAX_GAP, [MAX_GAP + 4]), (MAX_GAP + 1, [2, 2])])
def test_the_longest_gap_that_is_filled(gap: int, lengths: list[int]) -> None:
    seen = [face(10, 10)]
    tracks = linked([seen, seen, *([[]] * gap), seen, seen])
    assert [len(track) for track in tracks] == lengths
    assert tracks[-1].first_frame == (0 if len(lengths) == 1 else 2 + gap)


@pytest.mark.parametrize(
    ("part", "lengths"),
    [
        pytest.param(face(30, 30, side=20), [14], id="a cheek"),
        pytest.param(face(30, 30, side=26), [14, 5], id="more than half as large"),
        pytest.param(face(100, 30, side=20), [14, 5], id="beside it"),
    ],
)
def test_a_part_of_a_face_that_was_just_lost_begins_no_track(part: Detection, lengths: list[int]) -> None:
    whole = [face(10, 10, side=50)]
    tracks = linked([whole, whole, whole, *([[part]] * 5), *([whole] * 6)], max_gap_frames=6)
    assert [len(track) for track in tracks] == lengths


def test_a_small_face_before_a_larger_one_is_a_face_and_so_is_one_where_a_face_has_left() -> None:
    large, small = face(10, 10, side=50), face(30, 30, side=20)
    assert [len(track) for track in linked([[large, small]] * 4)] == [4, 4]
    frames = [[large]] * 2 + [[small]] * 8
    assert [(track.first_frame, len(track)) for track in linked(frames)] == [(0, 2), (2 + MAX_GAP + 1, 8 - MAX_GAP - 1)]


def test_a_shot_cut_splits_the_track() -> None:
    tracks = linked([[face(0, 0)], [face(1, 0)], [face(60, 40)], [face(61, 40)]])
    assert [(track.first_frame, len(track)) for track in tracks] == [(0, 2), (2, 2)]


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.floats(-2, 2)] * 4, st.sampled_from(["both", "a", "b"])), min_size=1, max_size=15))
def test_two_faces_apart_never_swap(moves: list[tuple[float, float, float, float, str]]) -> None:
    a, b = np.array([20.0, 20.0]), np.array([90.0, 20.0])
    frames = [[face(*a), face(*b)]]
    for ax, ay, bx, by, seen in moves:
        a, b = a + np.array([ax, ay]), b + np.array([bx, by])
        pair = [face(*a), face(*b)]
        # The better score comes first, as detectors give it: which face that is changes from frame to frame.
        both = pair if len(frames) % 2 else pair[::-1]
        frames.append(both if seen == "both" else pair[:1] if seen == "a" else pair[1:])
    tracks = linked(frames, max_gap_frames=len(frames))
    assert len(tracks) == 2
    for track, side in zip(tracks, (0, 1), strict=True):
        assert bool((track.boxes[:, 0] > 55).all()) == bool(side)
        assert bool((track.boxes[:, 0] < 55).all()) == (not side)


def test_no_frames_and_no_faces() -> None:
    assert linked([]) == []
    assert linked([[], []]) == []
    assert choose_subject([], width_px=100, height_px=100) is None


def still(left: float, top: float, *, num_frames: int = 10, side: float = 20) -> list[list[Detection]]:
    return [[face(left, top, side=side)] for _ in range(num_frames)]


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (still(40, 40, num_frames=10), still(40, 40, num_frames=6)),
        (still(35, 35, side=30), still(40, 40, side=20)),
        (still(40, 40), still(5, 70)),
    ],
    ids=["longer", "larger", "more central"],
)
def test_the_subject_is_the_longer_larger_more_central_track(
    better: list[list[Detection]], worse: list[list[Detection]]
) -> None:
    (good,), (bad,) = linked(better), linked(worse)
    for tracks in ([good, bad], [bad, good]):
        subject = choose_subject(tracks, width_px=100, height_px=100)
        assert subject is not None
        assert subject.track is good
        assert 0 < subject.ambiguity < 1


def test_frames_filled_in_count_for_nothing() -> None:
    (full,) = linked(still(40, 40, num_frames=5))
    (holes,) = linked([*still(40, 40, num_frames=2), [], [], [], *still(40, 40, num_frames=2)])
    subject = choose_subject([holes, full], width_px=100, height_px=100)
    assert subject is not None
    assert (len(holes), len(full)) == (7, 5)
    assert subject.track is full


def test_the_weight_is_the_documented_one() -> None:
    (centred,) = linked(still(40, 40, num_frames=10))  # its centre is (50, 50)
    (corner,) = linked(still(-10, -10, num_frames=10))  # its centre is (0, 0), one half diagonal away
    subject = choose_subject([centred, corner], width_px=101, height_px=101)
    assert subject is not None
    half_diagonal = np.hypot(101, 101) / 2
    assert subject.ambiguity == pytest.approx(1 - np.hypot(50, 50) / half_diagonal / 2)


def test_a_tie_goes_to_the_earlier_track_and_is_wholly_ambiguous() -> None:
    frames = [[face(10, 40)] if i < 5 else [face(70, 40)] for i in range(10)]
    tracks = linked(frames)
    subject = choose_subject(tracks, width_px=101, height_px=101)
    assert subject is not None
    assert subject.track.first_frame == 0
    assert subject.ambiguity == 1.0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.floats(-5000, 5000), st.floats(-5000, 5000), st.integers(1, 4)), min_size=1, max_size=5))
def test_ambiguity_is_a_share(places: list[tuple[float, float, int]]) -> None:
    """Boxes far outside the picture weigh nothing; that must not divide by zero."""
    tracks = [track for x, y, n in places for track in linked(still(x, y, num_frames=n))]
    subject = choose_subject(tracks, width_px=100, height_px=80)
    assert subject is not None
    assert 0.0 <= subject.ambiguity <= 1.0
    assert subject.ambiguity == 0.0 or len(tracks) > 1
