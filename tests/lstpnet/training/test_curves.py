"""The picture of a run's epochs, and what TensorBoard reads of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfer_data.types import Image
from lstpnet.runs import METRICS_NAME
from lstpnet.training.curves import BOARD_NAME, CURVES_NAME, board, draw_curves
from lstpnet.training.trainer import EpochDone
from tests.lstpnet.conftest import Done


def pixels(path: Path) -> Image:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def events(folder: Path) -> list[EpochDone]:
    return [EpochDone(**json.loads(line)) for line in (folder / METRICS_NAME).read_text().splitlines()]


def test_a_finished_run_has_its_picture(validated: Done) -> None:
    assert pixels(validated.folder / CURVES_NAME).shape == (340, 1200, 3)


def test_the_picture_shows_the_figures(validated: Done, tmp_path: Path) -> None:
    """Other figures, another picture; the same figures, the same picture."""
    run = Path(shutil.copytree(validated.folder, tmp_path / "run"))
    before = pixels(draw_curves(run))
    assert np.array_equal(before, pixels(validated.folder / CURVES_NAME))
    lines = [json.loads(line) for line in (run / METRICS_NAME).read_text().splitlines()]
    lines[-1]["val_war"] = 1 - lines[-1]["val_war"] + 0.25
    (run / METRICS_NAME).write_text("".join(json.dumps(line) + "\n" for line in lines))
    changed = (pixels(draw_curves(run)) != before).any(axis=2)
    assert changed[:, 400:800].any()
    assert not changed[:, :390].any()


def test_a_single_epoch_can_be_drawn(validated: Done, tmp_path: Path) -> None:
    first = (validated.folder / METRICS_NAME).read_text().splitlines()[0]
    (tmp_path / METRICS_NAME).write_text(first + "\n")
    assert draw_curves(tmp_path).stat().st_size > 10_000


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
