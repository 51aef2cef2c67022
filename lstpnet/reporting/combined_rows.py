"""Combine the rows of folds and seeds.

Folds of one seed get two more rows: `mean` (of the folds' figures, with `fold_std`) and `pooled` (all predictions
counted together). Several seeds get one more, with the `seed_std` of the seeds' mean rows. The two deviations measure
different things (difficulty of the splits, with training and sampling noise; training noise alone) and are never
merged.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dfer_data.errors import UsageError
from dfer_data.render.tables import listed
from lstpnet import metrics
from lstpnet.dataset_identity import folds_words
from lstpnet.predictions import ScoredPredictions, pooled_predictions
from lstpnet.reporting.rows import Row, common_parts, figure_fields, grouped, interval_fields, section_key
from lstpnet.reporting.uncertainty.mean_intervals import FoldOfRow, mean_intervals
from lstpnet.reporting.uncertainty.significance import ScoredFold

_DIFFERS = "the rest differs between its runs"


@dataclass(frozen=True, eq=False)
class ScoredRow:
    """A row with its counts, so that folds can be pooled."""

    row: Row
    part: ScoredPredictions
    clips: ScoredFold


def with_summaries(scored: Sequence[ScoredRow]) -> list[Row]:
    """Return the rows, followed by those that combine folds and seeds."""
    rows = [item.row for item in scored]
    seed_rows: list[tuple[Row, list[ScoredRow]]] = []
    for group in grouped(scored, lambda item: (*_group_key(item.row), item.row.seed)):
        _refuse_repeated_folds([item.row for item in group])
        if len(group) == 1:
            seed_rows.append((group[0].row, group))
            continue
        group = sorted(group, key=lambda item: item.row.folds)
        seed_rows.append((_mean_of_folds(group), group))
        rows += [seed_rows[-1][0], _pooled(group)]
    for same_folds in grouped(seed_rows, lambda item: (*_group_key(item[0]), item[0].folds)):
        if len(same_folds) > 1:
            rows.append(_mean_of_seeds(sorted(same_folds, key=lambda item: item[0].seeds)))
    return rows


def _group_key(row: Row) -> tuple[Any, ...]:
    """Return the key that rows must share to be combined; newly prepared data under an old name is different data."""
    return (*section_key(row), row.recipe, row.checkpoint, row.control)


def _refuse_repeated_folds(rows: Sequence[Row]) -> None:
    first_rows: dict[tuple[int, ...], Row] = {}
    for row in rows:
        if (earlier := first_rows.setdefault(row.folds, row)) is not row:
            name = f"{row.recipe} {folds_words(row.folds, row.fold_set)} seed {row.seed}"
            raise UsageError(
                f"{earlier.run} and {row.run} are both {name}, which would count twice: name only one of them"
            )


def _mean_of_folds(group: Sequence[ScoredRow]) -> Row:
    rows = [item.row for item in group]
    intervals = mean_intervals([_folds(group)], rows[0].unit)
    changes: dict[str, Any] = {"n": sum(row.n for row in rows), "fold_std": _deviations(rows)}
    return _averaged(rows, fold="mean", note=_note_of_mean(rows), **changes, **intervals)


def _mean_of_seeds(seed_rows: Sequence[tuple[Row, Sequence[ScoredRow]]]) -> Row:
    rows = [row for row, _ in seed_rows]
    intervals = mean_intervals([_folds(group) for _, group in seed_rows], rows[0].unit)
    counts = dict.fromkeys(row.n for row in rows)
    words = [f"the seeds tested other clips ({', '.join(map(str, counts))})"] if len(counts) > 1 else []
    changes: dict[str, Any] = {"fold_std": None, "seed_std": _deviations(rows), "note": _joined_notes(rows, *words)}
    return _averaged(rows, seed="mean", **changes, **intervals)


def _folds(group: Sequence[ScoredRow]) -> list[FoldOfRow]:
    return [(item.row.folds[0], item.part, item.clips) for item in group]


def _note_of_mean(rows: Sequence[Row]) -> str:
    """Return the notes of the folds, and which classes have no test clips in some of them."""
    missing = [(row.fold, [name for name, recall in row.recall.items() if recall is None]) for row in rows]
    lacks = [f"fold {fold} has no test clips of {listed(names)}" for fold, names in missing if names]
    words = [f"incomplete mean, {', '.join(lacks)}"] if lacks else []
    return _joined_notes(rows, *words)


def _averaged(rows: Sequence[Row], **changes: Any) -> Row:
    """Return a row of mean figures; `changes` are fields of that row. Counts of clips with a face add up over folds."""
    is_over_folds = changes.get("fold") == "mean"
    by_class = {
        key: {name: _mean_present([getattr(row, key)[name] for row in rows]) for name in rows[0].recall}
        for key in ("recall", "precision", "f1")
    }
    figures = {name: metrics.mean([getattr(row, name) for row in rows]) for name in ("war", "uar", "macro_f1")}
    figures_with_face = {f"{name}_with_face": _mean_with_face(rows, name) for name in ("war", "uar")}
    num_with_face = sum(row.n_with_face for row in rows) if is_over_folds else rows[0].n_with_face
    num_present = min(row.num_classes_present for row in rows)
    counts = {"n_with_face": num_with_face, "num_classes_present": num_present}
    shared = _shared_fields(rows) | figures | figures_with_face | counts
    no_values: dict[str, Any] = dict.fromkeys(("war_interval", "uar_interval", "confusion"))
    return replace(rows[0], **(by_class | no_values | shared | changes))


def _mean_present(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return metrics.mean(present) if present else None


def _mean_with_face(rows: Sequence[Row], name: str) -> float | None:
    """Return the mean over rows of a figure on the clips with a face; None if all clips of all rows have a face."""
    if all(row.n_with_face == row.n for row in rows):
        return None
    values = [getattr(row, name if row.n_with_face == row.n else f"{name}_with_face") for row in rows]
    return None if None in values else metrics.mean(values)


def _shared_fields(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the fields, other than figures, of a row that combines several runs."""
    try:
        common_folder = os.path.commonpath([row.run for row in rows]) or "."
    except ValueError:  # absolute and relative paths
        common_folder = ""
    common_protocol = common_parts(row.protocol for row in rows)
    if len({row.protocol for row in rows}) > 1 and _DIFFERS not in common_protocol:
        common_protocol = [*common_protocol, _DIFFERS]
    return {
        "run": Path(common_folder).as_posix() if common_folder else "",
        "folds": tuple(sorted({fold for row in rows for fold in row.folds})),
        "seeds": tuple(sorted({seed for row in rows for seed in row.seeds})),
        "n_train": rows[0].n_train if len({row.n_train for row in rows}) == 1 else None,
        "n_val": rows[0].n_val if len({row.n_val for row in rows}) == 1 else None,
        "protocol": "; ".join(common_protocol),
        "clips_without_face": tuple(sorted({clip_id for row in rows for clip_id in row.clips_without_face})),
        "note": _joined_notes(rows),
        "unverified": any(row.unverified for row in rows),
    }


def _joined_notes(rows: Sequence[Row], *more: str) -> str:
    return "; ".join(dict.fromkeys([*more, *(note for row in rows for note in row.note.split("; ") if note)]))


def _pooled(group: Sequence[ScoredRow]) -> Row:
    rows = [item.row for item in group]
    figures = figure_fields(pooled_predictions([item.part for item in group]))
    intervals = interval_fields([item.clips for item in group], rows[0].unit)
    return replace(rows[0], fold="pooled", **(_shared_fields(rows) | figures | intervals))


def _deviations(rows: Sequence[Row]) -> dict[str, float | None]:
    return {name: metrics.sample_std([getattr(row, name) for row in rows]) for name in ("war", "uar")}
