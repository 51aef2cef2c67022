from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data.inspection.look_settings import LookSettings
from dfer_data.inspection.video_look import look_at_video
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.prediction.look_expressions import expressions_of
from lstpnet.recipe import Recipe
from tests.dfer_data.tiny import CONFIG, write_video
from tests.lstpnet.prediction.test_video import CPU, Brightness, Standing


@pytest.mark.parametrize("is_synthetic", [False, True])
def test_every_person_that_is_followed_for_long_enough_has_expressions(tmp_path: Path, is_synthetic: bool) -> None:
    """The faces on the left are dark, those on the right bright, and after a cut all are too few."""
    bright = np.zeros((96, 96, 3), np.uint8)
    bright[:, 48:] = 250
    path = write_video(tmp_path / "v.mp4", [*[bright] * 30, *[np.ascontiguousarray(bright[:, ::-1])] * 5])
    look = look_at_video(path, config=CONFIG, detector=Standing(), settings=LookSettings())
    assert [len(track) for track in look.tracks] == [30, 30, 5, 5]
    recipe = Recipe(name="own", size_px=48, input_norm="none", precision="f32")
    opened = OpenedModel(Brightness(), ("dark", "bright"), recipe, is_synthetic)
    counts: list[int] = []
    expressions = expressions_of(look, look.tracks, opened, model=Path("runs/x"), device=CPU, on_progress=counts.append)
    assert {number: person.windows[0][2] for number, person in expressions.persons.items()} == {0: "dark", 1: "bright"}
    assert counts == sorted(counts)
    assert counts[-1] == 60
    assert sum(share for _, share in expressions.persons[0].means) == pytest.approx(1)
    assert bool(expressions.warning) == is_synthetic
    assert expressions.model_name == "runs/x"
