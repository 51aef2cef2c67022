"""The picture of a run's epochs: the same figures, the same picture; gaps where nothing finite was measured."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from dfer_data.types import Image
from lstpnet.learning_curves import CURVES_NAME, draw_curves, epochs_section
from lstpnet.runs import read_epochs
from tests.lstpnet.conftest import Done

EPOCH: dict[str, Any] = {"loss": 1.0, "train_accuracy": 0.5, "learning_rate": 1e-3, "stage": "clips", "epoch": 1}


def pixels(png: bytes) -> Image:
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def test_a_finished_run_has_its_picture(validated: Done) -> None:
    picture = pixels((validated.folder / CURVES_NAME).read_bytes())
    assert picture.shape == (340, 1200, 3)
    assert np.array_equal(picture, pixels(draw_curves(read_epochs(validated.folder))))


def test_the_picture_shows_the_figures(validated: Done) -> None:
    epochs = read_epochs(validated.folder)
    before = pixels(draw_curves(epochs))
    epochs[-1]["val_war"] = 1 - epochs[-1]["val_war"] + 0.25
    changed = (pixels(draw_curves(epochs)) != before).any(axis=2)
    assert changed[:, 400:800].any()
    assert not changed[:, :390].any()


def test_a_single_epoch_can_be_drawn_in_any_size() -> None:
    assert pixels(draw_curves([EPOCH])).shape == (340, 1200, 3)
    assert pixels(draw_curves([EPOCH], dpi=75)).shape == (255, 900, 3)


def test_a_loss_beyond_all_bounds_leaves_a_gap() -> None:
    epochs = [EPOCH | {"loss": value} for value in (1.0, float("inf"), 0.5)]
    with_none = [EPOCH | {"loss": value} for value in (1.0, None, 0.5)]
    assert np.array_equal(pixels(draw_curves(epochs)), pixels(draw_curves(with_none)))
    assert pixels(draw_curves([{"loss": float("nan")}])).shape == (340, 1200, 3)


def test_the_numbers_are_listed() -> None:
    section = epochs_section([EPOCH, EPOCH | {"epoch": 2, "loss": None, "val_war": 0.25}])
    assert section.header == ("stage", "epoch", "loss", "train accuracy", "val war", "learning rate")
    assert section.cells[1] == ("clips", "2", "-", "0.5", "0.25", "0.001")
