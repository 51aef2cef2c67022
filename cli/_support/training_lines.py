"""Progress of `dfer train`: a bar on a terminal, else a line per 1 % of the work, 10 to 30 seconds apart."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from dfer_data.wording import counted

from . import console

if TYPE_CHECKING:
    from lstpnet.recipe import Recipe
    from lstpnet.training.events import ClipsPredicted, StepDone


class TrainingLines:
    """Shows stage, epoch, batch, loss, speed and time left on stderr: lines, or a bar on a terminal."""

    def __init__(
        self, recipe: Recipe, *, advance: console.Advance | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        """Start the clock (None: that of the machine), which decides when a line is due; see `Pace`.

        `advance`: of the bar, for a terminal.
        """
        self._advance = advance
        from dfer_data.render.pace import Pace

        self._num_frame_epochs, self._num_clip_epochs = recipe.frame_epochs, recipe.epochs
        self._pace = Pace(clock)
        self._share, self._stage = 0.0, ""
        self._first = (0.0, 0.0)  # epochs and seconds at the first step of the stage, in this session
        self._num_epochs = 0.0  # at the step before; fewer now: a refit has begun

    def show(self, step: StepDone | ClipsPredicted) -> None:
        """Print a line if one is due; on a terminal, move the bar."""
        from lstpnet.training.events import StepDone

        if sys.stderr.isatty():
            self._move(step)
        elif isinstance(step, StepDone):
            self._show_step(step)
        elif self._pace.is_due(self._share):
            console.say(f"predicting clips without training on them: {step.num_done} of {step.num_clips}", as_json=True)

    def _move(self, step: StepDone | ClipsPredicted) -> None:
        from lstpnet.training.events import StepDone

        if self._advance is None:
            return
        if not isinstance(step, StepDone):
            self._advance(step.num_done, step.num_clips, doing="predicting", unit="clips")
            return
        epochs_before = step.epoch - 1 + (0 if step.stage == "frames" else self._num_frame_epochs)
        done = epochs_before * step.num_batches + step.num_batches_done
        total = (self._num_frame_epochs + self._num_clip_epochs) * step.num_batches
        doing = f"{step.stage}: epoch {step.epoch} of {step.num_epochs}, loss {step.loss:.3f}"
        self._advance(done, total, doing=doing, unit="batches")

    def _show_step(self, step: StepDone) -> None:
        from dfer_data.render.pace import rate
        from dfer_data.render.tables import duration

        num_epochs, seconds = step.epoch - 1 + step.num_batches_done / step.num_batches, self._pace.seconds
        is_first_stage = step.stage == "frames"
        done = num_epochs if is_first_stage else self._num_frame_epochs + num_epochs
        self._share = done / (self._num_frame_epochs + self._num_clip_epochs)
        if step.stage != self._stage or num_epochs < self._num_epochs:
            self._stage, self._first = step.stage, (num_epochs, seconds)
        self._num_epochs = num_epochs
        first_epochs, first_seconds = self._first
        if not self._pace.is_due(self._share):
            return
        left, gained = "", num_epochs - first_epochs
        if gained > 0:
            left = f", about {duration((seconds - first_seconds) / gained * (step.num_epochs - num_epochs))} left"
            left += f", then {counted(self._num_clip_epochs, 'epoch')} on clips" if is_first_stage else ""
        console.say(
            f"{step.stage}: epoch {step.epoch} of {step.num_epochs}, batch {step.num_batches_done} of "
            f"{step.num_batches}, loss {step.loss:.3f}, {rate(step.clips_per_second)} {step.stage}/s{left}",
            as_json=True,
        )
