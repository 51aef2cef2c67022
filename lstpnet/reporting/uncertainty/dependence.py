"""Decide which test clips are alike because they share a source, and number the units that resampling draws as a whole.

    order_of_runs(runs) -> IdOrder;  resampling_units(order, clip_ids) -> (N,) unit numbers of one fold's clips

The order of a dataset's ids is a fact of the dataset: `official.json` holds it with its evidence, run.json holds the
verdict of the lag-1 test on the whole prepared dataset, and `dfer inspect` prints that test. Without both, the labels
of the runs' own test clips are tested. docs/benchmarks.md has how often the intervals of each unit hold the truth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from dfer_data.inspection.id_order import combined_order, lag_one_test, neighbours_of, order_of_dataset
from dfer_data.render.tables import per_cent
from dfer_data.sources.official_counts import IdOrder, OrderKind
from lstpnet.dataset_identity import clips_key
from lstpnet.reporting.run_audit import RunAudit, audit_in, audit_of
from lstpnet.reporting.run_people import people_of
from lstpnet.reporting.uncertainty.significance import Interval, Intervals, ScoredFold, bootstrap

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset
    from lstpnet.finished_runs import ScoredRun
    from lstpnet.predictions import ScoredPredictions

Unit = Literal["clips", "clusters", "blocks", "people"]
UNIT_NOTES = MappingProxyType(
    {
        "clips": "clips treated as independent; film membership unknown; a lower bound of the uncertainty",
        "clusters": "clips that `dfer audit` groups (copies, and persons after --identity) together, other clips "
        "treated as independent; film membership unknown; a lower bound of the uncertainty",
        "blocks": "blocks of neighbouring ids over all classes of a fold, since neighbouring ids are alike",
        "people": "all clips of a person together",
    }
)
"""Unit of resampling -> what the line of its interval says."""


def unit_of(order: IdOrder) -> Unit:
    """Return the unit that resampling draws as a whole, for a dataset with this order of ids."""
    if order.kind == "people":
        return "people"
    if order.kind == "ordered":
        return "blocks"
    return "clusters" if order.clusters else "clips"


def resampling_units(order: IdOrder, clip_ids: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the unit of each clip of one fold, (N,) int64, numbered from 0 in the order of ids.

    A unit is one clip (order `none seen`), a group of an audit, a block of neighbouring ids over all classes
    (`ordered`), or all clips of a person (`people`). `clip_ids`: (N,) unique ids of the fold, in any order.
    """
    unit = unit_of(order)
    if unit in ("people", "clusters"):
        if order.persons:  # an id is never taken for the name of a person
            names = [f"person {person}" if (person := order.persons.get(i)) else f"clip {i}" for i in clip_ids]
        elif unit == "people":
            names = [_person(order, clip_id) for clip_id in clip_ids]
        else:  # an id is never taken for the name of a group
            names = [f"group {group}" if (group := order.clusters.get(i)) else f"clip {i}" for i in clip_ids]
        return np.unique(np.array(names, dtype=str), return_inverse=True)[1].astype(np.int64).reshape(-1)
    ranks = np.empty(len(clip_ids), np.int64)
    ranks[np.argsort(np.array(clip_ids, dtype=object), kind="stable")] = np.arange(len(clip_ids))
    return ranks if unit == "clips" else ranks * num_blocks(len(clip_ids)) // max(1, len(clip_ids))


def num_blocks(num_clips: int) -> int:
    """Return the number of blocks of neighbours in a fold of `num_clips`: about its square root, as is their length."""
    return max(1, round(math.sqrt(num_clips)))


def _person(order: IdOrder, clip_id: str) -> str:
    match = re.match(order.person_pattern, clip_id)
    return match[1] if match else clip_id


def order_of_runs(runs: Sequence[ScoredRun]) -> IdOrder:
    """Return the order of ids in the dataset of runs, from what is known of it and what the runs record.

    Runs of an older dfer record nothing: the labels of all their test clips are tested instead.
    """
    info, recorded = runs[0].info, {run.info.id_order for run in runs} - {""}
    if recorded:
        tested: OrderKind = "ordered" if "ordered" in recorded else "none seen"
    else:
        parts = [run.parts[0] for run in runs]
        clips = {part.clip_ids[i]: part.class_names[number] for part in parts for i, number in enumerate(part.labels)}
        tested = lag_one_test(list(clips), list(clips.values())).verdict
    order = combined_order(info.dataset, tested, is_synthetic=info.synthetic)
    people = people_of(info)
    if _has_several(people, (run.parts[0].clip_ids for run in runs)):
        order = IdOrder("people", persons=people)
    return with_audit(order, audit_of(info.data_key))


def order_of_external(dataset: PreparedDataset, folds: Iterable[Sequence[str]]) -> IdOrder:
    """Return the order of ids in the dataset of external predictions. `folds`: the test clips of each."""
    order = order_of_dataset(dataset)
    if order.persons and not _has_several(order.persons, folds):
        order = IdOrder(neighbours_of(dataset).verdict)
    return with_audit(order, audit_in(dataset.root, clips_key(dataset)))


def _has_several(people: Mapping[str, str], folds: Iterable[Sequence[str]]) -> bool:
    """Return whether any fold tests several people; where each tests one, no interval could come from people."""
    return bool(people) and any(len({people.get(clip_id, "") for clip_id in clip_ids}) > 1 for clip_ids in folds)


def with_audit(order: IdOrder, audit: RunAudit | None) -> IdOrder:
    """Return the order with the groups of an audit; people and blocks of ids are larger units, and stay."""
    return order if audit is None else replace(order, clusters=audit.clusters)


def scored_fold(part: ScoredPredictions, order: IdOrder) -> ScoredFold:
    """Return the clips of a fold's predictions with their units."""
    return ScoredFold(part.labels, part.is_right, resampling_units(order, part.clip_ids))


def intervals_by_unit(folds: Sequence[ScoredFold], unit: Unit) -> dict[str, Intervals]:
    """Return the intervals of folds by unit of resampling: `clips`, and the folds' own `unit`.

    A unit is left out where no fold has two of it.
    """
    single_clips = [ScoredFold(fold.labels, fold.correct, np.arange(len(fold.labels))) for fold in folds]
    intervals = {name: bootstrap(units) for name, units in {unit: folds, "clips": single_clips}.items()}
    return {name: interval for name, interval in intervals.items() if interval is not None}


def headline_interval(intervals: Mapping[str, Interval] | None, unit: Unit) -> Interval | None:
    """Return the interval of the unit; None if there is none."""
    return (intervals or {}).get(unit)


def interval_text(interval: Interval | None) -> str:
    """Return an interval in per cent; `-` if there is none."""
    return "-" if interval is None else f"{per_cent(interval.low)} to {per_cent(interval.high)}"


def interval_note(unit: Unit) -> str:
    """Return what the line of an interval says about the clips that it treats as independent."""
    return f"95 %: {UNIT_NOTES[unit]}"
