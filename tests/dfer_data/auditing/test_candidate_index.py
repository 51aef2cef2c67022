from __future__ import annotations

import sys

import numpy as np
import pytest

from dfer_data.auditing import candidate_index, candidates
from dfer_data.auditing.candidates import candidate_pairs
from dfer_data.auditing.frame_hashes import StoredFilm
from dfer_data.errors import UsageError
from tests.dfer_data.auditing.scene import film_of_hashes


@pytest.fixture(scope="module")
def films() -> list[StoredFilm]:
    """300 clips; 0 and 1, 2 and 3... to 59 are copies, every third of them mirrored."""
    rng = np.random.default_rng(3)
    made = [rng.normal(0, 1, 63) + rng.normal(0, 0.15, (int(rng.integers(8, 30)), 63)) for _ in range(300)]
    for number in range(0, 60, 2):
        copy = film_of_hashes(made[number] + rng.normal(0, 0.05, made[number].shape), rate=6.0)
        made[number + 1] = copy.film().mirrored.hashes if number % 3 == 0 else copy.film().hashes
    return [film_of_hashes(each, rate=6.0) for each in made]


def test_an_index_finds_what_the_comparison_of_all_finds(
    films: list[StoredFilm], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss")
    expected = set(candidate_pairs(films, num_own=300))
    assert {(number, number + 1, number % 3 == 0) for number in range(0, 60, 2)} <= expected
    monkeypatch.setattr(candidates, "EXACT_UP_TO", 100)
    monkeypatch.setattr(candidate_index, "_BLOCK_CLIPS", 70)
    steps: list[tuple[int, int]] = []
    found = list(candidate_pairs(films, num_own=300, on_block=lambda done, total: steps.append((done, total))))
    assert expected <= set(found)
    assert len(found) <= 2 * len(expected)
    assert steps[-1] == (5, 5)
    assert {pair for pair in found if pair[0] < 20} == set(candidate_pairs(films, num_own=20))


def test_without_faiss_many_clips_are_one_clear_line(films: list[StoredFilm], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "EXACT_UP_TO", 100)
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(UsageError, match=r"300 clips are too many to compare all; an index needs faiss-cpu: .*index"):
        list(candidate_pairs(films, num_own=300))
