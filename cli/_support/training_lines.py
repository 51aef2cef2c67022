"""Progress of `dfer train` without a terminal: a line every 30 seconds."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from . import console

if TYPE_CHECKING:
    from lstpnet.recipe import Recipe
    from lstpnet.training.trainer import StepDone

INTERVAL_SECONDS = 30.0
_CLIP_COST = 16
"""An epoch on clips of sixteen frames takes about as long as this many on single frames."""


class TrainingLines:
    """Prints lines with stage, epoch, batch, loss and time left on stderr, unless stderr is a terminal."""

    def __init__(self, recipe: Recipe) -> None:
        """Start the clock."""
        self._frame_epochs, self._total = recipe.frame_epochs, recipe.frame_epochs + _CLIP_COST * recipe.epochs
        self._start = self._last_line = time.monotonic()
        self._first_share: float | None = None

    def show(self, step: StepDone) -> None:
        """Print a line if one is due."""
        from dfer_data.render.tables import duration

        num_epochs = step.epoch - 1 + step.num_batches_done / step.num_batches
        done = num_epochs if step.stage == "frames" else self._frame_epochs + _CLIP_COST * num_epochs
        share = done / self._total
        if self._first_share is None:
            self._first_share = share
        now = time.monotonic()
        if sys.stderr.isatty() or now - self._last_line < INTERVAL_SECONDS:
            return
        self._last_line = now
        gained = share - self._first_share
        left = f", about {duration((now - self._start) / gained * (1 - share))} left" if gained > 0 else ""
        console.say(
            f"{step.stage}: epoch {step.epoch} of {step.num_epochs}, batch {step.num_batches_done} of "
            f"{step.num_batches}, loss {step.loss:.3f}{left}",
            as_json=True,
        )
