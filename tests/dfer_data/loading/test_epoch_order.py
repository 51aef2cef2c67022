"""Every clip once an epoch, whatever the number of ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer_data.loading.epoch_order import ClipNumbers, class_shares, of_rank, resampled, shuffled, steps


def batches(order: ClipNumbers, *, rank: int = 0, world_size: int = 1, **options: int) -> list[ClipNumbers]:
    return [of_rank(step, rank=rank, world_size=world_size) for step in steps(order, world_size=world_size, **options)]


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
    with pytest.raises(ValueError, match=r"batch_size|rank"):
        batches(np.arange(9), batch_size=batch_size, rank=rank, world_size=world_size)


@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any),
    power=st.sampled_from([0.0, 0.5, 1.0]),
    epoch=st.integers(0, 50),
)
def test_classes_get_their_shares_and_clips_take_turns(counts: list[int], power: float, epoch: int) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    shares = class_shares(labels, num_classes=len(counts), power=power)
    assert sum(shares) == pytest.approx(1)
    found = [resampled(labels, shares, seed=3, epoch=epoch + i) for i in range(3)]
    for one in found:
        assert len(one) == len(labels)
        got = np.bincount(labels[one], minlength=len(counts))
        assert np.abs(got - np.array(shares) * len(labels)).max() < 1
        assert (got[np.array(counts) == 0] == 0).all()
    times = np.bincount(np.concatenate(found), minlength=len(labels))
    for number in range(len(counts)):
        mine = times[labels == number]
        assert mine.size == 0 or mine.max() - mine.min() <= 2
    if power == 1:
        assert all(sorted(one.tolist()) == list(range(len(labels))) for one in found)


def test_balanced_means_equal_and_an_epoch_differs_from_the_next() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 6])
    shares = class_shares(labels, num_classes=4, power=0)
    assert shares == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0))
    first, second = (resampled(labels, shares, seed=0, epoch=epoch) for epoch in (1, 2))
    assert np.bincount(labels[first]).tolist() == [32, 32, 32]
    assert not np.array_equal(first, second)
    fifteen = np.concatenate([resampled(labels, shares, seed=0, epoch=epoch) for epoch in range(15)])
    assert (np.bincount(fifteen)[:60] == 8).all()  # 15 x 32 places for 60 clips
    assert class_shares(labels, num_classes=3, power=0.5) == pytest.approx(
        np.sqrt([60, 30, 6]) / np.sqrt([60, 30, 6]).sum()
    )


@pytest.mark.parametrize("shares", [(1.0,), (1.0, -1.0), (0.0, 0.5, 0.5)])
def test_shares_that_cannot_be_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="shares"):
        resampled(np.array([0, 1, 1]), shares, seed=0, epoch=0)
