"""Every clip once an epoch, whatever the number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer_data.order import batches, shuffled


def test_an_order_is_a_function_of_seed_and_epoch() -> None:
    first = shuffled(50, seed=1, epoch=2)
    assert np.array_equal(first, shuffled(50, seed=1, epoch=2))
    assert sorted(first.tolist()) == list(range(50))
    assert not np.array_equal(first, shuffled(50, seed=1, epoch=3))
    assert not np.array_equal(first, shuffled(50, seed=2, epoch=2))


@given(
    num_clips=st.integers(0, 200),
    batch_size=st.integers(1, 9),
    world_size=st.integers(1, 5),
    min_clips=st.integers(1, 3),
)
def test_ranks_share_each_step_without_repeats_or_losses(
    num_clips: int, batch_size: int, world_size: int, min_clips: int
) -> None:
    order = shuffled(num_clips, seed=0, epoch=0)
    options = {"batch_size": batch_size, "min_clips": min_clips}
    ranks = [batches(order, rank=rank, world_size=world_size, **options) for rank in range(world_size)]
    assert len({len(steps) for steps in ranks}) == 1
    seen = []
    for step in zip(*ranks, strict=True):
        sizes = [len(part) for part in step]
        assert max(sizes) - min(sizes) <= 1
        together = np.empty(sum(sizes), np.int64)
        for rank, part in enumerate(step):
            together[rank::world_size] = part
        seen += together.tolist()
    assert seen == order.tolist()


@given(
    num_clips=st.integers(2, 200), batch_size=st.integers(2, 9), world_size=st.integers(1, 5), rank=st.integers(0, 4)
)
def test_no_rank_is_left_alone_with_a_clip(num_clips: int, batch_size: int, world_size: int, rank: int) -> None:
    steps = batches(
        np.arange(num_clips), batch_size=batch_size, rank=rank % world_size, world_size=world_size, min_clips=2
    )
    if num_clips >= 2 * world_size:
        assert min(len(step) for step in steps) >= 2


def test_several_ranks_see_what_one_with_a_larger_batch_sees() -> None:
    order = shuffled(37, seed=3, epoch=1)
    alone = batches(order, batch_size=8, min_clips=2)
    first, second = (batches(order, batch_size=4, rank=rank, world_size=2, min_clips=2) for rank in (0, 1))
    assert [set(a) | set(b) for a, b in zip(first, second, strict=True)] == [set(step) for step in alone]


@pytest.mark.parametrize(("batch_size", "rank", "world_size"), [(0, 0, 1), (4, 2, 2), (4, -1, 2)])
def test_nonsense_is_refused(batch_size: int, rank: int, world_size: int) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        batches(np.arange(9), batch_size=batch_size, rank=rank, world_size=world_size)
