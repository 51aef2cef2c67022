"""Paired tests between systems: for each seed that two of them share, on the folds whose test clips are the same."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.render.tables import Section
from lstpnet.metrics import predicted_classes
from lstpnet.reporting.significance import PairedComparison, compare_predictions
from lstpnet.reporting.systems import System
from lstpnet.runs import Predictions, Run

ALL_PAIRS_UP_TO = 6
"""Systems of which every two are tested; more are held against one of them."""
_Right = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """System A against system B with one seed."""

    dataset: str
    """Name of the dataset."""
    a: str
    """Name of a system."""
    b: str
    """Name of another."""
    seed: int
    """Of both."""
    folds: tuple[int, ...]
    """Official folds whose test clips were compared."""
    n: int
    """Clips in them."""
    result: PairedComparison
    """Differences and p values."""

    def as_dict(self) -> dict[str, Any]:
        """Return the test as JSON values."""
        facts = {"dataset": self.dataset, "a": self.a, "b": self.b, "seed": self.seed, "folds": list(self.folds)}
        return facts | {"n": self.n} | asdict(self.result)


@dataclass(frozen=True)
class _Fold:
    """What one system says about the test clips of a fold, in the order of ids."""

    clips: tuple[tuple[str, str], ...]
    """(N,) id and label."""
    right: _Right
    """(N,)"""


_Folds = Mapping[int, Mapping[int, _Fold]]
"""seed -> fold -> what is right"""


def paired_tests(
    systems: Sequence[System], runs: Sequence[Run], *, baseline: str | None = None
) -> tuple[PairedTest, ...]:
    """Test every two systems of a dataset, or every one against `baseline`; more than six against the first.

    Pairs without a seed, or without a fold of the same clips, in common are left out. Raises UsageError for a baseline
    that is no system's name.
    """
    if baseline is not None and baseline not in {system.name for system in systems}:
        known = ", ".join(system.name for system in systems) or "none yet"
        raise UsageError(f"no system {baseline!r} in `side by side`; there are: {known}")
    answers = {system.name: _answers(system, runs) for system in systems}
    return tuple(
        test for a, b in _pairs(systems, baseline=baseline) for test in _tests(a, b, answers[a.name], answers[b.name])
    )


def _pairs(systems: Sequence[System], *, baseline: str | None) -> list[tuple[System, System]]:
    found = []
    for dataset in dict.fromkeys(system.row.dataset for system in systems):
        mine = [system for system in systems if system.row.dataset == dataset]
        chosen = [system for system in mine if system.name == baseline]
        if baseline is None and len(mine) <= ALL_PAIRS_UP_TO:
            found += [(b, a) for a, b in itertools.combinations(mine, 2)]
        else:
            found += [(other, base) for base in chosen or mine[:1] for other in mine if other is not base]
    return found if baseline is None else [pair for pair in found if pair[1].name == baseline]


def _answers(system: System, runs: Sequence[Run]) -> _Folds:
    row, found = system.row, dict[int, dict[int, _Fold]]()
    for run in runs:
        info = run.info
        if (info.prepared, info.dataset_sha256, info.recipe) != (row.prepared, row.dataset_sha256, row.recipe):
            continue
        if info.seed in row.seeds and info.fold in row.folds:
            for part in run.predictions:
                if (part.checkpoint, part.control) == (row.checkpoint, row.control):
                    found.setdefault(info.seed, {})[info.fold] = _fold(part, info.class_names)
    return found


def _fold(part: Predictions, class_names: Sequence[str]) -> _Fold:
    order = np.argsort(np.array(part.clip_ids, dtype=object), kind="stable")
    guesses = [class_names[number] for number in predicted_classes(part.logits)]
    clips = tuple((part.clip_ids[place], part.labels[place]) for place in order)
    return _Fold(clips, np.array([part.labels[place] == guesses[place] for place in order], np.bool_))


def _tests(a: System, b: System, of_a: _Folds, of_b: _Folds) -> list[PairedTest]:
    found = []
    for seed in sorted(of_a.keys() & of_b.keys()):
        mine, other = of_a[seed], of_b[seed]
        folds = tuple(fold for fold in sorted(mine.keys() & other.keys()) if mine[fold].clips == other[fold].clips)
        if folds:
            result = _compared([mine[fold] for fold in folds], [other[fold] for fold in folds])
            n = sum(len(mine[fold].clips) for fold in folds)
            dataset = a.row.dataset
            found.append(PairedTest(dataset=dataset, a=a.name, b=b.name, seed=seed, folds=folds, n=n, result=result))
    return found


def _compared(mine: Sequence[_Fold], other: Sequence[_Fold]) -> PairedComparison:
    """Test on the strata (fold, class), each in the order of ids."""
    labels = sorted({label for fold in mine for _, label in fold.clips})
    right: tuple[list[_Right], list[_Right]] = ([], [])
    classes = []
    for a, b in zip(mine, other, strict=True):
        of_clips = np.array([label for _, label in a.clips], dtype=object)
        for number, label in enumerate(labels):
            chosen = of_clips == label
            if chosen.any():
                right[0].append(a.right[chosen])
                right[1].append(b.right[chosen])
                classes.append(number)
    return compare_predictions(*right, classes)


def paired_section(tests: Sequence[PairedTest]) -> Section:
    """Return the table of one dataset's tests."""
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
    notes = ["differences in points; p of WAR and UAR: block permutation test, two-sided; McNemar takes clips as alone"]
    notes.append("a seed is one training: a small p says that these two differ on these clips, not that recipes do")
    if len(tests) > 1:
        notes.append(f"{len(tests)} tests: to hold 5 % over all of them, look for p of {0.05 / len(tests):.4f} or less")
    title = f"paired tests on the same clips, {tests[0].dataset}"
    return Section(title, tuple(columns), tuple(zip(*columns.values(), strict=True)), tuple(notes))


def _points(difference: float) -> str:
    return f"{100 * difference:+.2f}"


def _p(value: float) -> str:
    return f"{value:.4f}"
