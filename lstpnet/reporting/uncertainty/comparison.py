"""Estimate figures and differences over folds and seeds, with the training noise and the sampling noise in them.

    estimate_figures(clips, arms) -> {"war": FigureEstimate, "uar": FigureEstimate}

The estimand is the mean over the official folds of the expected figure (or of the difference of two systems' expected
figures), over trainings with other seeds and over other test clips of the same kind. Folds are fixed strata. Seeds are
random: each training of a system is an independent draw, so the seeds of two systems need not be the same.
Within each fold, units are sampled: clips, or blocks of clips that hang together (dependence.py).

The model has clips and trainings as crossed random effects:

    variance of the mean = clips (common to all trainings) + trainings / seeds + clips x trainings / seeds

`V1`, the variance of the clips' means over the seeds, holds the first and the third part; `V2`, the variance of the
trainings' figures, the second and the third. `V3`, what is left of each clip in each training after both, is the third.
So V1 - V3 + V2 is the variance, with Satterthwaite's degrees of freedom: t intervals and t tests. The trainings' part
comes from each seed's mean over the folds, so it also holds where a seed affects all folds alike. Sources: Searle,
Casella and McCulloch, Variance Components (1992), 4.3; Satterthwaite, Biometrics Bulletin 2 (1946). docs/benchmarks.md
has the measured error and power.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from lstpnet.reporting.uncertainty.significance import FEW_OF_CLASS, LEVEL, Float64s, Interval
from lstpnet.reporting.uncertainty.student_t import quantile, two_sided_p

FIGURES = ("war", "uar")
ASSUMED_NOISE = (0.005, 0.01, 0.02)
"""Deviations of one training's figure on one fold for which one-seed systems get the difference that is needed."""
NUM_RESAMPLES_ABOVE = 4000
_NO_VARIANCE = 1e-20
"""A variance of rounding alone."""
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class FigureEstimate:
    """A figure or a difference of figures, as fractions, with its uncertainty."""

    value: float
    """The figure, or the difference: mean over the folds and seeds."""
    interval: Interval | None
    """95 % interval; None if there are too few clips, or if no clip and no training deviates."""
    has_training_noise: bool
    """Whether the interval holds training noise; False with one seed, where it is unknown."""
    sampling_std: float | None
    """Standard error of the value that the test clips cause."""
    training_std: float | None
    """Standard error that the trainings cause; None where a system has one seed."""
    df: float | None
    """Satterthwaite's degrees of freedom."""
    p: float | None
    """Two-sided p of the t test that the expected value is 0; None without training noise or without variance."""
    needed: Mapping[str, float] | None
    """Deviation of one training on one fold -> difference that the level would need; None with known training noise."""
    share_above: float | None = None
    """Share of the resamples in which the value is above 0."""


@dataclass(frozen=True, eq=False)
class ClipDesign:
    """The test clips behind figures. Raises UsageError without clips."""

    folds: Int64s
    """(N,) fold of each clip."""
    labels: Int64s
    """(N,) class number of each clip."""
    units: Int64s
    """(N,) number of the unit within the fold that each clip is sampled with: itself, a block or a person."""

    def __post_init__(self) -> None:
        """Check the lengths."""
        if not len(self.folds) or {len(self.labels), len(self.units)} != {len(self.folds)}:
            raise UsageError("an estimate needs clips, each with its fold, label and unit")

    @cached_property
    def weights(self) -> _Weights:
        """Weights of the clips in each figure, and the units that are sampled."""
        return _Weights(self)


