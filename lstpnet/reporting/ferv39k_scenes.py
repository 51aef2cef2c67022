"""Build FERV39k's table by scene: its 22 scenes differ as much as datasets, and one figure for all hides that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dfer_data.render.tables import Section, per_cent
from dfer_data.wording import by_number, counted
from lstpnet import metrics
from lstpnet.dataset_identity import DataKey, data_key, fold_words
from lstpnet.finished_runs import ScoredRun
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.external_predictions import ExternalPredictions

_DATASET = "ferv39k"
_Key = tuple[DataKey, str, str, int]
"""Data, recipe, checkpoint, fold."""
_Scores = Mapping[str, metrics.Scores]


@dataclass(frozen=True)
class SceneRow:
    """Figures of one checkpoint on one scene's test clips: fractions 0..1, the mean over several seeds."""

    prepared: str
    """Name of the prepared folder."""
    dataset_sha256: str
    """Hash of the clips of the prepared dataset, as in RunInfo."""
    labels_sha256: str
    folds_sha256: str
    fold_set: str
    """Name of the set of folds."""
    recipe: str
    """Name of the recipe; name of the file for external predictions."""
    checkpoint: str
    """One of predictions.CHECKPOINTS; empty for external predictions."""
    fold: int
    """Number of the fold."""
    seeds: tuple[int, ...]
    """Seeds of the row's runs; empty for external predictions without seeds."""
    scene: str
    n: int
    """Number of the scene's test clips."""
    war: float
    """Share of them that are predicted correctly."""
    uar: float
    """Mean of the recalls over the classes present."""
    num_classes_present: int
    """Number of classes with test clips in the scene."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return asdict(self) | {"seeds": list(self.seeds)}


def scene_rows(runs: Iterable[ScoredRun]) -> tuple[SceneRow, ...]:
    """Return FERV39k's runs scene by scene; other datasets and controls get no rows."""
    scored: dict[_Key, dict[int, _Scores]] = {}
    for run in runs:
        info = run.info
        for part in run.parts if info.dataset == _DATASET else ():
            if not part.control:
                key = (*run.key, str(part.checkpoint), info.fold)
                scored.setdefault(key, {})[info.seed] = _scores_of_scenes(part)
    rows = [_rows(key, dict(sorted(scored[key].items()))) for key in sorted(scored, key=_order)]
    return tuple(row for group in rows for row in group)


def _order(key: _Key) -> tuple[Any, ...]:
    data, recipe, checkpoint, fold = key
    return by_number(data.prepared), data, by_number(recipe), checkpoint, fold


def scene_rows_of_predictions(external: ExternalPredictions) -> tuple[SceneRow, ...]:
    """Return external FERV39k predictions scene by scene; other datasets get no rows."""
    dataset, rows = external.dataset, list[SceneRow]()
    if dataset.document["dataset"] != _DATASET:
        return ()
    for fold in sorted({part.fold for part in external.parts}):
        parts = [part for part in external.parts if part.fold == fold]
        fold_set = parts[0].fold_set
        key = (data_key(dataset.root.resolve().name, dataset.identity(fold_set), fold_set), external.name, "", fold)
        rows += _rows(key, {part.seed: _scores_of_scenes(part.scored) for part in parts})
    return tuple(rows)


def _scores_of_scenes(part: ScoredPredictions) -> _Scores:
    scenes = np.array([clip_id.partition("/")[0] for clip_id in part.clip_ids])
    return {scene: part.scores_of(scenes == scene) for scene in sorted(set(scenes.tolist()))}


def _rows(key: _Key, scores_by_seed: Mapping[int, _Scores] | Mapping[int | None, _Scores]) -> Iterable[SceneRow]:
    """Yield the rows of one checkpoint; a scene's row is over the seeds that tested it."""
    for scene in sorted({scene for by_scene in scores_by_seed.values() for scene in by_scene}):
        by_seed = {seed: by_scene[scene] for seed, by_scene in scores_by_seed.items() if scene in by_scene}
        scores, seeds = list(by_seed.values()), tuple(seed for seed in by_seed if seed is not None)
        war, uar = metrics.mean([score.war for score in scores]), metrics.mean([score.uar for score in scores])
        yield SceneRow(*key[0], *key[1:], seeds, scene, scores[0].num_clips, war, uar, scores[0].num_classes_present)


def scene_sections(rows: Sequence[SceneRow]) -> list[Section]:
    """Return a table for each recipe and checkpoint."""
    groups: dict[tuple[Any, ...], list[SceneRow]] = {}
    for row in rows:
        data = DataKey(row.prepared, row.dataset_sha256, row.labels_sha256, row.folds_sha256, row.fold_set)
        groups.setdefault((data, row.recipe, row.checkpoint, row.fold, row.seeds), []).append(row)
    return [_section(group) for group in groups.values()]


def _section(rows: Sequence[SceneRow]) -> Section:
    first = rows[0]
    cells = tuple(
        (row.scene, str(row.n), per_cent(row.war), per_cent(row.uar), str(row.num_classes_present)) for row in rows
    )
    seed_list = " ".join(map(str, first.seeds))
    seeds = f", mean of seeds {seed_list}" if len(first.seeds) > 1 else f", seed {seed_list}" if seed_list else ""
    name = f"{first.recipe} {first.checkpoint}".rstrip()
    what = f"{name}, {fold_words(first.fold, first.fold_set)}{seeds}"
    title = f"{first.prepared}, {counted(len(rows), 'scene')}: {what}: per cent"
    notes = ("UAR over the classes that a scene has test clips of",)
    return Section(title, ("scene", "n", "WAR", "UAR", "classes"), cells, notes)
