"""Compare clips over time by their numbers: clips whose hashes are equal are compared with another one once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from dfer_data.auditing.frame_hashes import Film, StoredFilm
from dfer_data.auditing.time_alignment import TimeMatch, best_match

_KEPT_MATCHES, _KEPT_FILMS = 2**16, 4


class FilmMatcher:
    """Returns what `best_match` does; hundreds of copies of one file cost little more than one."""

    def __init__(self, films: Sequence[StoredFilm]) -> None:
        """Take the films of all clips."""
        first: dict[tuple[bytes, float], int] = {}
        equal = [first.setdefault(_content(film), number) for number, film in enumerate(films)]

        @lru_cache(maxsize=_KEPT_FILMS)
        def opened(number: int, is_mirrored: bool) -> Film:
            film = films[number].film()
            return film.mirrored if is_mirrored else film

        @lru_cache(maxsize=_KEPT_MATCHES)
        def matched(a: int, b: int, is_mirrored: bool) -> TimeMatch | None:
            return best_match(opened(a, is_mirrored), films[b].film())

        self._equal, self._matched = equal, matched

    def match(self, a: int, b: int, *, is_mirrored: bool) -> TimeMatch | None:
        """Return the strongest match of two films, the first one mirrored or not."""
        return self._matched(self._equal[a], self._equal[b], is_mirrored)


def _content(film: StoredFilm) -> tuple[bytes, float]:
    return hashlib.sha256(film.stored.tobytes()).digest(), film.rate
