from __future__ import annotations

import numpy as np
import pytest

from dfer_data.auditing import candidates
from dfer_data.auditing.candidates import candidate_pairs
from dfer_data.auditing.frame_hashes import StoredFilm
from tests.dfer_data.auditing.scene import film_of_hashes


@pytest.fixture
def films() -> list[StoredFilm]:
    rng = np.random.default_rng(0)
    lengths = [9, 30, 3, 16, 26, 12]
    random = [rng.normal(0, 1, (length, 63)) for length in lengths]
    random += [random[1] + rng.normal(0, 0.1, (30, 63)), random[3][2:]]
    made = [film_of_hashes(each, rate=6.0) for each in random]
    return [*made, film_of_hashes(made[4].film().mirrored.hashes, rate=6.0)]


def test_only_clips_that_look_alike_are_candidates(films: list[StoredFilm]) -> None:
    assert sorted(candidate_pairs(films, num_own=9)) == [(1, 6, False), (3, 7, False), (4, 8, True)]
    assert sorted(candidate_pairs(films, num_own=2)) == [(1, 6, False)]
    assert list(candidate_pairs(films[:1], num_own=1)) == []


def test_the_size_of_blocks_does_not_matter(films: list[StoredFilm], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sorted(candidate_pairs(films, num_own=9))
    steps: list[tuple[int, int]] = []
    monkeypatch.setattr(candidates, "_BLOCK_FRAMES", 20)
    blocked = candidate_pairs(films, num_own=9, on_block=lambda done, total: steps.append((done, total)))
    assert sorted(blocked) == expected
    assert len(steps) > 3
    assert steps[-1][0] == steps[-1][1]
