"""What dfer 0.1 trained stays readable for ever; tests/golden/README.md says how it was made."""

from __future__ import annotations

import json

import numpy as np

import lstpnet
from lstpnet.recipe_files import stored_recipe
from lstpnet.runs import CONFIG_NAME
from tests.workspace import ROOT

RUN = ROOT / "tests/golden/release-0.1/runs/dfew-retinaface/demo/fold-1/seed-0"


def test_its_figures_are_the_same() -> None:
    run = lstpnet.open_run(RUN)
    assert [(part.checkpoint, part.control) for part in run.predictions] == [
        ("last", ""),
        ("last", "repeated-frame"),
        ("last", "shuffled-frames"),
    ]
    np.testing.assert_allclose(run.predictions[0].logits[0, :3], [1.0234375, -0.22363281, 1.625])
    (row,) = lstpnet.report(RUN).rows
    assert (row.war, row.n, row.num_classes_present) == (0.0, 1, 1)


def test_its_settings_are_those_of_its_time() -> None:
    settings = json.loads((RUN / CONFIG_NAME).read_bytes())["settings"]
    recipe = stored_recipe(settings)
    assert (recipe.name, recipe.size_px, recipe.width_multiplier, recipe.sampler) == ("demo", 32, 0.125, "segments-8x2")
