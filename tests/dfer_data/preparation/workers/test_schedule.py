"""Every way a run can go ends with each shard written once, and no video is tried more than twice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfer_data.errors import WorkerError
from dfer_data.preparation.tasks import ShardTask, VideoTask
from dfer_data.preparation.workers.schedule import Schedule, Step
from dfer_data.sources.base import SourceVideo


def shards(sizes: list[int]) -> list[ShardTask]:
    return [
        ShardTask(number, tuple(SourceVideo(f"{number}-{i}", "a.mp4", 1, None) for i in range(size)))
        for number, size in enumerate(sizes)
    ]


@given(sizes=st.lists(st.integers(0, 4), max_size=4), num_workers=st.integers(1, 4), data=st.data())
def test_each_shard_is_written_once_after_its_videos(sizes: list[int], num_workers: int, data: st.DataObject) -> None:
    schedule = Schedule(shards(sizes))
    tries: Counter[Step] = Counter()
    done: list[Step] = []
    in_work: list[Step] = []
    while not schedule.is_finished:
        while len(in_work) < num_workers and (step := schedule.take()) is not None:
            in_work.append(step)
            tries[step] += 1
            if tries[step] == 2 and isinstance(step, VideoTask):
                assert in_work == [step]  # a suspect runs alone
            if isinstance(step, ShardTask):
                assert all(VideoTask(step.number, i, video) in done for i, video in enumerate(step.videos))
        step = in_work.pop(data.draw(st.integers(0, len(in_work) - 1), label="whose turn"))
        is_lost = data.draw(st.booleans(), label="lost") and not (isinstance(step, ShardTask) and tries[step] == 2)
        if is_lost and not schedule.lose(step):
            continue
        schedule.finish(step)
        done.append(step)
    assert Counter(done).most_common(1)[:1] == [] or max(Counter(done).values()) == 1
    assert sum(isinstance(step, ShardTask) for step in done) == len(sizes)
    assert sum(isinstance(step, VideoTask) for step in done) == sum(sizes)
    assert max(tries.values(), default=1) <= 2
    assert schedule.take() is None


def test_videos_come_in_order_and_a_full_shard_before_the_next_video() -> None:
    schedule = Schedule(shards([1, 2]))
    found: list[Step | None] = []
    for _ in range(5):
        found.append(schedule.take())
        step = found[-1]
        assert step is not None
        schedule.finish(step)
    names = [step.video.clip_id if isinstance(step, VideoTask) else step.number for step in found if step]
    assert names == ["0-0", 0, "1-0", "1-1", 1]


def test_a_shard_that_cannot_be_written_ends_the_run() -> None:
    schedule = Schedule(shards([0]))
    for _ in range(2):
        step = schedule.take()
        assert step is not None
        assert not schedule.lose(step)
    step = schedule.take()
    assert step is not None
    with pytest.raises(WorkerError, match="workers that died while they wrote shard 00000: 3"):
        schedule.lose(step)
