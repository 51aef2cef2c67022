"""The errors of the model package; all of them are DferError, whose class carries the exit code.

    DferError                      1  the work failed (dfer_data.errors)
    └── CheckpointError            1  weights that do not fit the model, all faults at once

A message is one line: the fact with its values, the likely cause, the next step.
"""

from __future__ import annotations

from collections.abc import Sequence

from dfer_data.errors import DferError


class CheckpointError(DferError):
    """Weights do not fit the model; `faults` holds every fault found, each naming its key."""

    def __init__(self, summary: str, faults: Sequence[str] = ()) -> None:
        """Say `summary`, then every one of `faults`, in one line."""
        self.faults = tuple(faults)
        super().__init__(f"{summary}: {'; '.join(self.faults)}" if faults else summary)
