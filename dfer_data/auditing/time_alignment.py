"""Compare two clips over time: the offset and speed at which one shows what the other shows.

Two clips of one person in one scene look alike, frame by frame. Only in a copy do the same changes happen at the same
moments: `agreement` is the correlation of what changes, over the frames of both, after the mean of each is taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from dfer_data.auditing.frame_hashes import Film, Vectors

LEAST_SHARED_FRAMES = 8
"""Frames that two clips must share; a clip with fewer is not compared."""
SPEEDS = (1.0, 0.95, 1 / 0.95, 0.9, 1 / 0.9, 0.85, 1 / 0.85)
_DISCOUNT = 1.5
"""Of a short match: the best of many offsets agrees by chance in a few frames."""
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, order=True)
class TimeMatch:
    """The best place of clip B on the time of clip A."""

    strength: float
    """Agreement, weighted by the number of frames, those of a slowed copy counted once; what decides."""
    agreement: float
    """Correlation of the changes over time, -1 to 1."""
    similarity: float
    """Mean cosine of the hashes of matched frames."""
    num_frames: int
    """Frames of A that are matched."""
    first_a: int
    """First matched frame of A."""
    first_b: int
    """Frame of B that is matched with it."""
    speed: float
    """Frames of B per frame of A, as time: 1.1 is a copy B that is 10 % slower."""


@dataclass(frozen=True, eq=False)
class _Summed:
    """Hashes without the shifts of the clip that others are compared with, and their sums over time."""

    values: Vectors
    """(T, 63)."""
    sums: Vectors
    """(T + 1, 63): of the first 0, 1, ... frames."""
    squares: Vectors
    """(T + 1,): of the squares of the first 0, 1, ... frames."""


def best_match(a: Film, b: Film) -> TimeMatch | None:
    """Return the strongest match of two clips; None where they share too few frames.

    Fast for one object `a` after the other, each with many `b`.
    """
    if min(len(a.hashes), len(b.hashes)) < LEAST_SHARED_FRAMES:
        return None
    inside = _inside(a)
    others = b.hashes - b.hashes @ a.shifts @ a.shifts.T
    per_frame = b.rate / a.rate if a.rate and b.rate else 1.0
    best: TimeMatch | None = None
    for speed in SPEEDS:
        frames = _resampled(len(others), speed * per_frame)
        if len(frames) < LEAST_SHARED_FRAMES:
            continue
        found = _best_line(inside, _summed(others[frames]), frames, speed)
        best = max(best, found) if best is not None else found
    return best


@lru_cache(maxsize=2)
def _inside(film: Film) -> _Summed:
    """Return the hashes of a film without its own shifts."""
    return _summed(film.hashes - film.hashes @ film.shifts @ film.shifts.T)


def _summed(values: Vectors) -> _Summed:
    return _Summed(values, _running(values), _running(np.einsum("td,td->t", values, values)))


def _resampled(num_frames: int, step: float) -> _Ints:
    """Return the frames of B that are nearest to the times of A's frames."""
    return np.asarray(np.rint(np.arange(0, num_frames - 1 + 1e-9, step)), np.int64)


def _best_line(a: _Summed, b: _Summed, frames: _Ints, speed: float) -> TimeMatch:
    num_a, num_b = len(a.values), len(b.values)
    offsets = np.arange(
        LEAST_SHARED_FRAMES - num_a, num_b - LEAST_SHARED_FRAMES + 1
    )  # frame i of a with frame i + offset of b
    begin, end = np.maximum(0, -offsets), np.minimum(num_a, num_b - offsets)
    number = end - begin
    total = _diagonal_sums(a.values @ b.values.T)[offsets + num_a - 1] / number
    centre_a = (a.sums[end] - a.sums[begin]) / number[:, None]
    centre_b = (b.sums[end + offsets] - b.sums[begin + offsets]) / number[:, None]
    square_a = (a.squares[end] - a.squares[begin]) / number
    square_b = (b.squares[end + offsets] - b.squares[begin + offsets]) / number
    changes_a = square_a - np.einsum("od,od->o", centre_a, centre_a)
    changes_b = square_b - np.einsum("od,od->o", centre_b, centre_b)
    together = total - np.einsum("od,od->o", centre_a, centre_b)
    agreement = together / np.sqrt(np.maximum(changes_a * changes_b, 1e-12))
    similarity = total / np.sqrt(np.maximum(square_a * square_b, 1e-12))
    strength = agreement * (1 - _DISCOUNT / np.sqrt(number * min(1.0, speed)))  # a frame of B, shown twice, counts once
    best = int(np.argmax(strength))
    return TimeMatch(
        round(float(strength[best]), 4),
        round(float(agreement[best]), 4),
        round(float(similarity[best]), 4),
        int(number[best]),
        int(begin[best]),
        int(frames[begin[best] + offsets[best]]),
        speed,
    )


def _diagonal_sums(products: Vectors) -> Vectors:
    """Return the sum of each diagonal of an (n, m) array, from that of offset 1 - n to that of offset m - 1."""
    n, m = products.shape
    padded = np.zeros((n, n + m))
    padded[:, :m] = products[::-1]
    return np.asarray(padded.ravel()[: n * (n + m - 1)].reshape(n, n + m - 1).sum(axis=0))


def _running(values: Vectors) -> Vectors:
    """Return the sums of the first 0, 1, ... rows."""
    sums = np.zeros((len(values) + 1, *values.shape[1:]))
    np.cumsum(values, axis=0, out=sums[1:])
    return sums
