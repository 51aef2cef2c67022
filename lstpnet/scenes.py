"""FERV39k's table by scene: its 22 scenes are as unlike as datasets, and one figure for all hides that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lstpnet import metrics
from lstpnet.runs import Predictions, Run
from lstpnet.tables import Section, per_cent

_DATASET = "ferv39k"
_Key = tuple[str, str, str, str, int]
"""Prepared folder, its hash, recipe, checkpoint, fold."""


@dataclass(frozen=True)
class SceneRow:
    """One scene's test clips under one checkpoint; figures are fractions 0..1, with several seeds their mean."""

    prepared: str
    """Name of the prepared folder."""
    dataset_sha256: str
    """Hash of the prepared dataset."""
    recipe: str
    """Name of the recipe."""
    checkpoint: str
    """One of runs.CHECKPOINTS."""
    fold: int
    """Number of the fold."""
    seeds: tuple[int, ...]
    """Seeds that the row rests on."""
    scene: str
    """The scene."""
    n: int
    """Its test clips."""
    war: float
    """Share of them that are right."""
    uar: float
    """Mean of the recalls over the classes present."""
    num_classes_present: int
    """Classes with test clips in the scene."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self) | {"seeds": list(self.seeds)}


def scene_rows(runs: Iterable[Run]) -> tuple[SceneRow, ...]:
    """Score FERV39k's runs scene by scene; other datasets, and controls, have no rows."""
    scored: dict[_Key, dict[int, Mapping[str, metrics.Scores]]] = {}
    for run in runs:
        info = run.info
        for part in run.predictions if info.dataset == _DATASET else ():
            if not part.control:
                key = (info.prepared, info.dataset_sha256, info.recipe, part.checkpoint, info.fold)
                scored.setdefault(key, {})[info.seed] = _scores(part, info.class_names)
    return tuple(row for key, by_seed in sorted(scored.items()) for row in _rows(key, by_seed))


def _scores(part: Predictions, names: Sequence[str]) -> dict[str, metrics.Scores]:
    scenes = np.array([clip_id.partition("/")[0] for clip_id in part.clip_ids])
    labels = np.array([names.index(label) for label in part.labels], np.int64)
    guesses = metrics.predicted_classes(part.logits)
    found = {}
    for scene in sorted(set(scenes.tolist())):
        mine = scenes == scene
        confusion = metrics.confusion_matrix(labels[mine], guesses[mine], num_classes=len(names))
        found[scene] = metrics.score(confusion)
    return found


def _rows(key: _Key, by_seed: Mapping[int, Mapping[str, metrics.Scores]]) -> Iterable[SceneRow]:
    seeds = tuple(sorted(by_seed))
    for scene in by_seed[seeds[0]]:
        scores = [by_seed[seed][scene] for seed in seeds]
        war, uar = metrics.mean([one.war for one in scores]), metrics.mean([one.uar for one in scores])
        yield SceneRow(*key, seeds, scene, scores[0].num_clips, war, uar, scores[0].num_classes_present)


def scene_sections(rows: Sequence[SceneRow]) -> list[Section]:
    """Return a table for each recipe and checkpoint."""
    groups: dict[tuple[Any, ...], list[SceneRow]] = {}
    for row in rows:
        groups.setdefault((row.prepared, row.recipe, row.checkpoint, row.fold, row.seeds), []).append(row)
    return [_section(group) for group in groups.values()]


def _section(rows: Sequence[SceneRow]) -> Section:
    first = rows[0]
    cells = tuple(
        (row.scene, str(row.n), per_cent(row.war), per_cent(row.uar), str(row.num_classes_present)) for row in rows
    )
    many = len(first.seeds) > 1
    seeds = f"mean of seeds {' '.join(map(str, first.seeds))}" if many else f"seed {first.seeds[0]}"
    title = (
        f"{first.prepared}, {len(rows)} scenes: {first.recipe} {first.checkpoint}, fold {first.fold}, {seeds}: per cent"
    )
    notes = ("UAR over the classes that a scene has test clips of",)
    return Section(title, ("scene", "n", "WAR", "UAR", "classes"), cells, notes)
