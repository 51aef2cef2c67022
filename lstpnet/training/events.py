"""Events of a training: an epoch has ended, a batch is trained or predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class EpochDone:
    """Event: an epoch has ended; also one line of metrics.jsonl."""

    checkpoint: str
    """The checkpoint in training: `last` or `refit`."""
    stage: str
    """`frames` or `clips`."""
    epoch: int
    """Number of the epoch in its stage, from 1."""
    num_epochs: int
    """Number of epochs of the stage; of a refit those that it trains for."""
    loss: float
    """Mean training loss."""
    train_accuracy: float
    """0..1, on the augmented training clips, measured during the epoch."""
    learning_rate: float
    """Of the last step of the epoch; with layer decay, the greatest."""
    seconds: float
    """Wall time."""
    waiting_seconds: float
    """Part of `seconds` in which the model waited for clips."""
    val_war: float | None
    """WAR on the held-out clips, 0..1; None without them or on single frames."""
    val_uar: float | None
    """The same for UAR."""
    test_war: float | None = None
    """WAR on the test clips with a face, 0..1; None unless the run selects on them."""
    test_uar: float | None = None
    """The same for UAR."""


@dataclass(frozen=True)
class StepDone:
    """Event: a batch is trained."""

    stage: str
    """`frames` or `clips`."""
    epoch: int
    """Number of the epoch in its stage, from 1."""
    num_epochs: int
    """Number of epochs of the stage."""
    num_batches_done: int
    """Batches of this epoch that are done."""
    num_batches: int
    """Batches of an epoch."""
    loss: float
    """Mean training loss of the epoch so far, in this process."""
    clips_per_second: float
    """Clips, or frames in the stage `frames`, in all processes: the mean of the epoch so far, with waiting for data."""


@dataclass(frozen=True)
class ClipsPredicted:
    """Event: a batch of held-out or test clips is predicted, after an epoch or at the end."""

    num_done: int
    """Clips predicted so far, in this process."""
    num_clips: int
    """Clips that this process predicts."""


OnStep = Callable[[StepDone | ClipsPredicted], None]
