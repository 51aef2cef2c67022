"""Answer for each pair of systems of a dataset: is A better than B, over other trainings and other test clips?

    pairs_to_test -> paired_tests -> paired_section

Both systems count on the folds that all their seeds tested on the same clips. `comparison` states the estimand and the
method. All p values of a report form one family, corrected by Holm's method.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dfer_data.errors import UsageError
from dfer_data.render.tables import Section
from dfer_data.wording import counted
from lstpnet.reporting.uncertainty.clip_designs import (
    POOLED,
    SystemParts,
    clip_design,
    correct_clips,
    pooled,
    shared_folds,
)
from lstpnet.reporting.uncertainty.comparison import (
    ASSUMED_NOISE,
    FigureEstimate,
    estimate_figures,
    holm,
    with_shares_above,
)
from lstpnet.reporting.uncertainty.dependence import UNIT_NOTES, Unit, unit_of
from lstpnet.reporting.uncertainty.significance import LEVEL, Float64s

ALL_PAIRS_UP_TO = 6
"""Up to this number of systems, every pair is tested; beyond it, all are tested against one system."""
LEAST_SEEDS = 3
"""With two seeds, the test errs too rarely to find anything (docs/benchmarks.md): there is no p."""
_CHOSEN = "one of them chose its epoch on these test clips, which raises its figures"
Answer = Literal["A", "B", "undecided", "no test"]


@dataclass(frozen=True, kw_only=True)
class ComparedFigure:
    """One figure of two systems."""

    estimate: FigureEstimate
    """A minus B; its `p` is that of this test alone."""
    p_holm: float | None
    """p corrected over all tests of the report; None without a test."""
    reason: str
    """Why there is no test; empty if there is one."""

    @property
    def answer(self) -> Answer:
        """The system with the higher figure, if the corrected p allows to say so."""
        if self.p_holm is None:
            return "no test"
        if self.p_holm >= LEVEL:
            return "undecided"
        return "A" if self.estimate.value > 0 else "B"

    def as_dict(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        figure = self.estimate
        return {
            "difference": figure.value,
            "interval": figure.interval and [figure.interval.low, figure.interval.high],
            "has_training_noise": figure.has_training_noise,
            "sampling_std": figure.sampling_std,
            "training_std": figure.training_std,
            "df": figure.df,
            "share_above": figure.share_above,
            "p": figure.p if self.p_holm is not None else None,
            "p_holm": self.p_holm,
            "answer": self.answer,
            "reason": self.reason,
            "needed": figure.needed and dict(figure.needed),
        }


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """System A against system B."""

    dataset: str
    """Name of the dataset."""
    a: str
    """Name of system A."""
    b: str
    """Name of system B."""
    folds: tuple[int, ...]
    """Folds that all their seeds tested on the same clips; 0: different folds, but the same clips over all of them."""
    seeds_a: tuple[int | None, ...]
    """Seeds of A; None: external predictions without a seed."""
    seeds_b: tuple[int | None, ...]
    """Seeds of B."""
    n: int
    """Number of the folds' test clips."""
    has_same_trainings: bool
    """Whether A and B are two checkpoints of the same trainings, compared seed by seed."""
    unit: Unit
    """What is sampled: clips, groups of an audit, blocks of neighbouring ids, or people."""
    war: ComparedFigure
    """WAR, mean of the folds."""
    uar: ComparedFigure
    """UAR, mean of the folds."""
    num_tests: int
    """Number of tests in the report, which the corrected p values account for."""

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as flat JSON values: `war_difference`, `war_interval` and so on."""
        facts = {name: getattr(self, name) for name in ("dataset", "a", "b", "n", "has_same_trainings", "unit")}
        lists = {name: list(getattr(self, name)) for name in ("folds", "seeds_a", "seeds_b")}
        figures = {
            f"{name}_{key}": value
            for name, figure in (("war", self.war), ("uar", self.uar))
            for key, value in figure.as_dict().items()
        }
        return facts | lists | figures | {"num_tests": self.num_tests}


def pairs_to_test(
    systems: Sequence[SystemParts], *, baseline: str | None = None
) -> list[tuple[SystemParts, SystemParts]]:
    """Return every pair of systems of a dataset, or every system with `baseline`; beyond six, with the first.

    Raises UsageError for a baseline that is no system's name.
    """
    if baseline is not None and baseline not in {system.name for system in systems}:
        known = ", ".join(system.name for system in systems) or "none yet"
        raise UsageError(f"no system {baseline!r} in `side by side`; there are: {known}")
    pairs = []
    for dataset in dict.fromkeys(system.dataset for system in systems):
        dataset_systems = [system for system in systems if system.dataset == dataset]
        baselines = [system for system in dataset_systems if system.name == baseline]
        if baseline is None and len(dataset_systems) <= ALL_PAIRS_UP_TO:
            pairs += [(b, a) for a, b in itertools.combinations(dataset_systems, 2)]
        else:
            base_systems = baselines or dataset_systems[:1]
            pairs += [(system, base) for base in base_systems for system in dataset_systems if system is not base]
    return pairs if baseline is None else [pair for pair in pairs if pair[1].name == baseline]


def paired_tests(pairs: Sequence[tuple[SystemParts, SystemParts]]) -> tuple[PairedTest, ...]:
    """Compare the systems of each pair; pairs without a fold with the same clips are left out."""
    tests = [test for a, b in pairs if (test := _test(a, b)) is not None]
    figures = [figure for test in tests for figure in (test.war, test.uar)]
    values = [figure.estimate.p for figure in figures if not figure.reason and figure.estimate.p is not None]
    corrected = iter(holm(values))
    completed = []
    for test in tests:
        war, uar = (
            figure if figure.reason else replace(figure, p_holm=next(corrected)) for figure in (test.war, test.uar)
        )
        completed.append(replace(test, war=war, uar=uar, num_tests=len(values)))
    return tuple(completed)


def _test(a: SystemParts, b: SystemParts) -> PairedTest | None:
    order = a.order or b.order
    folds = shared_folds([a.parts, b.parts])
    if not folds:  # two sets of folds may test the same clips, each clip once
        a, b = (replace(system, parts=pooled(system.parts)) for system in (a, b))
        folds = shared_folds([a.parts, b.parts])
    if order is None or not folds:
        return None
    has_same_trainings = a.trainings == b.trainings
    seeds_a, seeds_b = tuple(a.parts), tuple(b.parts)
    if has_same_trainings:
        seeds_a = seeds_b = tuple(seed for seed in a.parts if seed in b.parts)
    if not seeds_a:
        return None
    clips = clip_design(a.parts[seeds_a[0]], folds, order)
    right_a, right_b = correct_clips(a.parts, folds, seeds_a), correct_clips(b.parts, folds, seeds_b)
    arms: list[Float64s] = [right_a - right_b] if has_same_trainings else [right_a, -right_b]
    estimates = with_shares_above(estimate_figures(clips, arms), clips, arms)
    figures = {
        name: ComparedFigure(
            estimate=figure,
            p_holm=None,
            reason=_CHOSEN if a.is_test_best != b.is_test_best else _reason(figure, min(len(arm) for arm in arms)),
        )
        for name, figure in estimates.items()
    }
    return PairedTest(
        dataset=a.dataset,
        a=a.name,
        b=b.name,
        folds=folds,
        seeds_a=seeds_a,
        seeds_b=seeds_b,
        n=len(clips.labels),
        has_same_trainings=has_same_trainings,
        unit=unit_of(order),
        num_tests=0,
        **figures,
    )


def _reason(figure: FigureEstimate, num_seeds: int) -> str:
    """Return why a figure of systems with at least `num_seeds` seeds has no test; empty if it has one."""
    if figure.sampling_std is None:
        return "too few clips of a class in a fold"
    if num_seeds == 1:
        return "one seed: training noise is unknown"
    if num_seeds < LEAST_SEEDS:
        return f"{num_seeds} seeds are too few for a valid test"
    return "" if figure.p is not None else "no clip and no training deviates, so that nothing shows the noise"


def paired_section(tests: Sequence[PairedTest], *, short: bool = False) -> Section:
    """Return the table of one dataset's comparisons; `short` omits the shares of resamples."""
    columns = {
        "A": [test.a for test in tests],
        "B": [test.b for test in tests],
        "folds": ["pooled" if test.folds == (POOLED,) else " ".join(map(str, test.folds)) for test in tests],
        "seeds A": [_seeds(test.seeds_a) for test in tests],
        "seeds B": [_seeds(test.seeds_b) for test in tests],
        "n": [str(test.n) for test in tests],
    }
    for name in ("war", "uar"):
        figures = [getattr(test, name) for test in tests]
        columns[f"{name.upper()} A - B"] = [f"{100 * figure.estimate.value:+.2f}" for figure in figures]
        columns[f"{name.upper()} 95 %"] = [_range(figure.estimate) for figure in figures]
        if not short:
            columns[f"{name.upper()} A above B %"] = [_share(figure.estimate) for figure in figures]
        columns[f"{name.upper()} p"] = ["-" if figure.p_holm is None else _p(figure.p_holm) for figure in figures]
        columns[f"better {name.upper()}"] = [figure.answer for figure in figures]
    cells = tuple(zip(*columns.values(), strict=True))
    return Section(
        f"paired tests, {tests[0].dataset}: is A better than B? in points",
        tuple(columns),
        cells,
        tuple(_notes(tests, short=short)),
    )


