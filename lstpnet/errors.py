"""The errors of the model package. All derive from DferError, which defines the exit code.

    DferError                      1  the work failed (dfer_data.errors)
    ├── CheckpointError            1  weights do not match the model; lists every fault
    └── NonFiniteError             1  a model's output for some clips is NaN or infinite; names them

A message is one line: the fact with its values, the likely cause, the next step.
"""

from __future__ import annotations

from collections.abc import Sequence

from dfer_data.errors import DferError


class CheckpointError(DferError):
    """Weights do not match the model; `faults` has every fault, each with its key."""

    def __init__(self, summary: str, faults: Sequence[str] = ()) -> None:
        """Build the one-line message: `summary`, then all `faults`."""
        self.faults = tuple(faults)
        super().__init__(f"{summary}: {'; '.join(self.faults)}" if faults else summary)


class NonFiniteError(DferError):
    """A model computes NaN or infinity, which stands for no class; `names` has every clip concerned."""

    def __init__(self, names: Sequence[str], *, what: str = "logits") -> None:
        """Build the message from the clips whose `what` are not finite, at least one."""
        self.names = tuple(names)
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        super().__init__(
            f"the model's {what} are not finite for {', '.join(names[:5])}{more}: its weights are damaged, or numbers "
            "overflow; try precision=f32, or train again with a lower learning_rate"
        )
