from __future__ import annotations

import pytest

from dfer_cli._support.training_lines import TrainingLines
from lstpnet.recipe import Recipe
from lstpnet.training.trainer import StepDone


def test_a_line_every_30_seconds_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Batches of 10 seconds on clips, after 4 epochs on frames that took no time."""
    now = 0.0
    monkeypatch.setattr("dfer_cli._support.training_lines.time.monotonic", lambda: now)
    lines = TrainingLines(Recipe(name="r", frame_epochs=0, epochs=2))
    lines.show(StepDone("clips", 1, 2, 0, 6, 2.0))
    for batch in range(1, 7):
        now = 10.0 * batch
        lines.show(StepDone("clips", 1, 2, batch, 6, 2.0 - batch / 10))
    assert capsys.readouterr().err.splitlines() == [
        "clips: epoch 1 of 2, batch 3 of 6, loss 1.700, about 90 s left",
        "clips: epoch 1 of 2, batch 6 of 6, loss 1.400, about 60 s left",
    ]
    now = 100.0
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    lines.show(StepDone("clips", 2, 2, 3, 6, 1.0))
    assert capsys.readouterr().err == ""
