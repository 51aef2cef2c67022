"""What the verification of a run finds: damages, notes, and how much was checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dfer_data.errors import DferError
from dfer_data.render.tables import listed


@dataclass(frozen=True)
class RunDamage:
    """One deviation from what was written."""

    file: str
    """Path relative to the run folder."""
    message: str
    """Description of the deviation."""


@dataclass(frozen=True)
class RunVerification:
    """The scope and the findings of `verify_run`."""

    run: str
    """Run folder."""
    is_verified: bool
    """Whether run.json holds hashes; False for a run of dfer 0.1."""
    num_files: int = 0
    """Number of files that have a hash, in run.json and config.json."""
    num_predictions: int = 0
    """Number of rows in predictions.parquet."""
    num_predicted_again: int = 0
    """Number of rows whose logits were computed again; 0 unless deep."""
    largest_difference: float | None = None
    """Largest difference of a logit computed again, as a share of its checkpoint's largest logit; None unless deep."""
    tolerance: float | None = None
    """Largest accepted `largest_difference`; None unless deep."""
    damages: tuple[RunDamage, ...] = ()
    """Empty for an intact run."""
    notes: tuple[str, ...] = field(default=())
    """Facts that a user should know, one line each."""


def without_path(error: DferError, path: Path) -> str:
    """Return an error's message without the path of the file at its start."""
    return str(error).removeprefix(f"{path} ")


def listed_ids(clip_ids: Sequence[str]) -> str:
    """Return clip ids for a message: the first five, and the number of others."""
    return listed(clip_ids, most=5)
