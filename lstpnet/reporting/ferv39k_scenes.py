"""FERV39k's table by scene: its 22 scenes are as unlike as datasets, and one figure for all hides that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfer_data.render.tables import Section, per_cent
from lstpnet import metrics
from lstpnet.reporting.external_predictions import read_given_predictions
from lstpnet.runs import Run

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

_DATASET = "ferv39k"
_Key = tuple[str, str, str, str, int]
"""Prepared folder, its hash, recipe, checkpoint, fold."""
_Numbers = npt.NDArray[np.int64]
_Scores = Mapping[str, metrics.Scores]


@dataclass(frozen=True)
class SceneRow:
    """One scene's test clips under one checkpoint; figures are fractions 0..1, with several seeds their mean."""

    prepared: str
    """Name of the prepared folder."""
    dataset_sha256: str
    """Hash of the prepared dataset."""
    recipe: str
    """Name of the recipe; of the file for predictions from elsewhere."""
    checkpoint: str
    """One of runs.CHECKPOINTS; empty for predictions from elsewhere."""
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
    scored: dict[_Key, dict[int, _Scores]] = {}
    for run in runs:
        info = run.info
        for part in run.predictions if info.dataset == _DATASET else ():
            if not part.control:
                key = (info.prepared, info.dataset_sha256, info.recipe, part.checkpoint, info.fold)
                labels = np.array([info.class_names.index(label) for label in part.labels], np.int64)
                guesses = metrics.predicted_classes(part.logits)
                scores = _scores(part.clip_ids, labels, guesses, num_classes=len(info.class_names))
                scored.setdefault(key, {})[info.seed] = scores
    rows = [
        _rows(key, [by_seed[seed] for seed in sorted(by_seed)], seeds=tuple(sorted(by_seed)))
        for key, by_seed in sorted(scored.items())
    ]
    return tuple(row for group in rows for row in group)


def scene_rows_of_predictions(path: Path, dataset: PreparedDataset, *, fold: int) -> tuple[SceneRow, ...]:
    """Score anybody's predictions of FERV39k scene by scene; see `given.read_given_predictions` for its errors."""
    document = dataset.document
    if document["dataset"] != _DATASET:
        return ()
    given = read_given_predictions(path, dataset, fold=fold)
    scores = _scores(given.clip_ids, given.labels, given.predictions, num_classes=len(dataset.class_names))
    return tuple(_rows((dataset.root.resolve().name, document["sha256"], path.name, "", fold), [scores], seeds=()))


def _scores(clip_ids: Sequence[str], labels: _Numbers, guesses: _Numbers, *, num_classes: int) -> _Scores:
    scenes = np.array([clip_id.partition("/")[0] for clip_id in clip_ids])
    found = {}
    for scene in sorted(set(scenes.tolist())):
        mine = scenes == scene
        found[scene] = metrics.score(metrics.confusion_matrix(labels[mine], guesses[mine], num_classes=num_classes))
    return found


def _rows(key: _Key, parts: Sequence[_Scores], *, seeds: tuple[int, ...]) -> Iterable[SceneRow]:
    """Yield the rows of one checkpoint; `parts`: of each seed, or of the one file."""
    for scene in parts[0]:
        scores = [part[scene] for part in parts]
        war, uar = metrics.mean([one.war for one in scores]), metrics.mean([one.uar for one in scores])
        yield SceneRow(*key, seeds, scene, scores[0].num_clips, war, uar, scores[0].num_classes_present)


def scene_sections(rows: Sequence[SceneRow]) -> list[Section]:
    """Return a table for each recipe and checkpoint."""
    groups: dict[tuple[Any, ...], list[SceneRow]] = {}
    for row in rows:
        groups.setdefault(
            (row.prepared, row.dataset_sha256, row.recipe, row.checkpoint, row.fold, row.seeds), []
        ).append(row)
    return [_section(group) for group in groups.values()]


def _section(rows: Sequence[SceneRow]) -> Section:
    first = rows[0]
    cells = tuple(
        (row.scene, str(row.n), per_cent(row.war), per_cent(row.uar), str(row.num_classes_present)) for row in rows
    )
    words = " ".join(map(str, first.seeds))
    seeds = f", mean of seeds {words}" if len(first.seeds) > 1 else f", seed {words}" if words else ""
    name = f"{first.recipe} {first.checkpoint}".rstrip()
    title = f"{first.prepared}, {len(rows)} scenes: {name}, fold {first.fold}{seeds}: per cent"
    notes = ("UAR over the classes that a scene has test clips of",)
    return Section(title, ("scene", "n", "WAR", "UAR", "classes"), cells, notes)
