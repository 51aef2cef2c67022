"""Progress of `dfer train` without a terminal: a line per 1 % of the work, 10 to 30 seconds apart."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import console

if TYPE_CHECKING:
    from lstpnet.recipe import Recipe
    from lstpnet.training.trainer import ClipsPredicted, StepDone

_CLIP_COST = 16
"""An epoch on clips of sixteen frames takes about as long as this many on single frames."""


class TrainingLines:
    """Prints lines with stage, epoch, batch, loss, speed and time left on stderr, unless stderr is a terminal."""

    def __init__(self, recipe: Recipe, *, clock: Callable[[], float] | None = None) -> None:
        """Start the clock (None: that of the machine), which decides when a line is due; see `Pace`."""
        from dfer_data.render.pace import Pace

        self._frame_epochs, self._total = recipe.frame_epochs, recipe.frame_epochs + _CLIP_COST * recipe.epochs
        self._pace = Pace(clock)
        self._share, self._stage = 0.0, ""
        self._first = (0.0, 0.0)  # share and seconds at the first step of the stage, in this session

    def show(self, step: StepDone | ClipsPredicted) -> None:
        """Print a line if one is due."""
        from lstpnet.training.trainer import StepDone

        if isinstance(step, StepDone):
            self._show_step(step)
        elif self._pace.is_due(self._share) and not sys.stderr.isatty():
            console.say(f"predicting clips without training on them: {step.num_done} of {step.num_clips}", as_json=True)

    def _show_step(self, step: StepDone) -> None:
        from dfer_data.render.pace import rate
        from dfer_data.render.tables import duration

        num_epochs = step.epoch - 1 + step.num_batches_done / step.num_batches
        done = num_epochs if step.stage == "frames" else self._frame_epochs + _CLIP_COST * num_epochs
        share, seconds = done / self._total, self._pace.seconds
        self._share = share
        if step.stage != self._stage:
            self._stage, self._first = step.stage, (share, seconds)
        first_share, first_seconds = self._first
        if not self._pace.is_due(share) or sys.stderr.isatty():
            return
        gained = share - first_share
        left = f", about {duration((seconds - first_seconds) / gained * (1 - share))} left" if gained > 0 else ""
        console.say(
            f"{step.stage}: epoch {step.epoch} of {step.num_epochs}, batch {step.num_batches_done} of "
            f"{step.num_batches}, loss {step.loss:.3f}, {rate(step.clips_per_second)} {step.stage}/s{left}",
            as_json=True,
        )
