from __future__ import annotations

import numpy as np
import pytest

from dfer_data.auditing.frame_hashes import NUM_VALUES, Film, film_of, hashed
from dfer_data.auditing.run import is_duplicate
from dfer_data.auditing.time_alignment import LEAST_SHARED_FRAMES, best_match
from tests.dfer_data.auditing.scene import film


def hashes(person: int, take: int, first: int = 0, stop: int | None = None) -> Film:
    pictures = [frame[4:60, 4:60, 0] for frame in film(person, take)[first:stop]]
    return film_of(hashed(pictures), rate=25.0)


def test_a_part_is_found_where_it_begins() -> None:
    match = best_match(hashes(0, 0), hashes(0, 0, first=7))
    assert match is not None
    assert (match.first_a, match.first_b, match.num_frames, match.speed) == (7, 0, 19, 1.0)
    assert match.agreement > 0.99
    assert match.similarity > 0.999


def test_other_takes_of_a_person_look_alike_and_do_not_agree() -> None:
    for take in range(1, 6):
        match = best_match(hashes(0, 0), hashes(0, take))
        assert match is not None
        assert not is_duplicate(match)


def test_the_agreement_is_the_correlation_of_the_changes() -> None:
    a, b = hashes(1, 0), hashes(1, 1)
    match = best_match(a, b)
    assert match is not None
    frames = np.rint(np.arange(match.num_frames) * match.speed).astype(int)
    resampled = np.rint(np.arange(0, len(b.hashes) - 1 + 1e-9, match.speed)).astype(int)
    first = resampled.tolist().index(match.first_b)
    frames = resampled[first : first + match.num_frames]
    inside = np.eye(NUM_VALUES) - a.shifts @ a.shifts.T
    x = (a.hashes @ inside)[match.first_a : match.first_a + match.num_frames]
    y = (b.hashes @ inside)[frames]
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    expected = (x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())
    assert match.agreement == pytest.approx(expected, abs=2e-4)


def test_another_frame_rate_is_the_same_time() -> None:
    a = hashes(0, 0)
    half = Film(a.hashes[::2], a.shifts, 12.5)
    match = best_match(half, a)
    assert match is not None
    assert (match.speed, match.num_frames, match.first_b) == (1.0, 13, 0)


def test_short_clips_are_not_compared() -> None:
    assert best_match(hashes(0, 0), hashes(0, 0, stop=LEAST_SHARED_FRAMES - 1)) is None
    assert best_match(hashes(0, 0), hashes(0, 0, stop=LEAST_SHARED_FRAMES)) is not None
