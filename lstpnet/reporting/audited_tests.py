"""Score runs on the test clips of which their train part holds no copy, where the prepared dataset has an audit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dfer_data.errors import DferError
from dfer_data.render.tables import Section, per_cent
from lstpnet.dataset_identity import DataKey, fold_words
from lstpnet.finished_runs import ScoredRun
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.run_audit import audit_of

_HEADER = ("recipe", "checkpoint", "seed", "fold", "n", "WAR", "UAR", "n clean", "WAR clean", "UAR clean")
_NOTE = (
    "clean: test clips without a copy, another part of their video or, after `dfer audit --identity`, another clip of "
    "their person in the train part; an audit names candidates, and some clips are easier than others: a difference is "
    "not the effect of the copies alone"
)


@dataclass(frozen=True)
class AuditedRow:
    """Figures of one run and checkpoint on its clean test clips: fractions 0..1."""

    prepared: str
    recipe: str
    checkpoint: str
    seed: int
    fold: str
    """`3`, or `3 of NAME` for an own set of folds."""
    n: int
    """Number of all test clips."""
    war: float
    uar: float
    n_clean: int
    """Number of test clips without a copy in the train part."""
    war_clean: float | None
    """None without clean clips."""
    uar_clean: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self)


def audited_rows(runs: Iterable[ScoredRun]) -> tuple[AuditedRow, ...]:
    """Return the rows of runs whose dataset, under `prepared`, is that of their training and has a current audit."""
    rows = []
    clean_ids: dict[tuple[DataKey, int], frozenset[str] | None] = {}
    for run in runs:
        key = (run.info.data_key, run.info.fold)
        if key not in clean_ids:
            clean_ids[key] = _clean_clips(*key)
        if (clip_ids := clean_ids[key]) is not None:
            rows += [_row(run, part, clip_ids) for part in run.parts if not part.control]
    return tuple(rows)


def audit_sections(rows: Sequence[AuditedRow]) -> list[Section]:
    """Return one table per prepared dataset."""
    sections = []
    for prepared in dict.fromkeys(row.prepared for row in rows):
        cells = tuple(_cells(row) for row in rows if row.prepared == prepared)
        sections.append(Section(f"{prepared}: test clips without a copy in train", _HEADER, cells, (_NOTE,)))
    return sections


def _cells(row: AuditedRow) -> tuple[str, ...]:
    names = (row.recipe, row.checkpoint, str(row.seed), row.fold)
    figures = (row.n, row.war, row.uar, row.n_clean, row.war_clean, row.uar_clean)
    return (*names, *(str(value) if isinstance(value, int) else per_cent(value) for value in figures))


def _clean_clips(key: DataKey, fold: int) -> frozenset[str] | None:
    """Return the test clips of a fold whose group has no train clip; None without an audit of this data."""
    audit = audit_of(key)
    try:
        if audit is None or audit.dataset.identity(key.fold_set) != key.identity:
            return None
        splits = audit.dataset.fold(str(fold), fold_set=key.fold_set)
    except DferError:
        return None
    groups = audit.groups
    train = {groups[clip_id] for clip_id, split in splits.items() if split == "train"}
    return frozenset(clip_id for clip_id, split in splits.items() if split == "test" and groups[clip_id] not in train)


def _row(run: ScoredRun, part: ScoredPredictions, clip_ids: frozenset[str]) -> AuditedRow:
    mask = np.array([clip_id in clip_ids for clip_id in part.clip_ids], np.bool_)
    clean = part.scores_of(mask) if mask.any() else None
    return AuditedRow(
        prepared=run.info.prepared,
        recipe=run.info.recipe,
        checkpoint=part.checkpoint or "",
        seed=run.info.seed,
        fold=fold_words(run.info.fold, run.info.fold_set).removeprefix("fold "),
        n=part.scores.num_clips,
        war=part.scores.war,
        uar=part.scores.uar,
        n_clean=int(mask.sum()),
        war_clean=None if clean is None else clean.war,
        uar_clean=None if clean is None else clean.uar,
    )
