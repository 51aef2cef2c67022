"""Which clips make which batch: a function of (seed, epoch), cut among ranks without repeats or losses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ClipNumbers = npt.NDArray[np.int64]
_ORDER_STREAM, _CLASS_STREAM = 3, 4  # keep these draws apart from the frames' and the augmentation's


def shuffled(num_clips: int, *, seed: int, epoch: int) -> ClipNumbers:
    """Return the clips' numbers (num_clips,) in the order of an epoch."""
    return np.random.default_rng((seed, epoch, _ORDER_STREAM)).permutation(num_clips)


def class_shares(labels: ClipNumbers, *, num_classes: int, power: float) -> tuple[float, ...]:
    """Return how much of an epoch each class gets when that goes by (number of its clips) ** power; sums to 1.

    1: as the clips are; 0.5: by the square root; 0: every class that has clips as much as any other.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
    return tuple((weights / weights.sum()).tolist())


def resampled(labels: ClipNumbers, shares: Sequence[float], *, seed: int, epoch: int) -> ClipNumbers:
    """Return the clips' numbers (num_clips,) of an epoch in which each class has its share of the places.

    A class goes through its clips in one permutation after the other, and an epoch goes on where the one before it
    stopped: no clip is seen twice more often than another of its class. Shares are rounded to whole clips by largest
    remainder. ValueError for shares that are not positive for a class with clips, or are for one without.
    """
    counts = np.bincount(labels, minlength=len(shares))
    weights = np.asarray(shares, np.float64)
    if len(counts) > len(weights) or not (weights >= 0).all() or ((weights > 0) & (counts == 0)).any():
        raise ValueError(f"shares {shares} for classes of {counts.tolist()} clips")
    exact = weights / weights.sum() * len(labels)
    places = np.floor(exact).astype(np.int64)
    places[np.argsort(places - exact, kind="stable")[: len(labels) - places.sum()]] += 1
    drawn = [
        _next_of_class(np.flatnonzero(labels == number), int(wanted), (seed, number, _CLASS_STREAM), epoch=epoch)
        for number, wanted in enumerate(places)
        if wanted
    ]
    return np.concatenate(drawn)[shuffled(len(labels), seed=seed, epoch=epoch)]


def _next_of_class(members: ClipNumbers, wanted: int, stream: tuple[int, ...], *, epoch: int) -> ClipNumbers:
    """Return `wanted` members at the places of this epoch in the endless row of their permutations."""
    first, last = epoch * wanted, (epoch + 1) * wanted
    passes = range(first // len(members), (last - 1) // len(members) + 1)
    row = np.concatenate([np.random.default_rng((*stream, number)).permutation(members) for number in passes])
    return row[first - passes.start * len(members) :][:wanted]


def steps(order: ClipNumbers, *, batch_size: int, world_size: int = 1, min_clips: int = 1) -> list[ClipNumbers]:
    """Cut an order into steps, of which each rank takes every `world_size`-th clip as its batch (`of_rank`).

    A step takes the next `batch_size * world_size` clips: the steps of several ranks see what one rank with a batch as
    many times as large sees. The last step may have fewer, and one rank a clip more than another. If it has fewer than
    `min_clips` clips a rank (batch norm needs two), it joins the step before it.
    """
    if batch_size < 1 or world_size < 1:
        raise ValueError(f"batch_size {batch_size}, {world_size} ranks")
    size = batch_size * world_size
    starts = list(range(0, len(order), size))
    if len(starts) > 1 and len(order) - starts[-1] < min_clips * world_size:
        starts.pop()
    return [order[a:b] for a, b in itertools.pairwise([*starts, len(order)])]


def of_rank(step: ClipNumbers, *, rank: int, world_size: int) -> ClipNumbers:
    """Return a rank's batch of a step. ValueError for a rank that there is not."""
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} of {world_size}")
    return step[rank::world_size]