def _notes(tests: Sequence[PairedTest], *, short: bool) -> list[str]:
    notes = [_estimand(tests)]
    notes += [f"{unit}: {UNIT_NOTES[unit]}" for unit in dict.fromkeys(test.unit for test in tests)]
    figures = [(test, name, getattr(test, name)) for test in tests for name in ("war", "uar")]
    if num_tests := tests[0].num_tests:
        notes.append(
            f"p: t test, two-sided, corrected by Holm's method over the {counted(num_tests, 'test')} of this report; "
            f"`better` needs p under {LEVEL:g}; each seed is taken for an independent training, and the units named "
            "above for independent"
        )
        notes.append(
            "p = 0.03 means: if A and B were equally good, 3 of 100 such comparisons would differ at least as much; "
            "`undecided` does not mean equal"
        )
    shown = [figure.estimate for _, _, figure in figures if figure.estimate.share_above is not None]
    if not short and shown:
        alone = "" if all(estimate.has_training_noise for estimate in shown) else "; where a system has one seed, clips"
        notes.append(f"A above B: share of the resamples of clips and trainings{alone} in which A is above B")
    if any(test.folds == (POOLED,) for test in tests):
        notes.append("pooled: other folds, but the same test clips over all of them: compared as one part")
    if any(test.has_same_trainings for test in tests):
        notes.append("two checkpoints of the same trainings are compared seed by seed")
    for test in tests:
        reasons = dict.fromkeys(figure.reason for figure in (test.war, test.uar) if figure.reason)
        notes += [f"{test.a} and {test.b}: no p, {reason}" for reason in reasons]
        notes += _needed_notes(test)
    return notes


