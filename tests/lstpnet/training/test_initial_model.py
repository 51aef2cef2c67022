from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

import lstpnet
from lstpnet.training.experiment import make_experiment
from lstpnet.training.initial_model import initial_model
from tests.lstpnet.conftest import quick


@pytest.mark.parametrize(("norm", "is_noted"), [("none", True), ("kinetics", False)])
def test_start_weights_that_saw_other_pixel_values_are_noted(
    crops: Path, tmp_path: Path, norm: str, is_noted: bool
) -> None:
    narrow = {"model": "r3d_18", "depth": 1, "width_multiplier": 0.125}
    path = tmp_path / "r3d.safetensors"
    save_file(lstpnet.build_model("r3d_18", 7, depth=1, width_multiplier=0.125).state_dict(), path)
    recipe = quick(**narrow, frame_epochs=0, input_norm=norm)
    _, words = initial_model(make_experiment(crops, recipe, fold=3, seed=0), init=path)
    assert "published start weights: torchvision's on Kinetics-400" in words
    assert ("those weights saw pixels by input_norm = 'kinetics'" in words) == is_noted
