"""Paired tests between systems: one per seed that two systems share, on the folds with identical test clips."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.render.tables import Section
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.significance import PairedComparison, compare_predictions
from lstpnet.reporting.systems import System, parts_behind
from lstpnet.runs import ScoredRun

ALL_PAIRS_UP_TO = 6
"""Up to this number of systems, every pair is tested; beyond it, all are tested against one system."""
_Right = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Test of system A against system B with one seed."""

    dataset: str
    """Name of the dataset."""
    a: str
    """Name of system A."""
    b: str
    """Name of system B."""
    seed: int
    """Seed of both systems' runs."""
    folds: tuple[int, ...]
    """Official folds with the compared test clips."""
    n: int
    """Number of compared clips."""
    result: PairedComparison
    """Differences and p values."""

    def as_dict(self) -> dict[str, Any]:
        """Return the test as JSON values."""
        facts = {"dataset": self.dataset, "a": self.a, "b": self.b, "seed": self.seed, "folds": list(self.folds)}
        return facts | {"n": self.n} | asdict(self.result)


_Folds = Mapping[int, Mapping[int, ScoredPredictions]]
"""seed -> fold -> scored predictions of its test clips"""


def paired_tests(
    systems: Sequence[System], runs: Sequence[ScoredRun], *, baseline: str | None = None
) -> tuple[PairedTest, ...]:
    """Test every pair of systems of a dataset, or every system against `baseline`; more than six against the first.

    Pairs that share no seed, or no fold with the same clips, are left out. Raises UsageError for a baseline that is no
    system's name.
    """
    if baseline is not None and baseline not in {system.name for system in systems}:
        known = ", ".join(system.name for system in systems) or "none yet"
        raise UsageError(f"no system {baseline!r} in `side by side`; there are: {known}")
    results = {system.name: _results_of(system, runs) for system in systems}
    return tuple(
        test for a, b in _pairs(systems, baseline=baseline) for test in _tests(a, b, results[a.name], results[b.name])
    )


def _pairs(systems: Sequence[System], *, baseline: str | None) -> list[tuple[System, System]]:
    pairs = []
    for dataset in dict.fromkeys(system.row.dataset for system in systems):
        dataset_systems = [system for system in systems if system.row.dataset == dataset]
        baselines = [system for system in dataset_systems if system.name == baseline]
        if baseline is None and len(dataset_systems) <= ALL_PAIRS_UP_TO:
            pairs += [(b, a) for a, b in itertools.combinations(dataset_systems, 2)]
        else:
            base_systems = baselines or dataset_systems[:1]
            pairs += [(system, base) for base in base_systems for system in dataset_systems if system is not base]
    return pairs if baseline is None else [pair for pair in pairs if pair[1].name == baseline]


def _results_of(system: System, runs: Sequence[ScoredRun]) -> _Folds:
    results: dict[int, dict[int, ScoredPredictions]] = {}
    for run, part in parts_behind(system.row, runs):
        results.setdefault(run.info.seed, {})[run.info.fold] = part
    return results


def _clips(part: ScoredPredictions) -> tuple[tuple[str, str], ...]:
    """Return the pairs of id and label, in the order of ids."""
    return tuple((part.clip_ids[index], part.class_names[part.labels[index]]) for index in part.id_order)


def _tests(a: System, b: System, folds_a: _Folds, folds_b: _Folds) -> list[PairedTest]:
    tests = []
    for seed in sorted(folds_a.keys() & folds_b.keys()):
        by_fold_a, by_fold_b = folds_a[seed], folds_b[seed]
        shared_folds = sorted(by_fold_a.keys() & by_fold_b.keys())
        folds = tuple(fold for fold in shared_folds if _clips(by_fold_a[fold]) == _clips(by_fold_b[fold]))
        if folds:
            result = _compared([by_fold_a[fold] for fold in folds], [by_fold_b[fold] for fold in folds])
            n = sum(len(by_fold_a[fold].clip_ids) for fold in folds)
            dataset = a.row.dataset
            tests.append(PairedTest(dataset=dataset, a=a.name, b=b.name, seed=seed, folds=folds, n=n, result=result))
    return tests


def _compared(parts_a: Sequence[ScoredPredictions], parts_b: Sequence[ScoredPredictions]) -> PairedComparison:
    """Compare two systems on the strata (fold, class), each in the order of ids."""
    labels = sorted({part.class_names[number] for part in parts_a for number in part.labels})
    is_right: tuple[list[_Right], list[_Right]] = ([], [])
    classes = []
    for a, b in zip(parts_a, parts_b, strict=True):
        clip_labels = np.array([label for _, label in _clips(a)], dtype=object)
        for number, label in enumerate(labels):
            mask = clip_labels == label
            if mask.any():
                is_right[0].append(a.is_right[a.id_order][mask])
                is_right[1].append(b.is_right[b.id_order][mask])
                classes.append(number)
    return compare_predictions(*is_right, classes)


def paired_section(tests: Sequence[PairedTest]) -> Section:
    """Return the table of one dataset's paired tests."""
    results = [test.result for test in tests]
    columns = {
        "A": [test.a for test in tests],
        "B": [test.b for test in tests],
        "seed": [str(test.seed) for test in tests],
        "folds": [" ".join(map(str, test.folds)) for test in tests],
        "n": [str(test.n) for test in tests],
        "WAR A - B": [_points(result.war_difference) for result in results],
        "p WAR": [_p(result.war_p) for result in results],
        "UAR A - B": [_points(result.uar_difference) for result in results],
        "p UAR": [_p(result.uar_p) for result in results],
        "only A right": [str(result.num_only_a) for result in results],
        "only B right": [str(result.num_only_b) for result in results],
        "p McNemar": [_p(result.mcnemar_p) for result in results],
    }
    notes = [
        "differences in points; p of WAR and UAR: block permutation test, two-sided; McNemar assumes independent clips",
        "a seed is one training: a small p means that these two differ on these clips, not that the recipes differ",
    ]
    if len(tests) > 1:
        notes.append(f"{len(tests)} tests: for 5 % over all of them, require p of {0.05 / len(tests):.4f} or less")
    title = f"paired tests on the same clips, {tests[0].dataset}"
    return Section(title, tuple(columns), tuple(zip(*columns.values(), strict=True)), tuple(notes))


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _p(value: float) -> str:
    return f"{value:.4f}"
