"""The reliability diagram is a picture with one or two panels."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from lstpnet.evaluation.calibration import calibration
from lstpnet.reporting.html.reliability_diagram import draw_reliability


def test_the_diagram_has_a_second_panel_with_a_temperature() -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.full(7, 0.3), 300)
    figures = calibration(chances, rng.integers(0, 7, 300))
    one, two = (Image.open(io.BytesIO(draw_reliability(figures, scaled, dpi=50))) for scaled in (None, figures))
    assert one.size == two.size == (400, 170)
    left, right = (np.asarray(picture.convert("L"))[:, 210:] for picture in (one, two))
    assert (left == 255).all()
    assert (right < 255).mean() > 0.1
