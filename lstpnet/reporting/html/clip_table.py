"""Collect the clips of a report's page: the predictions of each system and the filmstrips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dfer_data.errors import CorruptDataError
from dfer_data.frame_sampling import CLIP_FRAMES, DEFAULT_SAMPLER
from dfer_data.wording import counted
from lstpnet.dataset_identity import ClipsKey
from lstpnet.evaluation.calibration import probabilities
from lstpnet.finished_runs import ScoredRun
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.html.filmstrip import clip_filmstrip
from lstpnet.reporting.systems import System, parts_behind, read_settings

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

MAX_FILMSTRIPS = 2000
"""Default maximum number of filmstrips in a page."""
MAX_BYTES = 28_500_000
"""Maximum characters of filmstrips and predictions in a page, so that it stays under 30 MB with its tables."""
_FRACTIONS = 1000  # probabilities are stored in thousandths


@dataclass(frozen=True)
class View:
    """Predictions of one system with one seed for each test clip of its folds."""

    name: str
    """System and seed."""
    dataset: int
    """Index of its clips in `Drilldown.datasets`."""
    num_frames: int
    """Frames on a filmstrip: as many as its model reads of a clip by the default sampler; 16 for other samplers."""
    clips: list[list[Any]]
    """One entry per clip: index of the clip, fold, predicted class, 1 with a face else 0, probabilities in thousandths
    (of each label by itself for a network of several labels), and, if the model has attention, the attention to each
    frame in thousandths."""


@dataclass
class ClipTable:
    """Clips of one prepared dataset, in order of first appearance."""

    prepared: str
    """Name of the prepared folder."""
    clips: ClipsKey
    """Hashes of its clips and labels."""
    class_names: tuple[str, ...]
    """Class names, in the order of class numbers."""
    ids: list[str] = field(default_factory=list)
    """Clip ids."""
    labels: list[int] = field(default_factory=list)
    """Class number of each clip."""
    places: dict[str, int] = field(default_factory=dict)
    """Clip id -> index in `ids`."""

    def place(self, clip_id: str, label: int) -> int:
        """Return the index of a clip; append the clip if it is new."""
        if clip_id not in self.places:
            self.places[clip_id] = len(self.ids)
            self.ids.append(clip_id)
            self.labels.append(label)
        return self.places[clip_id]


@dataclass(frozen=True)
class Drilldown:
    """All clips that the systems of a report were tested on."""

    datasets: list[ClipTable]
    """Clips of each prepared dataset."""
    views: list[View]
    """Predictions of each system and seed."""

    def as_dict(self) -> dict[str, Any]:
        """Return the drilldown as JSON values for the page's script."""
        return {
            "datasets": [
                {"name": table.prepared, "classes": list(table.class_names), "ids": table.ids, "labels": table.labels}
                for table in self.datasets
            ],
            "views": [
                {"name": view.name, "dataset": view.dataset, "frames": view.num_frames, "clips": view.clips}
                for view in self.views
            ],
        }


def drilldown_of(systems: Sequence[System], runs: Sequence[ScoredRun]) -> Drilldown:
    """Collect the clips and predictions of the systems, seed by seed, with folds in order.

    Raises CorruptDataError for a damaged config.json.
    """
    tables: dict[tuple[str, ClipsKey], ClipTable] = {}
    views: dict[tuple[str, int], View] = {}
    dataset_keys = list[tuple[str, ClipsKey]]()
    pairs = ((system, *pair) for system in systems for pair in parts_behind(system.row, runs))
    for owner, run, part in pairs:
        key = (run.info.prepared, run.info.data_key.clips)
        if key not in tables:
            tables[key] = ClipTable(*key, class_names=run.info.class_names)
            dataset_keys.append(key)
        has_seeds = len(owner.row.seeds) > 1
        name = f"{owner.name} seed {run.info.seed}" if has_seeds else owner.name
        settings = read_settings(run)
        new_view = View(name, dataset_keys.index(key), _num_shown_frames(settings), [])
        view = views.setdefault((owner.name, run.info.seed), new_view)
        has_several = settings.get("targets") == "labels"
        view.clips.extend(_clips(tables[key], run.info.fold, part, has_several=has_several))
    return Drilldown(list(tables.values()), list(views.values()))


