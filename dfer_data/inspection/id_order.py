"""Test whether neighbouring ids of a dataset are alike, as where ids follow films: the lag-1 test.

    lag_one_test(clip_ids, labels, num_frames) -> NeighbourTest;  neighbours_of(dataset);  neighbours_section(dataset)

Two facts of clips are compared between neighbours in the order of ids: whether the label is the same, and the log of
the frame count (its autocorrelation at lag 1). Each has a z against the same clips in random order, from the exact mean
and variance over all permutations, so that the result has no seed. Ids with folders (`scene/emotion/number`) are
compared and permuted within their folder alone; where folders are the classes, the label tells nothing and is left out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dfer_data.render.tables import Section
from dfer_data.shards.identity import OFFICIAL_SET
from dfer_data.sources.official_counts import IdOrder, OrderKind, official, official_names

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

ORDERED_Z = 2.0
"""From this z on, of labels or of frame counts, neighbouring ids count as alike."""
_Moments = tuple[float, float, float]
"""Observed sum over the pairs of neighbours, and its mean and variance over all permutations."""
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LagOne:
    """One fact compared between neighbouring ids."""

    num_pairs: int
    """Number of compared pairs."""
    observed: float
    """Share of the pairs with the same label, or the autocorrelation."""
    permuted: float
    """Its mean over all permutations of the clips."""
    z: float
    """Observed minus permuted, in standard deviations over the permutations; positive: neighbours are alike."""


@dataclass(frozen=True)
class NeighbourTest:
    """The lag-1 test of a dataset."""

    same_label: LagOne | None
    """None without labels, or where every permutation gives the same share."""
    log_num_frames: LagOne | None
    """None without frame counts, or where all are equal."""

    @property
    def verdict(self) -> OrderKind:
        """Return `ordered` if neighbours are alike (z of 2 or more), else `none seen`."""
        tests = [test for test in (self.same_label, self.log_num_frames) if test is not None]
        return "ordered" if any(test.z >= ORDERED_Z for test in tests) else "none seen"


def lag_one_test(
    clip_ids: Sequence[str], labels: Sequence[str | None], num_frames: Sequence[int] | None = None
) -> NeighbourTest:
    """Return the lag-1 test of clips in the order of their ids.

    Args:
        clip_ids: (N,) unique ids, in any order.
        labels: (N,) labels; clips without one (None) are left out of the test of labels.
        num_frames: (N,) frame counts; clips with 0 are left out of the test of frame counts. None: not tested.
    """
    order = sorted(range(len(clip_ids)), key=lambda index: clip_ids[index])
    label_runs: defaultdict[str, list[str]] = defaultdict(list)
    frame_runs: defaultdict[str, list[float]] = defaultdict(list)
    for index in order:
        folder = clip_ids[index].rpartition("/")[0]
        if (label := labels[index]) is not None:
            label_runs[folder].append(label)
        if num_frames is not None and num_frames[index] > 0:
            frame_runs[folder].append(math.log(num_frames[index]))
    return NeighbourTest(_same_label(label_runs.values()), _autocorrelation(frame_runs.values()))


def _same_label(runs: Iterable[Sequence[str]]) -> LagOne | None:
    codes = [np.unique(np.array(run, dtype=str), return_inverse=True)[1] for run in runs if len(run) > 1]
    num_pairs = sum(len(run) - 1 for run in codes)
    return _lag_one([_label_moments(run) for run in codes], num_pairs=num_pairs, scale=float(num_pairs))


def _label_moments(codes: npt.NDArray[np.int64]) -> _Moments:
    """Return the moments of the number of pairs with one label; permutations draw labels without replacement."""
    size, counts = len(codes), np.bincount(codes).astype(float)
    pairs = float((counts * (counts - 1)).sum())
    triples = float((counts * (counts - 1) * (counts - 2)).sum())
    quadruples = float((counts * (counts - 1) * (counts - 2) * (counts - 3)).sum())
    two_pairs = pairs**2 - float((counts**2 * (counts - 1) ** 2).sum()) + quadruples
    return _moments(float((codes[1:] == codes[:-1]).sum()), size, (pairs, pairs, triples, two_pairs))


def _autocorrelation(runs: Iterable[Sequence[float]]) -> LagOne | None:
    values = [np.array(run) - np.mean(run) for run in runs if len(run) > 1]
    num_pairs = sum(len(run) - 1 for run in values)
    scale = float(sum((run**2).sum() for run in values))
    is_constant = scale <= 1e-18 * max(1, num_pairs)
    return None if is_constant else _lag_one([_product_moments(run) for run in values], num_pairs, scale)


def _product_moments(values: _Floats) -> _Moments:
    """Return the moments of the sum of products of neighbours, for values whose mean is 0."""
    square, fourth = float((values**2).sum()), float((values**4).sum())
    sums = (-square, square**2 - fourth, 2 * fourth - square**2, 3 * square**2 - 6 * fourth)
    return _moments(float(values[1:] @ values[:-1]), len(values), sums)


def _moments(observed: float, size: int, sums: tuple[float, float, float, float]) -> _Moments:
    """Return observed, mean and variance of the sum of g(x_i, x_i+1) over the neighbours of `size` items.

    `sums`: over all ordered choices of different items i, j, k, l the sums of g(i,j), g(i,j)^2, g(i,j) g(j,k) and
    g(i,j) g(k,l). A square of the sum has (N - 1) terms of one pair, 2 (N - 2) of two pairs that share an item, and
    (N - 2)(N - 3) of two pairs that share none.
    """
    mean_pair = sums[0] / (size * (size - 1))
    variance = (size - 1) * sums[1] / (size * (size - 1)) - ((size - 1) * mean_pair) ** 2
    if size > 2:
        variance += 2 * (size - 2) * sums[2] / math.perm(size, 3)
    if size > 3:
        variance += (size - 2) * (size - 3) * sums[3] / math.perm(size, 4)
    return observed, (size - 1) * mean_pair, variance


def _lag_one(moments: Sequence[_Moments], num_pairs: int, scale: float) -> LagOne | None:
    """Add the folders up; None where permutations change nothing."""
    observed, expected, variance = (sum(column) for column in zip(*moments, strict=True)) if moments else (0.0,) * 3
    if variance <= 1e-9 * max(1.0, expected**2):
        return None
    return LagOne(num_pairs, observed / scale, expected / scale, (observed - expected) / math.sqrt(variance))


def neighbours_of(dataset: PreparedDataset, *, fold: str | None = None, fold_set: str = OFFICIAL_SET) -> NeighbourTest:
    """Return the lag-1 test over all clips of a prepared dataset, or over those of one fold, train and test.

    Raises UsageError for an unknown fold or set of folds.
    """
    if fold is None:
        columns = dataset.clips[["clip_id", "label", "num_frames"]]
        ids, clip_labels, counts = (columns[name].tolist() for name in columns)
    else:
        index = dataset.index(sorted(dataset.fold(fold, fold_set=fold_set)))
        ids, clip_labels, counts = (index[name].to_pylist() for name in ("clip_id", "label", "num_frames"))
    labels = [label if isinstance(label, str) else None for label in clip_labels]
    return lag_one_test(ids, labels, [int(count or 0) for count in counts])


def combined_order(dataset: str, tested: OrderKind, *, is_synthetic: bool) -> IdOrder:
    """Return the order of a dataset's ids: the known one, or `ordered` where its own lag-1 test says so.

    `tested`: verdict of the lag-1 test on the user's tree. Rendered datasets have no known order.
    """
    known = official(dataset).order if dataset in official_names() and not is_synthetic else IdOrder("own test")
    if known.kind in ("ordered", "people"):
        return known
    return IdOrder(tested) if "ordered" in (tested, known.kind) or known.kind == "own test" else known


def known_people(dataset: PreparedDataset) -> Mapping[str, str]:
    """Return clip id -> person of a user's own videos; empty if fewer than two persons are named.

    The group of a clip is a person there; in published datasets it can be a scene or an episode.
    """
    from dfer_data.sources.registry import is_users_own  # imports every adapter

    if not is_users_own(dataset.document["dataset"]):
        return {}
    named = dataset.clips[["clip_id", "group"]].dropna()
    persons = dict(zip(named["clip_id"].tolist(), named["group"].tolist(), strict=True))
    return persons if len(set(persons.values())) > 1 else {}


def order_of_dataset(dataset: PreparedDataset) -> IdOrder:
    """Return the order of a prepared dataset: its known people, else the known order of its ids or the tested one."""
    document = dataset.document
    if persons := known_people(dataset):
        return IdOrder("people", persons=persons)
    verdict = neighbours_of(dataset).verdict
    return combined_order(document["dataset"], verdict, is_synthetic=bool(document["synthetic"]))


def neighbours_section(dataset: PreparedDataset) -> Section:
    """Return the lag-1 test of a prepared dataset as a table, with the order that reports use."""
    test, order = neighbours_of(dataset), order_of_dataset(dataset)
    named = {"same label": test.same_label, "log frame count, autocorrelation": test.log_num_frames}
    cells = tuple(
        (name, "-", "-", "-", "-")
        if item is None
        else (name, str(item.num_pairs), f"{item.observed:.4f}", f"{item.permuted:.4f}", f"{item.z:.1f}")
        for name, item in named.items()
    )
    return Section("neighbouring ids", ("at lag 1", "pairs", "observed", "permuted", "z"), cells, _notes(test, order))


def _notes(test: NeighbourTest, order: IdOrder) -> tuple[str, ...]:
    notes = [f"order: {order.kind}; {ORDER_NOTES[order.kind]}"]
    notes += [f"known of the dataset: {order.words}"] if order.words else []
    if any(item is not None and item.z <= -ORDERED_Z for item in (test.same_label, test.log_num_frames)):
        notes.append("a z under -2: neighbours differ more than by chance, as where ids take turns among the classes")
    if test.same_label is None:
        notes.append("same label: no test, since folders of ids are classes, or there are no labels")
    return tuple(notes)


ORDER_NOTES: Mapping[OrderKind, str] = {
    "none seen": "neighbouring ids are no more alike than clips in random order (z under 2); films may still be shared",
    "ordered": "neighbouring ids are alike; intervals resample blocks of them",
    "people": "the person of a clip is known; intervals resample people",
    "own test": "not known before the test",
}
"""Order of ids -> what it means."""
