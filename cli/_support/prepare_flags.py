"""How `dfer prepare` makes folds, from its flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfer_data.errors import UsageError

if TYPE_CHECKING:
    from dfer_data.sources.make_folds import Folding


def folding(num_folds: int | None, *, group_by: str | None, stratify: bool, seed: int) -> Folding | None:
    """Return how to make folds; None without --folds. Raises UsageError for flags that need --folds."""
    from dfer_data.sources.make_folds import Folding

    if num_folds is not None:
        return Folding(num_folds, group_by or "subject", stratify, seed)  # type: ignore[arg-type]  # Folding checks the value
    flags = (("--group-by", group_by), ("--stratify", stratify), ("--seed", seed))
    if given := [flag for flag, value in flags if value]:
        raise UsageError(f"{', '.join(given)} {'need' if len(given) > 1 else 'needs'} --folds")
    return None
