"""The test clips of a system, from its runs or from external predictions: label, face, correctness and unit of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lstpnet.finished_runs import ScoredRun
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.external_predictions import ExternalPredictions
from lstpnet.reporting.rows import Row
from lstpnet.reporting.systems import headline_rows, names_of, parts_behind
from lstpnet.reporting.uncertainty.dependence import order_of_external, order_of_runs, resampling_units

if TYPE_CHECKING:
    from dfer_data.sources.official_counts import IdOrder


@dataclass(frozen=True, eq=False)
class TestedClips:
    """The test clips of one system, sorted by id."""

    name: str
    """Name of the system."""
    row: Row
    """Its headline row."""
    clip_ids: tuple[str, ...]
    """(N,) ids; a clip that several folds test is listed once per fold."""
    folds: npt.NDArray[np.int64]
    """(N,) the fold that tests each clip."""
    labels: npt.NDArray[np.int64]
    """(N,) class numbers, in the order of the row's recalls."""
    correct: npt.NDArray[np.float64]
    """(N,) share of the seeds that predict each clip correctly."""
    has_face: npt.NDArray[np.bool_]
    """(N,) False for a clip without a usable track."""
    units: npt.NDArray[np.int64]
    """(N,) unit of each clip, numbered within its fold."""


def tested_by_runs(rows: Sequence[Row], runs: Sequence[ScoredRun]) -> list[TestedClips]:
    """Return the test clips of each system of a report's rows."""
    headlines = headline_rows(rows)
    return [_tested_by_runs(*item, runs) for item in zip(names_of(headlines), headlines, strict=True)]


def _tested_by_runs(name: str, row: Row, runs: Sequence[ScoredRun]) -> TestedClips:
    behind = list(parts_behind(row, runs))
    order = order_of_runs([run for run in runs if run.info.data_key == row.data_key])
    return _tested(name, row, [(run.info.fold, part) for run, part in behind], order)


def tested_by_predictions(name: str, row: Row, external: ExternalPredictions) -> TestedClips:
    """Return the test clips of external predictions; `row`: the headline row of their system."""
    parts = [part for part in external.parts if part.fold in row.folds and part.seed in (row.seeds or (None,))]
    order = order_of_external(external.dataset, [part.scored.clip_ids for part in parts])
    return _tested(name, row, [(part.fold, part.scored) for part in parts], order)


def _tested(name: str, row: Row, parts: Iterable[tuple[int, ScoredPredictions]], order: IdOrder) -> TestedClips:
    numbers = {class_name: number for number, class_name in enumerate(row.recall)}
    facts: dict[tuple[str, int], tuple[int, bool]] = {}
    results: dict[tuple[str, int], list[bool]] = {}
    for fold, part in parts:
        columns = (part.clip_ids, part.labels.tolist(), part.has_face.tolist(), part.is_right.tolist())
        for clip_id, label, has_face, is_right in zip(*columns, strict=True):
            facts[clip_id, fold] = (numbers[part.class_names[label]], has_face)
            results.setdefault((clip_id, fold), []).append(is_right)
    keys = sorted(facts)
    folds = np.array([fold for _, fold in keys], np.int64)
    units = np.zeros(len(keys), np.int64)
    for fold in np.unique(folds):
        units[folds == fold] = resampling_units(order, [clip_id for clip_id, of_fold in keys if of_fold == fold])
    return TestedClips(
        name,
        row,
        tuple(clip_id for clip_id, _ in keys),
        folds,
        np.array([facts[key][0] for key in keys], np.int64),
        np.array([np.mean(results[key]) for key in keys], np.float64),
        np.array([facts[key][1] for key in keys], np.bool_),
        units,
    )
