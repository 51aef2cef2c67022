"""A row of a table: its figures and their intervals, its JSON values, and what it shares with other rows."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dfer_data.shards.identity import DatasetIdentity
from lstpnet.dataset_identity import DataKey, data_key
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.uncertainty.dependence import Unit, intervals_by_unit
from lstpnet.reporting.uncertainty.significance import Interval, ScoredFold

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T")
_NUMBERED = re.compile(r"(official fold|seed) (\d+)")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table; figures are fractions 0..1."""

    run: str
    """Run folder, or the common folder of the row's runs; the file for external predictions."""
    dataset: str
    """Name of the dataset."""
    prepared: str
    """Name of the prepared folder."""
    dataset_sha256: str
    """Hash of the clips of the prepared dataset, as in RunInfo."""
    labels_sha256: str
    """Hash of its labels; that of the clips where one hash stands for all."""
    folds_sha256: str
    """Hash of its set of folds, likewise."""
    fold_set: str
    """Name of the set of folds."""
    recipe: str | None
    """Name of the recipe; None for external predictions."""
    fold: int | Literal["mean", "pooled"]
    """Fold of the set, or how the `folds` are combined."""
    folds: tuple[int, ...]
    """Folds behind the row's figures."""
    seed: int | Literal["mean"] | None
    """Seed, or `mean` of the `seeds`; None for external predictions."""
    seeds: tuple[int, ...]
    """Seeds behind the row's figures."""
    checkpoint: str | None
    """One of predictions.CHECKPOINTS; None for external predictions."""
    control: str
    """How the test frames were changed; empty for unchanged frames."""
    n: int
    """Number of test clips of one seed, including those without a face."""
    war: float
    """Share of the clips that are predicted correctly."""
    uar: float
    """Mean recall over the classes present."""
    macro_f1: float
    """Mean F1 over the classes present."""
    num_classes_present: int
    """Number of classes with test clips; in a mean, the smallest number of a fold."""
    recall: Mapping[str, float | None]
    """Class name -> recall, None without test clips; in a mean, over the folds that have the class."""
    precision: Mapping[str, float | None]
    """Class name -> precision, None if never predicted; in a mean, over the folds that predict the class."""
    f1: Mapping[str, float | None]
    """Class name -> F1, None without test clips; in a mean, over the folds that have the class."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Clips by label (rows) and prediction (columns), in the order of `recall`; None for means."""
    n_with_face: int
    """Number of test clips with a usable track."""
    war_with_face: float | None
    """WAR of the clips with a face only; None if these are all clips, or none."""
    uar_with_face: float | None
    """UAR of the clips with a face only; None if these are all clips, or none."""
    clips_without_face: tuple[str, ...]
    """Ids of the test clips without a face, from all folds of the row."""
    fold_std: Mapping[str, float | None] | None = None
    """`war` and `uar`: deviation (ddof 1) over the folds of a `mean` of one seed; None in other rows."""
    seed_std: Mapping[str, float | None] | None = None
    """`war` and `uar`: deviation (ddof 1) over the seeds; None with one seed."""
    war_interval: Mapping[str, Interval] | None = None
    """95 % intervals by what is resampled: `clips`, and the row's `unit`; of a mean of seeds with training noise."""
    uar_interval: Mapping[str, Interval] | None = None
    """The same for UAR."""
    unit: Unit = "clips"
    """What the headline interval resamples; `blocks` of neighbouring ids, or `people`, where clips hang together."""
    n_train: int | None = None
    """Number of training clips; None if the row's runs differ."""
    n_val: int | None = None
    """Number of clips held out of train; None if the row's runs differ."""
    synthetic: bool
    """Whether the clips show rendered heads."""
    pipeline_version: int = 1
    """The `pipeline_version` of the data; rows of different versions are never combined."""
    protocol: str
    """Protocol line: what exactly is measured."""
    note: str
    """Caveats for comparisons; usually empty."""
    unverified: bool = False
    """Whether a run behind the row holds no hashes (dfer 0.1), so that a changed file would not be noticed."""

    @property
    def identity(self) -> DatasetIdentity:
        """Hashes of the clips, labels and folds."""
        return DatasetIdentity(self.dataset_sha256, self.labels_sha256, self.folds_sha256)

    @property
    def data_key(self) -> DataKey:
        """The data of the row; rows on other data are never combined with it."""
        return data_key(self.prepared, self.identity, self.fold_set)

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return json_values(self)