def _estimand(tests: Sequence[PairedTest]) -> str:
    of_folds = any(len(test.folds) > 1 for test in tests)
    is_pooled = any(test.folds == (POOLED,) for test in tests)
    folds = "mean over the folds" if of_folds else "on all test clips" if is_pooled else "on the one split"
    text = f"A - B: difference of the expected figures, {folds}, over trainings with other seeds and other test clips"
    if all(test.war.estimate.has_training_noise for test in tests):
        return text
    return f"{text}; where a system has one seed, over other test clips alone: its interval is too narrow"


def _needed_notes(test: PairedTest) -> list[str]:
    """Return the note with the differences that one-seed systems would need; [] if training noise is known."""
    parts = []
    for name in ("war", "uar"):
        if needed := getattr(test, name).estimate.needed:
            values = " / ".join(f"{100 * needed[f'{noise:g}']:.2f}" for noise in ASSUMED_NOISE)
            parts.append(f"{name.upper()} {values}")
    if not parts:
        return []
    noises = " / ".join(f"{100 * noise:g}" for noise in ASSUMED_NOISE)
    return [
        f"{test.a} and {test.b} would need a difference of {', '.join(parts)} points if a training on a fold deviates "
        f"by {noises}; {LEAST_SEEDS} seeds measure it"
    ]


def _seeds(seeds: Sequence[int | None]) -> str:
    return " ".join("-" if seed is None else str(seed) for seed in seeds)


def _range(figure: FigureEstimate) -> str:
    interval = figure.interval
    return "-" if interval is None else f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"


def _share(figure: FigureEstimate) -> str:
    return "-" if figure.share_above is None else f"{100 * figure.share_above:.1f}"


def _p(value: float) -> str:
    return f"{value:.4f}" if value >= 0.0001 else f"{value:.1e}"
