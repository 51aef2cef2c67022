"""The batches of an epoch: a function of (seed, epoch), split among ranks without repeats or losses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

ClipNumbers = npt.NDArray[np.int64]
_ORDER_STREAM, _CLASS_STREAM = 3, 4  # separate these draws from those of frames and augmentation


def shuffled(num_clips: int, *, seed: int, epoch: int) -> ClipNumbers:
    """Return the clip numbers (num_clips,) in the order of an epoch."""
    return np.random.default_rng((seed, epoch, _ORDER_STREAM)).permutation(num_clips)


def class_shares(labels: ClipNumbers, *, num_classes: int, power: float) -> tuple[float, ...]:
    """Return the share of each class in an epoch, proportional to (number of its clips) ** power; they sum to 1.

    Powers: 1, proportional to the clips; 0.5, to their square root; 0, equal shares for all classes with clips.
    """
    counts = np.bincount(labels, minlength=num_classes)
    weights = np.where(counts > 0, counts.astype(np.float64) ** power, 0.0)
    return tuple((weights / weights.sum()).tolist())


def resampled(labels: ClipNumbers, shares: Sequence[float], *, seed: int, epoch: int) -> ClipNumbers:
    """Return the clip numbers (num_clips,) of an epoch in which each class has its share.

    Each class cycles through permutations of its clips, and an epoch continues where the previous one stopped: from
    epoch 0 on, the draws of two clips of a class differ by at most one. Shares are rounded to whole clips by largest
    remainder. ValueError for a negative share, a positive share of a class without clips, or fewer shares than classes.
    """
    counts = np.bincount(labels, minlength=len(shares))
    weights = np.asarray(shares, np.float64)
    if len(counts) > len(weights) or not (weights >= 0).all() or ((weights > 0) & (counts == 0)).any():
        raise ValueError(f"shares {shares} for classes of {counts.tolist()} clips")
    exact = weights / weights.sum() * len(labels)
    quotas = np.floor(exact).astype(np.int64)
    quotas[np.argsort(quotas - exact, kind="stable")[: len(labels) - quotas.sum()]] += 1
    clips_by_class = [
        _next_of_class(np.flatnonzero(labels == number), int(quota), (seed, number, _CLASS_STREAM), epoch=epoch)
        for number, quota in enumerate(quotas)
        if quota
    ]
    return np.concatenate(clips_by_class)[shuffled(len(labels), seed=seed, epoch=epoch)]


def _next_of_class(members: ClipNumbers, quota: int, stream: tuple[int, ...], *, epoch: int) -> ClipNumbers:
    """Return the `quota` members of this epoch from the endless sequence of their permutations."""
    first, last = epoch * quota, (epoch + 1) * quota
    passes = range(first // len(members), (last - 1) // len(members) + 1)
    sequence = np.concatenate([np.random.default_rng((*stream, number)).permutation(members) for number in passes])
    return sequence[first - passes.start * len(members) :][:quota]


def steps(order: ClipNumbers, *, batch_size: int, world_size: int = 1, min_clips: int = 1) -> list[ClipNumbers]:
    """Split an order into steps; each rank takes every `world_size`-th clip of a step as its batch (`of_rank`).

    A step has the next `batch_size * world_size` clips, so several ranks see the same clips per step as one rank with a
    batch `world_size` times as large. The last step may be smaller, and ranks may differ by one clip. If it has fewer
    than `min_clips` clips per rank (batch norm needs two), it is merged into the previous step.
    """
    if batch_size < 1 or world_size < 1:
        raise ValueError(f"batch_size {batch_size}, {world_size} ranks: 1 or more of each is needed")
    size = batch_size * world_size
    starts = list(range(0, len(order), size))
    if len(starts) > 1 and len(order) - starts[-1] < min_clips * world_size:
        starts.pop()
    return [order[a:b] for a, b in itertools.pairwise([*starts, len(order)])]


def of_rank(step: ClipNumbers, *, rank: int, world_size: int) -> ClipNumbers:
    """Return the batch of a rank in a step. ValueError for a rank outside 0..world_size - 1."""
    if not 0 <= rank < world_size:
        raise ValueError(f"rank {rank} of {world_size}: ranks count from 0")
    return step[rank::world_size]
