from __future__ import annotations

import itertools

import numpy as np
import pytest

from dfer_data.auditing import film_matcher
from dfer_data.auditing.film_matcher import FilmMatcher
from dfer_data.auditing.frame_hashes import StoredFilm, hashed
from dfer_data.auditing.time_alignment import best_match
from tests.dfer_data.auditing.scene import film


def stored(person: int, take: int, *, rate: float = 25.0, first: int = 0) -> StoredFilm:
    return StoredFilm(hashed([frame[4:60, 4:60, 0] for frame in film(person, take)[first:]]), rate)


def test_every_pair_gets_the_match_of_its_own_films() -> None:
    films = [stored(0, 0), stored(0, 1), stored(0, 0), stored(0, 0, rate=12.5), stored(0, 0, first=9), stored(0, 1)]
    matcher = FilmMatcher(films)
    for (a, first), (b, second) in itertools.product(enumerate(films), repeat=2):
        for is_mirrored in (False, True):
            expected = first.film().mirrored if is_mirrored else first.film()
            assert matcher.match(a, b, is_mirrored=is_mirrored) == best_match(expected, second.film())


def test_equal_films_are_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []

    def counted(*films: object) -> None:
        compared.append(len(films))

    monkeypatch.setattr(film_matcher, "best_match", counted)
    one, other = stored(0, 0), stored(1, 0)
    matcher = FilmMatcher([StoredFilm(np.copy((one, other)[number % 2].stored), 25.0) for number in range(60)])
    for a, b in itertools.combinations(range(60), 2):
        matcher.match(a, b, is_mirrored=False)
    assert len(compared) == 4  # of each with itself, and of both in both orders
