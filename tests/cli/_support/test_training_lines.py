from __future__ import annotations

import pytest

from dfer_cli._support.training_lines import TrainingLines
from lstpnet.recipe import Recipe
from lstpnet.training.events import ClipsPredicted, StepDone


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_per_hundredth_of_the_work_at_least_10_seconds_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Batches of 7 seconds on clips."""
    clock = Clock()
    lines = TrainingLines(Recipe(name="r", frame_epochs=0, epochs=2), clock=clock)
    lines.show(StepDone("clips", 1, 2, 0, 6, 2.0, 4.2))
    for batch in range(1, 7):
        clock.now = 7.0 * batch
        lines.show(StepDone("clips", 1, 2, batch, 6, 2.0 - batch / 10, 4.24))
    assert capsys.readouterr().err.splitlines() == [
        "clips: epoch 1 of 2, batch 2 of 6, loss 1.800, 4.2 clips/s, about 70 s left",
        "clips: epoch 1 of 2, batch 4 of 6, loss 1.600, 4.2 clips/s, about 56 s left",
        "clips: epoch 1 of 2, batch 6 of 6, loss 1.400, 4.2 clips/s, about 42 s left",
    ]


def test_a_line_every_30_seconds_where_the_work_is_long(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = TrainingLines(Recipe(name="r", frame_epochs=100, epochs=100), clock=clock)
    for batch in range(1, 101):
        clock.now = float(batch)
        lines.show(StepDone("frames", 1, 100, batch, 1000, 2.0, 1234.0))
    err = capsys.readouterr().err.splitlines()
    assert [line.split(", ")[1] for line in err] == ["batch 30 of 1000", "batch 60 of 1000", "batch 90 of 1000"]
    assert "1,234 frames/s" in err[0]


def test_the_time_left_of_a_resumed_training_comes_from_its_own_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """It resumes at half of the work after 20 seconds of loading, and does a tenth of the work in 10 seconds."""
    clock = Clock()
    lines = TrainingLines(Recipe(name="r", frame_epochs=0, epochs=2), clock=clock)
    clock.now = 20.0
    lines.show(StepDone("clips", 2, 2, 0, 10, 2.0, 4.0))
    clock.now = 30.0
    lines.show(StepDone("clips", 2, 2, 2, 10, 2.0, 4.0))
    err = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", ")[2] for line in err] == ["4 clips/s", "about 40 s left"]


def test_the_time_left_of_a_refit_comes_from_its_own_steps(capsys: pytest.CaptureFixture[str]) -> None:
    """It is on clips, as the training before it, and starts again with the first epoch."""
    clock = Clock()
    lines = TrainingLines(Recipe(name="r", frame_epochs=0, epochs=10), clock=clock)
    for num_epochs in (10, 4):
        for epoch in range(1, num_epochs + 1):
            clock.now += 40.0
            lines.show(StepDone("clips", epoch, num_epochs, 1, 1, 2.0, 4.0))
    err = capsys.readouterr().err.splitlines()
    assert [line.rpartition(", ")[2] for line in err[-3:]] == [f"about {left} s left" for left in (80, 40, 0)]


def test_the_time_left_on_clips_comes_from_clips(capsys: pytest.CaptureFixture[str]) -> None:
    """How long they take is not known before."""
    clock = Clock()
    lines = TrainingLines(Recipe(name="r", frame_epochs=2, epochs=2), clock=clock)
    for stage in ("frames", "clips"):
        for epoch in (1, 2):
            for batch in (1, 2):
                clock.now += 20.0
                lines.show(StepDone(stage, epoch, 2, batch, 2, 2.0, 4.0))
    err = capsys.readouterr().err.splitlines()
    left = [line.rpartition("about ")[2] for line in err if line.startswith("clips")]
    assert left[1:] == ["40 s left", "20 s left", "0 s left"]
    left = [line.rpartition("about ")[2] for line in err if line.startswith("frames")]
    assert left[1:] == [f"{seconds} s left, then 2 epochs on clips" for seconds in (40, 20, 0)]


def test_the_prediction_of_test_clips_is_not_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """It adds nothing to the share of the training, so its lines are 30 seconds apart."""
    clock = Clock()
    lines = TrainingLines(Recipe(name="r", frame_epochs=0, epochs=2), clock=clock)
    for second in range(1, 71):
        clock.now = float(second)
        lines.show(ClipsPredicted(second, 2338))
    assert capsys.readouterr().err.splitlines() == [
        "predicting clips without training on them: 30 of 2338",
        "predicting clips without training on them: 60 of 2338",
    ]


def test_a_terminal_has_a_bar_that_moves_with_every_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, shown = Clock(), []

    def advance(done: int, total: int, *, doing: str = "", unit: str = "") -> None:
        shown.append((done, total, doing, unit))

    lines = TrainingLines(Recipe(name="r", frame_epochs=1, epochs=2), advance=advance, clock=clock)
    clock.now = 100.0
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    lines.show(StepDone("frames", 1, 1, 4, 6, 1.0, 4.0))
    lines.show(StepDone("clips", 2, 2, 3, 6, 1.0, 4.0))
    lines.show(ClipsPredicted(3, 10))
    assert shown == [
        (4, 18, "frames: epoch 1 of 1, loss 1.000", "batches"),
        (15, 18, "clips: epoch 2 of 2, loss 1.000", "batches"),
        (3, 10, "predicting", "clips"),
    ]
    assert capsys.readouterr().err == ""
