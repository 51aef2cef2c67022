from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from dfer_data.auditing import identity
from dfer_data.auditing.identity import MOST_WRONG, ClipVectors, choose_limit, near_pairs, persons


def people(num_people: int, num_clips: int, *, spread: float, seed: int = 0) -> ClipVectors:
    """Return embeddings of clips, those of one person after each other."""
    rng = np.random.default_rng(seed)
    faces = rng.normal(0, 0.5 / np.sqrt(128), (num_people, 1, 128))
    clips = faces + rng.normal(0, spread / np.sqrt(128), (num_people, num_clips, 128))
    return np.asarray(clips.reshape(-1, 128), np.float32)


def all_distances(a: ClipVectors, b: ClipVectors) -> npt.NDArray[np.float64]:
    return np.asarray(np.linalg.norm(a[:, None].astype(np.float64) - b[None], axis=2), np.float64)


def test_the_limit_separates_people_and_its_estimate_is_right() -> None:
    vectors = people(40, 10, spread=0.25)
    limit = choose_limit(vectors)
    pairs = list(near_pairs(vectors, None, limit.distance))
    wrong = sum(a // 10 != b // 10 for a, b, _ in pairs)
    assert len(pairs) - wrong > 0.95 * 40 * 45
    assert wrong / len(pairs) <= 2 * MOST_WRONG
    assert 0 < limit.wrong_share <= MOST_WRONG
    assert limit.median == pytest.approx(float(np.median(all_distances(vectors, vectors))), abs=0.01)


def test_no_pair_is_named_where_nobody_is_seen_twice() -> None:
    limit = choose_limit(people(300, 1, spread=0.1))
    assert limit.distance == 0
    assert list(near_pairs(people(300, 1, spread=0.1), None, limit.distance)) == []


def test_a_sample_gives_nearly_the_limit_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = people(80, 10, spread=0.25)
    whole = choose_limit(vectors)
    monkeypatch.setattr(identity, "_SAMPLE", 400)
    sampled = choose_limit(vectors)
    assert sampled.num_clips == 800
    assert sampled.distance == pytest.approx(whole.distance, abs=0.03)


def test_pairs_are_those_of_a_plain_search(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, others = people(6, 5, spread=0.2), people(6, 4, spread=0.25)
    expected = [(a, b) for a, b in combinations(range(30), 2) if all_distances(vectors, vectors)[a, b] <= 0.4]
    assert [pair[:2] for pair in near_pairs(vectors, None, 0.4)] == expected
    between = np.argwhere(all_distances(vectors, others) <= 0.5).tolist()
    monkeypatch.setattr(identity, "_BLOCK_VALUES", 70)
    assert [list(pair[:2]) for pair in near_pairs(vectors, others, 0.5)] == between
    monkeypatch.setattr(identity, "NEAREST", 1)
    nearest = list(near_pairs(vectors, None, 1.0))
    assert {clip for pair in nearest for clip in pair[:2]} == set(range(30))
    assert len(nearest) < 30


def test_a_chain_of_near_clips_is_not_one_person() -> None:
    line = np.zeros((9, 128), np.float32)
    line[:, 0] = np.arange(9)  # each is near the next one only
    pairs = [(number, number + 1, 1.0) for number in range(8)]
    groups = persons(line, pairs, 1.5)
    assert groups == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    assert len(set(persons(line, pairs, 0.5))) == 9
    assert len(set(persons(line, pairs, 100.0))) == 1


def test_a_person_decides_who_is_one() -> None:
    vectors = people(2, 4, spread=0.05)
    pairs = list(near_pairs(vectors, None, 0.3))
    assert persons(vectors, pairs, 0.3) == [0] * 4 + [1] * 4
    apart = persons(vectors, pairs, 0.3, different=[(0, 1)])
    assert apart[0] != apart[1]
    assert set(apart[:4]).isdisjoint(apart[4:])