def _num_shown_frames(settings: Mapping[str, Any]) -> int:
    is_default = settings.get("sampler", DEFAULT_SAMPLER) == DEFAULT_SAMPLER
    return int(settings.get("num_frames", CLIP_FRAMES)) if is_default else CLIP_FRAMES


def _clips(table: ClipTable, fold: int, part: ScoredPredictions, *, has_several: bool) -> Iterator[list[Any]]:
    """Yield the entries of `View.clips`; `has_several`: the network judges each label by itself (targets = labels)."""
    assert part.logits is not None
    chances = probabilities(part.logits)
    if has_several:  # a clip without a face keeps the shares of the classes in train
        own_chances = np.exp(-np.logaddexp(0, -part.logits.astype(np.float64)))
        chances = np.where(part.has_face[:, None], own_chances, chances)
    shares = np.rint(_FRACTIONS * chances).astype(int)
    for i, (clip_id, label) in enumerate(zip(part.clip_ids, part.labels.tolist(), strict=True)):
        clip = table.place(clip_id, label)
        values = [clip, fold, int(part.predicted[i]), int(part.has_face[i]), shares[i].tolist()]
        yield values + _attention(part, i)


def _attention(predictions: ScoredPredictions, row_number: int) -> list[list[int]]:
    """Return a list with the attention to the frames of a clip; [] without attention."""
    if predictions.attention is None or np.isnan(predictions.attention[row_number]).any():
        return []
    return [np.rint(_FRACTIONS * predictions.attention[row_number]).astype(int).tolist()]


def filmstrips(
    drilldown: Drilldown,
    datasets: Mapping[ClipsKey, PreparedDataset],
    *,
    most: int = MAX_FILMSTRIPS,
    max_bytes: int = MAX_BYTES,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, str], list[str]]:
    """Return `dataset-clip-frames` -> filmstrip in base 64, and notes about missing filmstrips.

    If there are more clips than `most`, or than fit into `max_bytes`, clips that the first system predicts wrongly have
    priority, the most confident ones first.
    """
    ranked_clips = _rank_clips(drilldown, datasets)
    strips, notes, num_bytes = dict[str, str](), list[str](), 0
    for number, (dataset_index, clip, num_frames) in enumerate(ranked_clips):
        table = drilldown.datasets[dataset_index]
        if len(strips) == most or num_bytes > max_bytes:
            notes.append(f"filmstrips of {len(strips)} of {counted(len(ranked_clips), 'clip')}: confident errors first")
            break
        try:
            strip = clip_filmstrip(datasets[table.clips], table.ids[clip], num_frames=num_frames)
        except CorruptDataError as error:
            notes.append(f"no filmstrip of {table.ids[clip]}: {error}")
            continue
        strips[f"{dataset_index}-{clip}-{num_frames}"] = strip
        num_bytes += len(strip)
        on_progress(number + 1, min(most, len(ranked_clips)))
    return strips, notes


def _rank_clips(drilldown: Drilldown, datasets: Mapping[ClipsKey, PreparedDataset]) -> list[tuple[int, int, int]]:
    """Return (dataset index, clip index, number of frames) of all clips with a face in `datasets`, by priority."""
    ranks: dict[tuple[int, int, int], tuple[int, int]] = {}
    for view in drilldown.views:
        table = drilldown.datasets[view.dataset]
        for clip, _, predicted, has_face, shares, *_ in view.clips:
            if has_face and table.clips in datasets:
                is_correct = int(predicted == table.labels[clip])
                ranks.setdefault((view.dataset, clip, view.num_frames), (is_correct, -max(shares)))
    return sorted(ranks, key=lambda key: ranks[key])
