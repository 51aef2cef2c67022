"""Which clips may show the same person, from embeddings of their faces: a limit of each dataset's own, pairs, persons.

The limit: most pairs of clips show two people, so the upper half of all distances is theirs. A normal distribution with
the median and the spread of this half says how many pairs of two people are nearer than any distance (an empirical
null, Efron 2004); the limit is the largest distance of which at most a twentieth of the nearer pairs are expected to be
wrong.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

ClipVectors = npt.NDArray[np.float32]
"""(N, 128): one embedding per clip."""
LEAST_CLIPS = 50
"""Fewer have too few distances for a limit."""
MOST_WRONG = 0.05
"""Share of the named pairs that are expected to show two people."""
MOST_DISTANCE = 0.6
"""No limit is larger: that of dlib's authors for two pictures."""
NEAREST = 50
"""A pair is named if one of its clips is among so many nearest ones of the other: clips of one person are many."""
_SAMPLE, _NUM_BINS, _WIDEST = 20_000, 4096, 2.0
_BLOCK_VALUES = 2**22
_UPPER = 0.95


@dataclass(frozen=True)
class IdentityLimit:
    """The largest distance of a pair that is named, and what is expected of the pairs below it."""

    distance: float
    num_clips: int
    wrong_share: float
    """Estimated share of named pairs that show two people."""
    median: float
    """Distance of two clips."""
    spread: float
    """Standard deviation of the distances of two people, as estimated."""


def choose_limit(vectors: ClipVectors) -> IdentityLimit:
    """Return the limit for the clips of a dataset; its distance is 0 where no pair is near enough to be named."""
    sample = vectors
    if len(vectors) > _SAMPLE:
        sample = vectors[np.sort(np.random.default_rng(0).choice(len(vectors), _SAMPLE, replace=False))]
    counts = np.zeros(_NUM_BINS, np.int64)
    for first, distances in _blocks(sample, sample):
        for row, values in enumerate(distances, start=first):
            bins = np.minimum(values[row + 1 :] * (_NUM_BINS / _WIDEST), _NUM_BINS - 1).astype(np.int64)
            counts += np.bincount(bins, minlength=_NUM_BINS)
    below, edges = np.cumsum(counts), np.arange(1, _NUM_BINS + 1) * (_WIDEST / _NUM_BINS)
    median, upper = (float(np.interp(share * below[-1], below, edges)) for share in (0.5, _UPPER))
    spread = max((upper - median) / NormalDist().inv_cdf(_UPPER), 1e-6)
    null = NormalDist(median, spread)
    wrong = np.array([null.cdf(edge) for edge in edges.tolist()]) * below[-1] / np.maximum(below, 1)
    usable = np.flatnonzero((below > 0) & (wrong <= MOST_WRONG) & (edges <= MOST_DISTANCE))
    chosen = int(usable[-1]) if len(usable) else -1
    return IdentityLimit(
        round(float(edges[chosen]), 4) if len(usable) else 0.0,
        len(vectors),
        round(float(wrong[chosen]), 4) if len(usable) else 0.0,
        round(median, 4),
        round(spread, 4),
    )


def near_pairs(own: ClipVectors, others: ClipVectors | None, limit: float) -> Iterator[tuple[int, int, float]]:
    """Yield numbers and distance of each pair within a limit, in order: of own clips, or of one and another's.

    At most the `NEAREST` pairs of each own clip, and of each other one.
    """
    nearest: dict[tuple[int, int], float] = {}
    for queries, points, is_turned in ((own, own if others is None else others, False), (others, own, True)):
        if queries is None:
            continue
        for first, distances in _blocks(queries, points):
            for row, values in enumerate(distances, start=first):
                if others is None:
                    values[row] = np.inf
                near = np.flatnonzero(values <= limit)
                near = near[np.argsort(values[near], kind="stable")[:NEAREST]]
                for other in near.tolist():
                    pair = (other, row) if is_turned or (others is None and other < row) else (row, other)
                    nearest[pair] = float(values[other])
    yield from ((a, b, distance) for (a, b), distance in sorted(nearest.items()))


