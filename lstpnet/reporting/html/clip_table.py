"""What a report's page knows about single clips: what each system says about them, and their filmstrips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfer_data.errors import CorruptDataError
from lstpnet.metrics import predicted_classes
from lstpnet.reporting.html.filmstrip import clip_filmstrip
from lstpnet.reporting.systems import System
from lstpnet.runs import Predictions, Run

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

MAX_FILMSTRIPS = 2000
"""Filmstrips in a page unless somebody asks for another number."""
MAX_BYTES = 28_500_000
"""Filmstrips and predictions of a page together, in characters: with its tables it stays under 30 MB."""
_FRACTIONS = 1000  # probabilities are stored in thousandths


@dataclass(frozen=True)
class View:
    """One system with one seed: what it predicts for each test clip of its folds."""

    name: str
    """System and seed."""
    dataset: int
    """Place of its clips in `Drilldown.datasets`."""
    clips: list[list[Any]]
    """One a clip: place of the clip, fold, predicted class, 1 with a face else 0, probabilities in thousandths, and the
    attention to each of its sixteen frames in thousandths where there is any."""


@dataclass
class ClipTable:
    """Clips of one prepared dataset, in the order in which they were first seen."""

    prepared: str
    """Name of the prepared folder."""
    sha256: str
    """Hash of the prepared dataset."""
    class_names: tuple[str, ...]
    """In the order of the numbers."""
    ids: list[str] = field(default_factory=list)
    """Clip ids."""
    labels: list[int] = field(default_factory=list)
    """Class numbers."""
    places: dict[str, int] = field(default_factory=dict)
    """Clip id -> place in `ids`."""

    def place(self, clip_id: str, label: int) -> int:
        """Return the place of a clip, a new one for a new clip."""
        if clip_id not in self.places:
            self.places[clip_id] = len(self.ids)
            self.ids.append(clip_id)
            self.labels.append(label)
        return self.places[clip_id]


@dataclass(frozen=True)
class Drilldown:
    """All clips that the systems of a report were tested on."""

    datasets: list[ClipTable]
    """Their clips."""
    views: list[View]
    """What the systems say."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values for the page's script."""
        return {
            "datasets": [
                {"name": table.prepared, "classes": list(table.class_names), "ids": table.ids, "labels": table.labels}
                for table in self.datasets
            ],
            "views": [{"name": view.name, "dataset": view.dataset, "clips": view.clips} for view in self.views],
        }


def drilldown_of(systems: Sequence[System], runs: Sequence[Run]) -> Drilldown:
    """Gather the clips and predictions of systems, seed by seed, folds in order."""
    tables: dict[tuple[str, str], ClipTable] = {}
    views: dict[tuple[str, int], View] = {}
    places = list[tuple[str, str]]()
    for system, run, part in _parts(systems, runs):
        key = (run.info.prepared, run.info.dataset_sha256)
        if key not in tables:
            tables[key] = ClipTable(*key, class_names=run.info.class_names)
            places.append(key)
        several = len(system.row.seeds) > 1
        name = f"{system.name} seed {run.info.seed}" if several else system.name
        view = views.setdefault((system.name, run.info.seed), View(name, places.index(key), []))
        view.clips.extend(_clips(tables[key], run, part))
    return Drilldown(list(tables.values()), list(views.values()))


def _parts(systems: Sequence[System], runs: Sequence[Run]) -> Iterator[tuple[System, Run, Predictions]]:
    for system in systems:
        row = system.row
        for run in sorted(runs, key=lambda run: (run.info.seed, run.info.fold)):
            info = run.info
            same = (info.prepared, info.dataset_sha256, info.recipe) == (row.prepared, row.dataset_sha256, row.recipe)
            if same and info.seed in row.seeds and info.fold in row.folds:
                for part in run.predictions:
                    if (part.checkpoint, part.control) == (row.checkpoint, row.control):
                        yield system, run, part


def _clips(table: ClipTable, run: Run, part: Predictions) -> Iterator[list[Any]]:
    numbers = {name: number for number, name in enumerate(run.info.class_names)}
    guesses = predicted_classes(part.logits)
    shares = np.rint(_FRACTIONS * softmax(part.logits)).astype(int)
    for place, (clip_id, label) in enumerate(zip(part.clip_ids, part.labels, strict=True)):
        clip = table.place(clip_id, numbers[label])
        facts = [clip, run.info.fold, int(guesses[place]), int(part.has_face[place]), shares[place].tolist()]
        yield facts + _attention(part, place)


def _attention(part: Predictions, place: int) -> list[list[int]]:
    """Return the attention to the frames of a clip, if any."""
    if part.attention is None or np.isnan(part.attention[place]).any():
        return []
    return [np.rint(_FRACTIONS * part.attention[place]).astype(int).tolist()]


def softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return probabilities (N, C) that sum to 1; -inf is 0."""
    raised = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def filmstrips(
    drilldown: Drilldown,
    datasets: Mapping[str, PreparedDataset],
    *,
    most: int = MAX_FILMSTRIPS,
    max_bytes: int = MAX_BYTES,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[dict[str, str], list[str]]:
    """Return `dataset-clip` -> filmstrip in base 64, and what could not be shown.

    Where there are more clips than `most`, or than fit into `max_bytes`, those that the first system has wrong come
    first, the most confident ones before all.
    """
    wanted = _in_order(drilldown, datasets)
    strips, notes, num_bytes = dict[str, str](), list[str](), 0
    for number, (place, clip) in enumerate(wanted):
        table = drilldown.datasets[place]
        if len(strips) == most or num_bytes > max_bytes:
            notes.append(f"filmstrips of {len(strips)} of {len(wanted)} clips: confident errors first")
            break
        try:
            strip = clip_filmstrip(datasets[table.sha256], table.ids[clip])
        except CorruptDataError as error:
            notes.append(f"no filmstrip of {table.ids[clip]}: {error}")
            continue
        strips[f"{place}-{clip}"] = strip
        num_bytes += len(strip)
        on_progress(number + 1, min(most, len(wanted)))
    return strips, notes


def _in_order(drilldown: Drilldown, datasets: Mapping[str, PreparedDataset]) -> list[tuple[int, int]]:
    """Return (dataset, clip) of all clips that have frames here."""
    ranks: dict[tuple[int, int], tuple[int, int]] = {}
    for view in drilldown.views:
        table = drilldown.datasets[view.dataset]
        for clip, _, guess, has_face, shares, *_ in view.clips:
            if has_face and table.sha256 in datasets:
                is_right = int(guess == table.labels[clip])
                ranks.setdefault((view.dataset, clip), (is_right, -max(shares)))
    return sorted(ranks, key=lambda key: ranks[key])