class _Weights:
    """Cells (fold x class), weights of the clips in WAR and UAR, and the units that are sampled within folds."""

    def __init__(self, clips: ClipDesign) -> None:
        _, self.fold = np.unique(clips.folds, return_inverse=True)
        _, class_index = np.unique(clips.labels, return_inverse=True)
        self.num_folds, self.num_classes = int(self.fold.max()) + 1, int(class_index.max()) + 1
        self.cell = self.fold * self.num_classes + class_index
        self.cell_sizes = np.bincount(self.cell, minlength=self.num_folds * self.num_classes)
        fold_sizes = np.bincount(self.fold)
        num_present = (self.cell_sizes.reshape(self.num_folds, -1) > 0).sum(axis=1)
        self.clip_weights = {
            "war": 1 / (self.num_folds * fold_sizes[self.fold]),
            "uar": 1 / (self.num_folds * num_present[self.fold] * self.cell_sizes[self.cell]),
        }
        numbers, first, self.unit = np.unique(
            self.fold * (int(clips.units.max()) + 1) + clips.units, return_index=True, return_inverse=True
        )
        self.num_units, self.unit_fold = len(numbers), self.fold[first]
        self.are_units_clips = np.array_equal(self.unit, np.arange(len(self.unit)))
        self.groups = {"war": self.fold, "uar": self.cell}
        self.group_sizes = {name: np.maximum(np.bincount(group), 1) for name, group in self.groups.items()}
        self.group_units = {name: self._count_units(group) for name, group in self.groups.items()}
        leverage = {name: np.sqrt(units / np.maximum(units - 1, 1)) for name, units in self.group_units.items()}
        self.scales = {name: self.clip_weights[name] * leverage[name][group] for name, group in self.groups.items()}
        self.units_per_fold = np.bincount(self.unit_fold)

    def _count_units(self, group: Int64s) -> Int64s:
        """Return the number of units with clips in each group."""
        if self.are_units_clips:
            return np.bincount(group)
        pairs = np.unique(group * self.num_units + self.unit)
        return np.bincount(pairs // self.num_units)

    def figure(self, values: Float64s, name: str) -> Float64s:
        """Return the figure of each row of `values` (S, N)."""
        return np.asarray(values @ self.clip_weights[name])

    def unit_scores(self, values: Float64s, name: str) -> Float64s:
        """Return what each unit adds to the deviation of each row's figure, (S, U): its linearised score.

        A clip's value counts from the mean of its fold in WAR, and of its class in the fold in UAR; the scale corrects
        for means that come from the same few units.
        """
        group, sizes, scale = self.groups[name], self.group_sizes[name], self.scales[name]
        centred = np.array([(row - (np.bincount(group, row) / sizes)[group]) * scale for row in values])
        if self.are_units_clips:
            return centred
        return np.array([np.bincount(self.unit, row, self.num_units) for row in centred])

    def variances(self, scores: Float64s) -> tuple[float, float]:
        """Return the variance of the sum of the units' scores (S, U), summed over the rows, and its degrees of freedom.

        The degrees of freedom come from the scores' fourth moment: a few clips of a rare class, or a few clips that
        two systems do not agree on, are worth as many as they are.
        """
        counts = self.units_per_fold
        squares = np.einsum("su,su->u", scores, scores)
        by_fold = np.bincount(self.unit_fold, squares)
        variance = float(by_fold.sum())
        uncertainty = float((np.bincount(self.unit_fold, squares**2) - by_fold**2 / counts).sum())
        most = float((counts - 1).sum())
        return variance, most if uncertainty <= 0 else min(most, 2 * variance**2 / uncertainty)

    def is_too_few(self, name: str) -> bool:
        """Return whether there are too few units (or clips of a class) for an interval of a figure."""
        sizes, units = self.group_sizes[name], self.group_units[name]
        is_rare = (sizes[units > 0].min() < FEW_OF_CLASS) if name == "uar" else False
        return bool(is_rare or units[units > 0].min() < 2)


def estimate_figures(clips: ClipDesign, arms: Sequence[Float64s]) -> dict[str, FigureEstimate]:
    """Estimate the sum of the arms' mean figures: WAR and UAR.

    Args:
        clips: the N test clips.
        arms: per independently trained system, (S, N) a value of each clip in each of its trainings: 1 where it is
            right, -1 where it is right in a system that is subtracted, 0 elsewhere. One arm: a system's own figure, or
            the differences of two checkpoints of the same trainings.
    """
    weights = clips.weights
    return {name: _estimate(weights, [np.asarray(arm, np.float64) for arm in arms], name) for name in FIGURES}


def _estimate(weights: _Weights, arms: Sequence[Float64s], name: str) -> FigureEstimate:
    means = np.sum([arm.mean(axis=0) for arm in arms], axis=0)
    value = float(weights.figure(means[None], name)[0])
    if weights.is_too_few(name):
        return FigureEstimate(
            value=value,
            interval=None,
            has_training_noise=False,
            sampling_std=None,
            training_std=None,
            df=None,
            p=None,
            needed=None,
        )
    clip_variance, clip_df = weights.variances(weights.unit_scores(means[None], name))
    is_known = all(len(arm) > 1 for arm in arms)
    residual = sum(_residual_variance(weights, arm, name) for arm in arms) if is_known else 0.0
    training = [float(weights.figure(arm, name).var(ddof=1)) / len(arm) for arm in arms] if is_known else []
    clips_only = max(0.0, clip_variance - residual)
    variance = clips_only + sum(training)
    divisor = clips_only**2 / clip_df + sum(
        part**2 / (len(arm) - 1) for part, arm in zip(training, arms, strict=is_known)
    )
    df = variance**2 / divisor if divisor else math.inf
    half = quantile(LEVEL, df) * math.sqrt(variance)
    p = None
    if is_known and (variance > _NO_VARIANCE or abs(value) < math.sqrt(_NO_VARIANCE)):
        p = two_sided_p(value / math.sqrt(variance), df) if variance > _NO_VARIANCE else 1.0
    return FigureEstimate(
        value=value,
        interval=Interval(value - half, value + half) if variance > _NO_VARIANCE else None,
        has_training_noise=is_known,
        sampling_std=math.sqrt(clips_only),
        training_std=math.sqrt(sum(training)) if is_known else None,
        df=None if math.isinf(df) else df,
        p=p,
        needed=None if is_known else _needed(clip_variance, clip_df, arms, weights.num_folds),
    )


def _residual_variance(weights: _Weights, arm: Float64s, name: str) -> float:
    """Return V3 of one arm: the variance of its mean figure by what clip and training together leave unexplained."""
    scores = weights.unit_scores(arm - arm.mean(axis=0), name)
    return weights.variances(scores)[0] / (len(arm) - 1) / len(arm)


def _needed(clip_variance: float, clip_df: float, arms: Sequence[Float64s], num_folds: int) -> dict[str, float]:
    """Return the difference that the level needs if trainings deviate by so much; each fold's training is its own."""
    needed = {}
    for noise in ASSUMED_NOISE:
        variance = clip_variance + sum(noise**2 / num_folds / len(arm) for arm in arms)
        needed[f"{noise:g}"] = quantile(LEVEL, clip_df) * math.sqrt(variance)
    return needed


def with_shares_above(
    estimates: Mapping[str, FigureEstimate], clips: ClipDesign, arms: Sequence[Float64s]
) -> dict[str, FigureEstimate]:
    """Return the estimates of `estimate_figures` with the share of resamples in which the value is above 0.

    Each resample draws the units of each fold with replacement and computes the figures from the drawn clips' means
    over the seeds; their deviations are scaled to the clips' own part of the variance. For each system, it adds
    a deviation of its mean over the seeds from the t distribution that so few seeds allow. Resamples in which the value
    is 0 count half.
    """
    rng = np.random.default_rng(0)
    weights = clips.weights
    values = [np.asarray(arm, np.float64) for arm in arms]
    means = np.sum([arm.mean(axis=0) for arm in values], axis=0)
    deviations = _resampled_deviations(weights, means, rng)
    completed = {}
    for name, figure in estimates.items():
        if figure.interval is None or figure.sampling_std is None:
            completed[name] = figure
            continue
        spread = float(deviations[name].std())
        drawn = figure.value + deviations[name] * (figure.sampling_std / spread if spread else 0.0)
        if figure.has_training_noise:
            for arm in values:
                scale = float(weights.figure(arm, name).std(ddof=1)) / math.sqrt(len(arm))
                drawn = drawn + scale * rng.standard_t(len(arm) - 1, NUM_RESAMPLES_ABOVE)
        tolerance = 1e-12
        share = float(((drawn > tolerance) + 0.5 * (np.abs(drawn) <= tolerance)).mean())
        completed[name] = replace(figure, share_above=share)
    return completed


def _resampled_deviations(weights: _Weights, means: Float64s, rng: np.random.Generator) -> dict[str, Float64s]:
    """Return the deviations of the resamples' figures from the figures, (R,) each."""
    totals, counts = _drawn_units(weights, means, rng)
    recalls = np.divide(totals, counts, out=np.zeros_like(totals), where=counts > 0)
    figures = {
        "war": (totals.sum(axis=2) / counts.sum(axis=2)).mean(axis=1),
        "uar": (recalls.sum(axis=2) / (counts > 0).sum(axis=2)).mean(axis=1),
    }
    return {name: drawn - float(weights.figure(means[None], name)[0]) for name, drawn in figures.items()}


def _drawn_units(weights: _Weights, means: Float64s, rng: np.random.Generator) -> tuple[Float64s, Float64s]:
    """Return the sums of the drawn clips' values and their numbers, (R, K, C) each; units are drawn within folds.

    Units with equal sums are drawn as one kind, so that thousands of single clips are a handful of kinds.
    """
    num_classes = weights.num_classes
    place = weights.unit * num_classes + weights.cell % num_classes
    size = weights.num_units * num_classes
    unit_counts = np.bincount(place, minlength=size).reshape(-1, num_classes)
    unit_totals = np.bincount(place, means, minlength=size).reshape(-1, num_classes)
    table = np.concatenate([unit_totals.round(12), unit_counts], axis=1)
    drawn = []
    for fold, num_units in enumerate(weights.units_per_fold):
        kinds, frequencies = np.unique(table[weights.unit_fold == fold], axis=0, return_counts=True)
        drawn.append(rng.multinomial(num_units, frequencies / num_units, NUM_RESAMPLES_ABOVE) @ kinds)
    sums = np.stack(drawn, axis=1)
    return sums[:, :, :num_classes], sums[:, :, num_classes:]


def holm(values: Sequence[float]) -> list[float]:
    """Return Holm's corrected p values, in the given order: all tests together err with the chance LEVEL at most.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected
