"""The errors of the model package. All derive from DferError, which defines the exit code.

    DferError                      1  the work failed (dfer_data.errors)
    └── CheckpointError            1  weights do not match the model; lists every fault

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
