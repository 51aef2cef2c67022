"""Uncertainty of figures: bootstrap intervals of WAR and UAR on the test clips of one training.

Clips that hang together (of one film, source or person) are right or wrong together and carry less information than
their number suggests. The bootstrap therefore draws whole units (dependence.py): single clips where nothing is known to
hang together, blocks of neighbouring ids over all classes of a fold where neighbours are alike, people where ids name
them. docs/benchmarks.md has the coverage measured by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from lstpnet.reporting.uncertainty.student_t import quantile

LEVEL = 0.05
"""Chance of an error that intervals and tests allow."""
FEW_OF_CLASS = 5
"""With fewer clips of a class, UAR gets no interval: it would be too narrow."""
NUM_RESAMPLES = 2000
_ROUNDING = 1e-10
"""A deviation of rounding alone."""
Float64s = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Shares = Booleans | Float64s
"""Whether each clip is correct, or the share of several predictions of it that are."""


@dataclass(frozen=True)
class Interval:
    """95 % interval of a figure or of a difference, as fractions."""

    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Intervals of WAR and UAR; None where nothing deviates, so that nothing shows the uncertainty."""

    war: Interval | None
    """Interval of the share of correctly predicted clips."""
    uar: Interval | None
    """Interval of the mean recall; None also with under FEW_OF_CLASS clips of a class, or if one unit holds them."""


@dataclass(frozen=True, eq=False)
class ScoredFold:
    """The clips of one fold, for resampling."""

    labels: npt.NDArray[np.int64]
    """(N,) class numbers."""
    correct: Shares
    """(N,) whether each clip is correct, or the share of several predictions of it that are."""
    units: npt.NDArray[np.int64]
    """(N,) unit of each clip, numbered from 0: its clips are drawn together (dependence.py)."""

    def chosen(self, mask: Booleans) -> ScoredFold:
        """Return the clips of a mask (N,), in their units."""
        units = np.unique(self.units[mask], return_inverse=True)[1].reshape(-1)
        return ScoredFold(self.labels[mask], self.correct[mask], units)


def bootstrap(folds: Sequence[ScoredFold], *, seed: int = 0) -> Intervals | None:
    """Return 95 % intervals of WAR and UAR over the clips of all folds together; None if no fold has two units.

    Each resample draws whole units within each fold with replacement, one fewer than the fold has (Rao and Wu, 1988:
    so the variance is unbiased for few units), and counts the recalls again, over the classes that it has. The 2.5th
    and 97.5th percentiles are moved away from the figure by the ratio of Student's t to the normal distribution, since
    the spread of few units is itself uncertain: 1.6 times as far for four people, by a thousandth for 1,000 clips.

    Raises UsageError for a fold without clips, or no fold.
    """
    if not folds or any(not len(fold.labels) for fold in folds):
        raise UsageError("an interval needs clips in every fold")
    rng = np.random.default_rng(seed)
    num_classes = 1 + max(int(fold.labels.max()) for fold in folds)
    tables = [_unit_table(fold, num_classes=num_classes) for fold in folds]
    if max(len(table) for table in tables) < 2:
        return None
    resampled = _figures(np.sum([_resampled_sums(table, rng=rng) for table in tables], axis=0))
    counted = _figures(np.sum([table.sum(axis=0) for table in tables], axis=0)[None])
    stretch = quantile(LEVEL, sum(len(table) - 1 for table in tables)) / quantile(LEVEL, math.inf)
    war, uar = (
        _interval(values, float(value[0]), stretch=stretch) for values, value in zip(resampled, counted, strict=True)
    )
    return Intervals(war, None if _is_class_rare(np.concatenate(tables)[:, :num_classes]) else uar)


def _is_class_rare(clips: Float64s) -> bool:
    """Return whether a class that is present has too few clips, or all in one unit; `clips`: (num_units, C)."""
    present = clips[:, clips.any(axis=0)]
    return bool(present.sum(axis=0).min() < FEW_OF_CLASS or (present > 0).sum(axis=0).min() < 2)


def _figures(sums: Float64s) -> tuple[Float64s, Float64s]:
    """Return WAR and UAR, (R,) each, of sums (R, 2 C): the clips of each class, then the correct ones."""
    sizes, num_correct = np.split(sums, 2, axis=1)
    recalls = num_correct / np.maximum(sizes, 1e-12)
    war: Float64s = num_correct.sum(axis=1) / sizes.sum(axis=1)
    uar: Float64s = recalls.sum(axis=1) / (sizes > 0).sum(axis=1)
    return war, uar


def _unit_table(fold: ScoredFold, *, num_classes: int) -> Float64s:
    """Return per unit the number of clips of each class, then the number of correct ones: (num_units, 2 C)."""
    table = np.zeros((int(fold.units.max()) + 1, 2 * num_classes))
    np.add.at(table, (fold.units, fold.labels), 1.0)
    np.add.at(table, (fold.units, num_classes + fold.labels), fold.correct.astype(np.float64))
    return table


def _resampled_sums(table: Float64s, *, rng: np.random.Generator) -> Float64s:
    """Return the sums of the drawn units, (R, 2 C), scaled to the size of the fold.

    Units with equal rows are drawn as one kind, so that thousands of single clips are a handful of kinds.
    """
    num_units = len(table)
    if num_units == 1:
        return np.repeat(table, NUM_RESAMPLES, axis=0)
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    drawn = rng.multinomial(num_units - 1, counts / num_units, NUM_RESAMPLES)
    return (drawn @ kinds) * (num_units / (num_units - 1))


def _interval(values: Float64s, value: float, *, stretch: float) -> Interval | None:
    """Return the interval of a figure from its resamples (R,); None if they do not deviate."""
    low, high = value + stretch * (np.percentile(values, [2.5, 97.5]) - value)
    return None if np.ptp(values) < _ROUNDING else Interval(max(0.0, float(low)), min(1.0, float(high)))
