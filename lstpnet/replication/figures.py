"""Compare predictions with what a claim expects, and judge: reproduced or not, and where the first difference is.

Pure functions of the claim, the differences of the data, and the predictions: a lab computes them once, and whoever
gets its result computes them again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from lstpnet.metrics import Scores, confusion_matrix, mean, sample_std, score
from lstpnet.replication.claim import Claim, Expected

NO_PRIOR = "-"
"""Prediction of a clip without a face where the train part has no clip of any class: wrong."""
_MOST_PERMUTED = 8
"""Classes whose orders are all tried."""
_LEAST_GAIN = 0.1
"""Share of the clips that another order of the classes must explain, to be taken for the cause."""
_ROUNDING = 0.005
"""Points by which a printed figure of two decimals may be off."""
Outcome = Literal["reproduced", "reproduced on other crops", "not reproduced", "measured"]
Aspect = Literal["clips", "labels", "folds", "frames", "faces", "crops"]
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
"""What data can differ in; without the first ones, the next ones cannot be right."""
_OF_CROPS = ("faces", "crops")


@dataclass(frozen=True, eq=False)
class FoldPredictions:
    """What one model predicted for the test clips of one fold."""

    fold: str
    seed: int
    clip_ids: tuple[str, ...]
    labels: tuple[str, ...]
    """(N,) class names."""
    num_frames: tuple[int, ...]
    """(N,) stored frames of each clip."""
    priors: tuple[str, ...]
    """(N,) predicted class of a clip without a face; empty for the others."""
    logits: npt.NDArray[np.float32]
    """(N, C) in the order of the classes; 0 for a clip without a face."""

    def predicted(self, class_names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the predicted class numbers, (N,); C, which is no class, for a clip without a face and prior."""
        numbers = {name: number for number, name in enumerate(class_names)} | {NO_PRIOR: len(class_names)}
        chosen: npt.NDArray[np.int64] = np.argmax(self.logits, axis=1).astype(np.int64)
        given = [(row, numbers[prior]) for row, prior in enumerate(self.priors) if prior]
        for row, number in given:
            chosen[row] = number
        return chosen

    def confusion(self, class_names: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return (C + 1, C + 1) clips by label and prediction; the last number is that of no class."""
        labels = np.array([class_names.index(label) for label in self.labels], np.int64)
        return confusion_matrix(labels, self.predicted(class_names), num_classes=len(class_names) + 1)

    def scores(self, class_names: Sequence[str]) -> Scores:
        """Return WAR, UAR and recalls."""
        return score(self.confusion(class_names))


@dataclass(frozen=True)
class DataDifference:
    """How the data of a lab differ from those of a claim."""

    aspect: Aspect
    what: str
    """With the numbers, or the id of the clip."""


@dataclass(frozen=True)
class FigureCheck:
    """An expected figure and its counterpart."""

    what: str
    expected: str
    found: str
    """`not measured` where a fold of it was not tested."""
    difference: float | None
    """Points of per cent; None where it was not measured."""
    allowed: float
    """Points of per cent."""
    is_met: bool | None
    """None where it was not measured."""


@dataclass(frozen=True)
class Verdict:
    """What came out."""

    outcome: Outcome
    words: str
    """One line: the outcome, with the first place where it differs."""
    first: str
    """First place of a difference; empty if there is none."""


def check_figures(
    claim: Claim, parts: Sequence[FoldPredictions], class_names: Sequence[str]
) -> tuple[FigureCheck, ...]:
    """Compare each expected figure with the predictions; a figure whose folds were not all tested is not measured."""
    return tuple(check for line in claim.expected for check in _checks(claim, line, parts, class_names))


def _checks(
    claim: Claim, line: Expected, parts: Sequence[FoldPredictions], class_names: Sequence[str]
) -> Iterator[FigureCheck]:
    folds = [line.fold] if line.fold else claim.folds
    by_seed: dict[int, dict[str, FoldPredictions]] = {}
    for part in parts:
        by_seed.setdefault(part.seed, {})[part.fold] = part
    whole = [[by_fold[fold] for fold in folds] for by_fold in by_seed.values() if set(folds) <= by_fold.keys()]
    what = f"{f'fold {line.fold}' if line.fold else 'all folds'}, {line.class_name or 'all classes'}"
    if line.of is not None:
        yield _counted(claim, line, what, whole, class_names)
        return
    for name, expected in (("WAR", line.war), ("UAR", line.uar)):
        if expected is not None:
            values = [100 * mean([getattr(p.scores(class_names), name.lower()) for p in group]) for group in whole]
            allowed = _allowed(claim, values) + _ROUNDING
            yield _check(f"{name}, mean of {_folds(folds)}", f"{expected:.2f}", values, expected, allowed)


def _folds(folds: Sequence[str]) -> str:
    return f"{len(folds)} folds" if len(folds) > 1 else f"fold {folds[0]}"


def _allowed(claim: Claim, values: Sequence[float]) -> float:
    return max(claim.tolerance_points, claim.seed_deviations * (sample_std(values) or 0.0))


def _check(what: str, words: str, values: Sequence[float], expected: float, allowed: float) -> FigureCheck:
    if not values:
        return FigureCheck(what, words, "not measured", None, allowed, None)
    difference = mean(values) - expected
    found = f"{mean(values):.2f}" + (f", mean of {len(values)} seeds" if len(values) > 1 else "")
    return FigureCheck(what, words, found, difference, allowed, abs(difference) <= allowed)


def _counted(
    claim: Claim,
    line: Expected,
    what: str,
    groups: Sequence[Sequence[FoldPredictions]],
    class_names: Sequence[str],
) -> FigureCheck:
    """Compare numbers of right clips; a range must hold every seed's."""
    of = line.of or 0
    low, high = line.right_between or (line.right or 0, line.right or 0)
    words = f"{low:,} of {of:,}" if low == high else f"{low:,} to {high:,} of {of:,}"
    counts = [_right_of(group, line.class_name, class_names) for group in groups]
    if not counts:
        return FigureCheck(what, words, "not measured", None, claim.tolerance_points, None)
    shares = [100 * right / max(1, number) for right, number in counts]
    allowed = _allowed(claim, shares)
    bounds = (100 * low / max(1, of), 100 * high / max(1, of))
    distances = [max(bounds[0] - share, 0.0) or min(bounds[1] - share, 0.0) for share in shares]
    off = 0.0 - max(distances, key=abs) if line.right_between else mean(shares) - bounds[0]
    same_size = all(number == of for _, number in counts)
    found = ", ".join(f"{right:,} of {number:,}" for right, number in counts)
    return FigureCheck(what, words, found, off, allowed, same_size and abs(off) <= allowed + 1e-9)


def _right_of(group: Sequence[FoldPredictions], class_name: str, class_names: Sequence[str]) -> tuple[int, int]:
    """Return the right and all clips of a class, or of all classes."""
    total = sum(part.confusion(class_names) for part in group)
    matrix = np.asarray(total)
    if class_name:
        row = class_names.index(class_name)
        return int(matrix[row, row]), int(matrix[row].sum())
    return int(np.trace(matrix)), int(matrix.sum())


def other_order(parts: Sequence[FoldPredictions], class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the order of classes that the outputs of a model seem to have; empty if it is that of `class_names`.

    Another order is taken for the cause only if far more clips are right in it. For at most eight classes.
    """
    num_classes = len(class_names)
    if not parts or num_classes > _MOST_PERMUTED:
        return ()
    seen = [_with_faces(part).confusion(class_names)[:num_classes, :num_classes] for part in parts]
    matrix = np.asarray(sum(seen))
    orders = np.array(list(permutations(range(num_classes))))
    right = matrix[orders, np.arange(num_classes)].sum(axis=1)
    best, own = int(right.max()), int(np.trace(matrix))
    if best - own < max(1.0, _LEAST_GAIN * int(matrix.sum())) or best < 1.5 * own:
        return ()
    return tuple(class_names[number] for number in orders[int(right.argmax())])


def _with_faces(part: FoldPredictions) -> FoldPredictions:
    rows = [row for row, prior in enumerate(part.priors) if not prior]
    return FoldPredictions(
        fold=part.fold,
        seed=part.seed,
        clip_ids=tuple(part.clip_ids[row] for row in rows),
        labels=tuple(part.labels[row] for row in rows),
        num_frames=tuple(part.num_frames[row] for row in rows),
        priors=("",) * len(rows),
        logits=part.logits[rows],
    )


def other_labels(expected: Mapping[str, int], found: Mapping[str, int]) -> dict[str, str]:
    """Return name in the data -> name by the claim, where the numbers of clips fit under exchanged names; else {}.

    Only for classes of different sizes, whose numbers tell them apart.
    """
    sizes = Counter(expected.values())
    if sorted(expected.values()) != sorted(found.get(name, 0) for name in expected) or max(sizes.values()) > 1:
        return {}
    name_of = {number: name for name, number in expected.items()}
    return {name: name_of[found[name]] for name in expected if found[name] != expected[name]}


def judge(
    claim: Claim,
    differences: Sequence[DataDifference],
    checks: Sequence[FigureCheck],
    *,
    order: Sequence[str] = (),
) -> Verdict:
    """Return the verdict.

    `differences`: of the data. `order`: what `other_order` returned. The first place is the first of: clips, labels,
    folds, frames, the order of the model's classes, crops, figures; each can only be judged if those before it are
    right.
    """
    ordered = sorted(differences, key=lambda difference: ASPECTS.index(difference.aspect))
    crops = [difference for difference in ordered if difference.aspect in _OF_CROPS]
    if len(ordered) > len(crops):
        return _not_reproduced(f"{ordered[0].aspect}: {ordered[0].what}")
    if order:
        return _not_reproduced(f"classes of the model: its outputs seem to be in the order {', '.join(order)}")
    measured = [check for check in checks if check.is_met is not None]
    first_crop = f"crops: {crops[0].what}" if crops else ""
    if not measured:
        why = "no expected figure was measured" if claim.expected else "no figure is known to compare with"
        return Verdict("measured", f"measured: {why}", first_crop)
    if not crops and all(check.is_met for check in measured):
        return Verdict("reproduced", "reproduced", "")
    worst = max(abs(check.difference or 0.0) for check in measured)
    allowed = max(claim.other_crops_points, *(check.allowed for check in measured))
    if crops and worst <= allowed + 1e-9:
        up = math.ceil(100 * worst - 1e-6) / 100
        words = f"reproduced on other crops within {up:.2f} points"
        return Verdict("reproduced on other crops", f"{words} ({first_crop})", first_crop)
    if crops:
        return _not_reproduced(first_crop)
    bad = next(check for check in measured if not check.is_met)
    return _not_reproduced(f"figures: {bad.what}: expected {bad.expected}, found {bad.found}")


def _not_reproduced(first: str) -> Verdict:
    return Verdict("not reproduced", f"not reproduced; the first difference is in {first}", first)