def json_values(row: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a row as JSON values: an interval as [low, high], a tuple as a list."""
    return {field.name: _plain(getattr(row, field.name)) for field in fields(row)}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return [value.low, value.high]
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def figure_fields(part: ScoredPredictions) -> dict[str, Any]:
    """Return a row's fields that are counted in predictions."""
    scores, with_face, names = part.scores, part.scores_with_face, part.class_names
    clip_ids = zip(part.clip_ids, part.has_face, strict=True)
    return {
        "n": scores.num_clips,
        "war": scores.war,
        "uar": scores.uar,
        "macro_f1": scores.macro_f1,
        "num_classes_present": scores.num_classes_present,
        "recall": dict(zip(names, scores.recalls, strict=True)),
        "precision": dict(zip(names, scores.precisions, strict=True)),
        "f1": dict(zip(names, scores.f1s, strict=True)),
        "confusion": tuple(map(tuple, part.confusion.tolist())),
        "n_with_face": int(part.has_face.sum()),
        "war_with_face": with_face.war if with_face else None,
        "uar_with_face": with_face.uar if with_face else None,
        "clips_without_face": tuple(sorted({clip_id for clip_id, is_seen in clip_ids if not is_seen})),
    }


def interval_fields(folds: Sequence[ScoredFold], unit: Unit) -> dict[str, Any]:
    """Return a row's fields `war_interval`, `uar_interval` and `unit`."""
    intervals = intervals_by_unit(folds, unit)
    fields_by_figure = {
        f"{figure}_interval": {name: found for name, pair in intervals.items() if (found := getattr(pair, figure))}
        or None
        for figure in ("war", "uar")
    }
    return {**fields_by_figure, "unit": unit}


def is_complete(row: Row) -> bool:
    """Return whether every class has test clips in every fold of a row."""
    return row.num_classes_present == len(row.recall)


def grouped(items: Iterable[_T], key: Callable[[_T], Any]) -> list[list[_T]]:
    """Group items with equal keys, in order of appearance."""
    groups: defaultdict[Any, list[_T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return list(groups.values())


def section_key(row: Row) -> tuple[Any, ...]:
    """Return the key that the rows of one table share."""
    return row.data_key, row.pipeline_version, tuple(row.recall)


def common_parts(protocols: Iterable[str]) -> list[str]:
    """Return the parts, separated by semicolons, that all protocols share."""
    parts = [protocol.split("; ") for protocol in protocols]
    return [part for part in parts[0] if all(part in other_parts for other_parts in parts)]


def with_all_numbers(protocols: Sequence[str]) -> list[str]:
    """Return protocols in which `seed 0` and `seed 1` have become `seeds 0 1`, and official folds alike.

    Only parts that every protocol has: the rows of the table say which number is whose.
    """
    found = [{match[1]: match for match in map(_NUMBERED.fullmatch, text.split("; ")) if match} for text in protocols]
    for words in ("official fold", "seed"):
        matches = [parts[words] for parts in found if words in parts]
        numbers = sorted({int(match[2]) for match in matches})
        if len(matches) == len(protocols) and len(numbers) > 1:
            whole = f"{words}s {' '.join(map(str, numbers))}"
            protocols = [
                "; ".join(whole if part == match[0] else part for part in text.split("; "))
                for text, match in zip(protocols, matches, strict=True)
            ]
    return list(protocols)


def protocol_notes(named: Sequence[tuple[str, str]]) -> list[str]:
    """Return the notes below a table: what the (name, protocol) pairs have in common, and what only some have."""
    groups = grouped(named, lambda item: item[1])
    common = common_parts(protocol for _, protocol in named) if named else []
    notes = [f"protocol: {'; '.join(common)}"] if common else []
    for group in groups:
        specific = "; ".join(part for part in group[0][1].split("; ") if part not in common)
        notes += [f"protocol of {', '.join(dict.fromkeys(name for name, _ in group))}: {specific}"] if specific else []
    return notes
