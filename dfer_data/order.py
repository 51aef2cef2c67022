"""Which clips make which batch: a function of (seed, epoch), cut among ranks without repeats or losses."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
_ORDER_STREAM = 3  # keeps these draws apart from the frames' and the mirroring's


def shuffled(num_clips: int, *, seed: int, epoch: int) -> Numbers:
    """Return the clips' numbers (num_clips,) in the order of an epoch."""
    return np.random.default_rng((seed, epoch, _ORDER_STREAM)).permutation(num_clips)


def batches(
    order: Numbers, *, batch_size: int, rank: int = 0, world_size: int = 1, min_clips: int = 1
) -> list[Numbers]:
    """Cut an order into this rank's batches.

    A step takes the next `batch_size * world_size` clips, of which each rank takes every `world_size`-th: the steps of
    several ranks see what one rank with a batch as many times as large sees. The last step may have fewer, and one rank
    a clip more than another. If it has fewer than `min_clips` clips a rank (batch norm needs two), it joins the step
    before it.
    """
    if batch_size < 1 or not 0 <= rank < world_size:
        raise ValueError(f"batch_size {batch_size}, rank {rank} of {world_size}")
    size = batch_size * world_size
    starts = list(range(0, len(order), size))
    if len(starts) > 1 and len(order) - starts[-1] < min_clips * world_size:
        starts.pop()
    return [order[a:b][rank::world_size] for a, b in itertools.pairwise([*starts, len(order)])]
