"""Uncertainty of figures: bootstrap intervals of WAR and UAR, and paired tests between two runs on the same clips.

Neighbouring clips often come from one film, so they are right or wrong together and carry less information than their
number suggests. The bootstrap therefore resamples blocks of neighbouring ids within a stratum (a class of one fold),
and blocks wrap around its end; blocks of one clip give the usual bootstrap, which is reported as well. Class sizes stay
fixed: only the drawn clips of a class vary. docs/protocol.md states the coverage measured by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError

NUM_RESAMPLES = 2000
Float64s = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
Shares = Booleans | Float64s
"""Whether each clip is correct, or the share of several predictions of it that are."""


@dataclass(frozen=True)
class Interval:
    """Middle 95 % of a figure over the resamples, as fractions 0..1."""

    low: float
    """2.5th percentile."""
    high: float
    """97.5th percentile."""


@dataclass(frozen=True)
class Intervals:
    """Intervals of WAR and UAR."""

    war: Interval
    """Interval of the share of correctly predicted clips."""
    uar: Interval
    """Interval of the mean recall."""


@dataclass(frozen=True)
class PairedComparison:
    """Comparison of run A with run B on the same clips."""

    war_difference: float
    """WAR of A minus WAR of B."""
    uar_difference: float
    """UAR of A minus UAR of B."""
    war_p: float
    """Two-sided p of the block permutation test for WAR."""
    uar_p: float
    """The same for UAR."""
    num_only_a: int
    """Number of clips that only A predicts correctly."""
    num_only_b: int
    """Number of clips that only B predicts correctly."""
    mcnemar_p: float
    """Exact two-sided p of McNemar's test, which assumes independent clips."""


def block_length(num_clips: int) -> int:
    """Return the clips per block for a stratum of `num_clips`: about its square root."""
    return max(1, round(math.sqrt(num_clips)))


def bootstrap(strata: Sequence[Shares], classes: Sequence[int], *, blocks: bool = True, seed: int = 0) -> Intervals:
    """Return 95 % intervals of WAR and UAR from the correct clips of each stratum.

    Args:
        strata: per stratum, (N_s,) whether each clip is correct, or the share of predictions of it that are, in the
            order of ids; no stratum may be empty.
        classes: the class of each stratum; several strata (folds) may share one.
        blocks: resample blocks of neighbours; False: single clips.
        seed: seed of the resampling.

    Raises UsageError for a stratum without clips, or no stratum.
    """
    if not strata or any(not len(stratum) for stratum in strata):
        raise UsageError("an interval needs clips in every stratum")
    rng = np.random.default_rng(seed)
    sums = [_resampled_sums(stratum, length=block_length(len(stratum)) if blocks else 1, rng=rng) for stratum in strata]
    sizes = [len(stratum) for stratum in strata]
    war = np.sum(sums, axis=0) / sum(sizes)
    recalls = []
    for class_number in sorted(set(classes)):
        indices = [index for index, stratum_class in enumerate(classes) if stratum_class == class_number]
        recalls.append(np.sum([sums[index] for index in indices], axis=0) / sum(sizes[index] for index in indices))
    return Intervals(_interval(war), _interval(np.mean(recalls, axis=0)))


def _resampled_sums(is_right: Shares, *, length: int, rng: np.random.Generator) -> Float64s:
    """Return the number of correct clips per resample, (R,); each draws as many clips, in blocks that wrap around."""
    size = len(is_right)
    num_whole_blocks, partial_length = divmod(size, length)
    cumulative = np.concatenate([[0.0], np.cumsum(np.concatenate([is_right, is_right]))])
    total = np.zeros(NUM_RESAMPLES)
    for count, span in ((num_whole_blocks, length), (1 if partial_length else 0, partial_length)):
        if count:
            starts = rng.integers(0, size, (NUM_RESAMPLES, count))
            total += (cumulative[starts + span] - cumulative[starts]).sum(axis=1)
    return total


def _interval(values: Float64s) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high))


def compare_predictions(
    right_a: Sequence[Booleans], right_b: Sequence[Booleans], classes: Sequence[int], *, seed: int = 0
) -> PairedComparison:
    """Test whether two runs differ, from their correct clips in the same strata; arguments as for `bootstrap`.

    Under the null hypothesis, A and B are exchangeable per block: the test flips the signs of a block's differences
    together. Raises UsageError for strata of different sizes.
    """
    if [len(a) for a in right_a] != [len(b) for b in right_b] or not right_a:
        raise UsageError("the two runs do not predict the same clips")
    rng = np.random.default_rng(seed)
    differences = [a.astype(float) - b.astype(float) for a, b in zip(right_a, right_b, strict=True)]
    sizes = {number: 0 for number in classes}
    for difference, number in zip(differences, classes, strict=True):
        sizes[number] += len(difference)
    num_clips = sum(sizes.values())
    observed, permuted = np.zeros(2), np.zeros((NUM_RESAMPLES, 2))
    for difference, number in zip(differences, classes, strict=True):
        weight = np.array([1 / num_clips, 1 / (len(sizes) * sizes[number])])  # weight of one clip in WAR and in UAR
        blocks = np.add.reduceat(difference, np.arange(0, len(difference), block_length(len(difference))))
        signs = rng.choice([-1.0, 1.0], (NUM_RESAMPLES, len(blocks)))
        observed += difference.sum() * weight
        permuted += (signs @ blocks)[:, None] * weight
    extreme = (np.abs(permuted) >= np.abs(observed) - 1e-12).sum(axis=0)
    p = (extreme + 1) / (NUM_RESAMPLES + 1)
    only_a = int(sum((difference > 0).sum() for difference in differences))
    only_b = int(sum((difference < 0).sum() for difference in differences))
    return PairedComparison(
        float(observed[0]), float(observed[1]), float(p[0]), float(p[1]), only_a, only_b, mcnemar(only_a, only_b)
    )


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p that discordant clips split at least this unevenly by chance (binomial, 1/2)."""
    total, fewer = only_a + only_b, min(only_a, only_b)
    if total == 0:
        return 1.0
    tail = term = 1  # exact integers: each binomial coefficient follows from the previous one
    for k in range(1, fewer + 1):
        term = term * (total - k + 1) // k
        tail += term
    return float(min(1.0, 2 * tail / 2**total))
