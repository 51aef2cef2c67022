"""Compare the trainings of two systems one by one, where they have the same seed: the detail behind `paired_tests`.

A difference of two trainings holds training noise, so these lines have no p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dfer_data.render.tables import Section
from lstpnet.predictions import pooled_predictions
from lstpnet.reporting.uncertainty.clip_designs import FoldParts, SystemParts, shared_folds


@dataclass(frozen=True, kw_only=True)
class PairedTrainings:
    """Trainings of two systems with the same seed; their clips of all folds count together."""

    dataset: str
    """Name of the dataset."""
    a: str
    """Name of system A."""
    b: str
    """Name of system B."""
    seed: int | None
    """Seed of both; None for external predictions without one."""
    folds: tuple[int, ...]
    """Folds that both tested on the same clips."""
    n: int
    """Number of their clips."""
    war_difference: float
    """WAR of A minus WAR of B, as a fraction."""
    uar_difference: float
    """UAR of A minus UAR of B, as a fraction."""
    num_only_a: int
    """Number of clips that only A predicts correctly."""
    num_only_b: int
    """Number of clips that only B predicts correctly."""

    def as_dict(self) -> dict[str, Any]:
        """Return the line as JSON values."""
        return asdict(self) | {"folds": list(self.folds)}


def paired_trainings(pairs: Sequence[tuple[SystemParts, SystemParts]]) -> tuple[PairedTrainings, ...]:
    """Return a line per pair and common seed; those without a fold with the same clips are left out."""
    return tuple(line for a, b in pairs for line in _lines(a, b))


def _lines(a: SystemParts, b: SystemParts) -> list[PairedTrainings]:
    lines = []
    for seed in sorted(a.parts.keys() & b.parts.keys(), key=lambda seed: -1 if seed is None else seed):
        if folds := shared_folds([{seed: a.parts[seed]}, {seed: b.parts[seed]}]):
            names: dict[str, Any] = {"dataset": a.dataset, "a": a.name, "b": b.name}
            figures = _compared(a.parts[seed], b.parts[seed], folds)
            lines.append(PairedTrainings(seed=seed, folds=folds, **names, **figures))
    return lines


def _compared(parts_a: FoldParts, parts_b: FoldParts, folds: Sequence[int]) -> dict[str, Any]:
    pools = [pooled_predictions([parts[fold] for fold in folds]) for parts in (parts_a, parts_b)]
    right_a, right_b = (
        np.concatenate([parts[fold].is_right[parts[fold].id_order] for fold in folds]) for parts in (parts_a, parts_b)
    )
    return {
        "n": len(right_a),
        "war_difference": pools[0].scores.war - pools[1].scores.war,
        "uar_difference": pools[0].scores.uar - pools[1].scores.uar,
        "num_only_a": int((right_a & ~right_b).sum()),
        "num_only_b": int((right_b & ~right_a).sum()),
    }


def trainings_section(lines: Sequence[PairedTrainings]) -> Section:
    """Return the table of one dataset's pairs of trainings."""
    columns = {
        "A": [line.a for line in lines],
        "B": [line.b for line in lines],
        "seed": ["-" if line.seed is None else str(line.seed) for line in lines],
        "folds": [" ".join(map(str, line.folds)) for line in lines],
        "n": [str(line.n) for line in lines],
        "WAR A - B": [f"{100 * line.war_difference:+.2f}" for line in lines],
        "UAR A - B": [f"{100 * line.uar_difference:+.2f}" for line in lines],
        "only A right": [str(line.num_only_a) for line in lines],
        "only B right": [str(line.num_only_b) for line in lines],
    }
    notes = (
        "two trainings with the same seed, the clips of their folds counted together; differences in points",
        "no p: a difference of two trainings holds training noise; the table above compares the systems",
    )
    title = f"paired trainings, {lines[0].dataset}: in points"
    return Section(title, tuple(columns), tuple(zip(*columns.values(), strict=True)), notes)