def _blocks(queries: ClipVectors, points: ClipVectors) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield (first query, its and the next ones' distances to all points)."""
    number = max(1, _BLOCK_VALUES // max(1, len(points)))
    squares, columns = (points.astype(np.float64) ** 2).sum(axis=1), points.T.astype(np.float64)
    for first in range(0, len(queries), number):
        block = queries[first : first + number].astype(np.float64)
        squared = (block**2).sum(axis=1)[:, None] + squares - 2 * block @ columns
        yield first, np.sqrt(np.maximum(squared, 0)).astype(np.float32)


def persons(
    vectors: ClipVectors,
    pairs: Sequence[tuple[int, int, float]],
    limit: float,
    *,
    different: Iterable[tuple[int, int]] = (),
) -> list[int]:
    """Return the person of each clip, numbered; clips of one number are taken for one person.

    Average linkage: two groups are joined while the mean square of the distances between their clips is within the
    limit. A chain of near pairs, of which a few are wrong, would join everybody. `different`: pairs that stay apart,
    whatever their distance.
    """
    joined = _Groups(vectors)
    for a, b in different:
        joined.keep_apart(a, b)
    for a, b, _ in pairs:
        joined.connect(a, b)
    heap = [(joined.mean_square(a, b), a, b) for a in sorted(joined.near) for b in sorted(joined.near[a]) if a < b]
    heapq.heapify(heap)
    while heap:
        square, a, b = heapq.heappop(heap)
        if square > limit**2:
            break
        if not (joined.is_root(a) and joined.is_root(b)) or joined.are_apart(a, b):
            continue
        new = joined.join(a, b)
        for other in sorted(joined.near[new]):
            heapq.heappush(heap, (joined.mean_square(other, new), other, new))
    numbers: dict[int, int] = {}
    return [numbers.setdefault(joined.root(clip), len(numbers)) for clip in range(len(vectors))]


class _Groups:
    """Groups of clips with what their mean distances need; a join makes a new group with the next number."""

    def __init__(self, vectors: ClipVectors) -> None:
        self._parent = list(range(len(vectors)))
        self._sums = dict(enumerate(vectors.astype(np.float64)))
        self._squares = {clip: float(vector @ vector) for clip, vector in self._sums.items()}
        self._clips: dict[int, set[int]] = {clip: {clip} for clip in self._parent}
        self._apart: defaultdict[int, set[int]] = defaultdict(set)
        self.near: defaultdict[int, set[int]] = defaultdict(set)
        """Group -> groups of which it has a near pair."""

    def root(self, clip: int) -> int:
        while self._parent[clip] != clip:
            self._parent[clip] = self._parent[self._parent[clip]]
            clip = self._parent[clip]
        return clip

    def is_root(self, group: int) -> bool:
        return self._parent[group] == group

    def connect(self, a: int, b: int) -> None:
        self.near[a].add(b)
        self.near[b].add(a)

    def keep_apart(self, a: int, b: int) -> None:
        self._apart[a].add(b)
        self._apart[b].add(a)

    def are_apart(self, a: int, b: int) -> bool:
        return not self._apart[a].isdisjoint(self._clips[b])

    def mean_square(self, a: int, b: int) -> float:
        """Return the mean square of the distances between the clips of two groups."""
        number_a, number_b = len(self._clips[a]), len(self._clips[b])
        product = float(self._sums[a] @ self._sums[b]) / (number_a * number_b)
        return self._squares[a] / number_a + self._squares[b] / number_b - 2 * product

    def join(self, a: int, b: int) -> int:
        new = len(self._parent)
        self._parent.append(new)
        self._parent[a] = self._parent[b] = new
        self._sums[new] = self._sums.pop(a) + self._sums.pop(b)
        self._squares[new] = self._squares.pop(a) + self._squares.pop(b)
        self._clips[new] = self._clips.pop(a) | self._clips.pop(b)
        self._apart[new] = self._apart.pop(a, set()) | self._apart.pop(b, set())
        self.near[new] = (self.near.pop(a, set()) | self.near.pop(b, set())) - {a, b}
        for other in self.near[new]:
            self.near[other] -= {a, b}
            self.near[other].add(new)
        return new
