"""The errors of the model package. All derive from DferError, which defines the exit code.

    DferError                      1  the work failed (dfer_data.errors)
    ├── CheckpointError            1  weights do not match the model; lists every fault
    └── NonFiniteError             1  a model's output for some clips is NaN or infinite; names them

A message is one line: the fact with its values, the likely cause, the next step.
"""

from __future__ import annotations

from collections.abc import Sequence

from dfer_data.errors import DferError

_SHOWN = 5
"""Faults of a file, or names of clips, that a message lists."""


class CheckpointError(DferError):
    """Weights do not match the model; `faults` has every fault, each with its key."""

    def __init__(self, summary: str, faults: Sequence[str] = (), *, hint: str = "") -> None:
        """Build the one-line message: `summary`, the first `faults` and how many more there are, then `hint`."""
        self.faults = tuple(faults)
        shown = self.faults[:_SHOWN] + ((f"and {len(faults) - _SHOWN} more",) if len(faults) > _SHOWN else ())
        super().__init__((f"{summary}: {'; '.join(shown)}" if faults else summary) + (hint and f"; {hint}"))


class NonFiniteError(DferError):
    """A model computes NaN or infinity, which stands for no class; `names` has every clip concerned."""

    def __init__(self, names: Sequence[str], *, what: str = "logits") -> None:
        """Build the message from the clips whose `what` are not finite, at least one."""
        self.names = tuple(names)
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        super().__init__(
            f"the model's {what} are not finite for {', '.join(names[:_SHOWN])}{more}: its weights are damaged, or "
            "numbers overflow; try precision=f32, or train again with a lower learning_rate"
        )
