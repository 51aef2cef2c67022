"""What TensorBoard reads of a run's epochs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lstpnet.runs import METRICS_NAME
from lstpnet.training.events import EpochDone
from lstpnet.training.tensorboard_log import BOARD_NAME, board
from tests.lstpnet.conftest import Done


def events(folder: Path) -> list[EpochDone]:
    return [EpochDone(**json.loads(line)) for line in (folder / METRICS_NAME).read_text().splitlines()]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_every_figure_of_a_run_that_went_on(validated: Done, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    wanted = events(validated.folder)
    for part in (wanted[:1], wanted[1:]):
        with board(tmp_path) as write:
            for event in part:
                write(event)
    read = EventAccumulator(str(tmp_path / BOARD_NAME))
    read.Reload()
    for event in wanted:
        values = {point.step: point.value for point in read.Scalars(f"{event.checkpoint} {event.stage}/loss")}
        assert values[event.epoch] == pytest.approx(event.loss, rel=1e-6)
    clips = [event for event in wanted if event.stage == "clips"]
    assert [point.value for point in read.Scalars("last clips/val_war")] == pytest.approx(
        [event.val_war for event in clips], rel=1e-6
    )
    assert "last frames/val_war" not in read.Tags()["scalars"]


def test_nothing_is_written_before_the_first_epoch(tmp_path: Path) -> None:
    with board(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []
