"""Score predictions into rows of a table, and combine the rows of folds and seeds.

A row is one checkpoint of one run. Folds of one seed get two more rows: `mean` (of the folds' figures, with `fold_std`)
and `pooled` (all predictions counted together). Several seeds get one more, with the `seed_std` of the seeds' mean
rows. The two deviations measure different things (difficulty of the splits, with training and sampling noise; training
noise alone) and are never merged.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from dfer_data.errors import UsageError
from dfer_data.render.tables import listed
from dfer_data.shards.identity import DatasetIdentity
from lstpnet import metrics
from lstpnet.dataset_identity import DataKey, data_key, data_words, fold_words, folds_words
from lstpnet.predictions import CHECKPOINTS, CONTROL_NAMES, ScoredPredictions, pooled_predictions
from lstpnet.protocol import UNTRAINED, untrained
from lstpnet.reporting.data_changes import data_changes
from lstpnet.reporting.dependence import Unit, intervals_by_unit, order_of_external, order_of_runs, scored_fold, unit_of
from lstpnet.reporting.external_predictions import ExternalPredictions, GivenPredictions
from lstpnet.reporting.mean_intervals import FoldOfRow, mean_intervals
from lstpnet.reporting.significance import Interval, ScoredFold
from lstpnet.runs import SYNTHETIC_DATA_NOTE, UNVERIFIED_NOTE, RunInfo, ScoredRun, withdrawn_words

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from dfer_data.loading.prepared import PreparedDataset
    from dfer_data.sources.official_counts import IdOrder

_T = TypeVar("_T")
_TEST_BEST_NOTE = "test-best: the epoch was chosen on the test clips; comparable only with figures chosen the same way"
_SHARED_WITH_INFO = (
    *("dataset", "prepared", "recipe", "fold_set", "fold", "seed"),
    *("n_train", "n_val", "synthetic", "pipeline_version", "protocol"),
)
_DIFFERS = "the rest differs between its runs"


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


@dataclass(frozen=True, eq=False)
class _Scored:
    """A row with its counts, so that folds can be pooled."""

    row: Row
    part: ScoredPredictions
    clips: ScoredFold


def json_values(row: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a row as JSON values: an interval as [low, high], a tuple as a list."""
    return {field.name: _plain(getattr(row, field.name)) for field in fields(row)}


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return [value.low, value.high]
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def rows_of_runs(runs: Sequence[ScoredRun]) -> list[Row]:
    """Return the rows of runs, including controls, in the order of the tables.

    Raises UsageError if two folders hold the same fold and seed of one recipe on the same data.
    """
    orders = {runs_of[0].info.data_key: order_of_runs(runs_of) for runs_of in grouped(runs, _data_key)}
    changes = data_changes(run.info.data_key for run in runs)
    scored = [_scored_row(run, part, orders[_data_key(run)], changes) for run in runs for part in run.parts]
    rows = sorted(_with_summaries(scored), key=_sort_key)
    has_several_versions = len({row.pipeline_version for row in rows}) > 1
    return [_with_version(row) for row in rows] if has_several_versions else rows


def _data_key(run: ScoredRun) -> DataKey:
    return run.info.data_key


def _with_version(row: Row) -> Row:
    note = f"data of pipeline version {row.pipeline_version}: never combined with other versions"
    return replace(row, note="; ".join(filter(None, (row.note, note))))


def rows_of_predictions(external: ExternalPredictions) -> list[Row]:
    """Return the rows of external predictions: a row per fold and seed, pooled and averaged like runs.

    All official test clips count: a clip missing from the file gets the most frequent class of train, and the row's
    note reports the number of such clips.
    """
    order = order_of_external(external.dataset)
    scored = [_given_row(given, external.dataset, order) for given in external.parts]
    return sorted(_with_summaries(scored), key=_sort_key)


def _given_row(given: GivenPredictions, dataset: PreparedDataset, order: IdOrder) -> _Scored:
    document, part = dataset.document, given.scored
    fold, identity = fold_words(given.fold, given.fold_set), dataset.identity(given.fold_set)
    num_test, notes = len(part.labels), list[str]()
    if given.num_missing:
        notes.append(
            f"{given.num_missing} of {num_test} test clips are not in the file: predicted as {given.prior!r}, "
            "the most frequent class of train"
        )
    notes += [f"{fold}: {untrained(given.untrained)}"] if given.untrained else []
    notes += [SYNTHETIC_DATA_NOTE] if document["synthetic"] else []
    protocol = (
        f"predictions from {given.path.name}, {fold}, n_test {num_test}, dataset {data_words(identity)}; "
        "how they were made is not known"
    )
    clips = scored_fold(part, order)
    row = Row(
        run=given.path.as_posix(),
        dataset=document["dataset"],
        prepared=dataset.root.resolve().name,
        dataset_sha256=identity.content_sha256,
        labels_sha256=identity.labels_sha256,
        folds_sha256=identity.folds_sha256,
        fold_set=given.fold_set,
        recipe=None,
        fold=given.fold,
        folds=(given.fold,),
        seed=given.seed,
        seeds=() if given.seed is None else (given.seed,),
        checkpoint=None,
        control="",
        synthetic=document["synthetic"],
        protocol=protocol,
        note="; ".join(notes),
        pipeline_version=document.get("pipeline_version", 1),
        **_figures(part),
        **_intervals([clips], unit_of(order)),
    )
    return _Scored(row, part, clips)


def _scored_row(run: ScoredRun, part: ScoredPredictions, order: IdOrder, changes: Mapping[DataKey, str]) -> _Scored:
    info, clips, identity = run.info, scored_fold(part, order), run.info.identity
    shared = {name: getattr(info, name) for name in _SHARED_WITH_INFO} | _whole_train(info, part.checkpoint)
    row = Row(
        run=run.folder.as_posix(),
        dataset_sha256=identity.content_sha256,
        labels_sha256=identity.labels_sha256,
        folds_sha256=identity.folds_sha256,
        folds=(info.fold,),
        seeds=(info.seed,),
        checkpoint=part.checkpoint,
        control=part.control,
        note="; ".join([*_notes(info, part.checkpoint), *filter(None, [changes.get(info.data_key)])]),
        unverified=info.is_unverified,
        **shared,
        **_figures(part),
        **_intervals([clips], unit_of(order)),
    )
    return _Scored(row, part, clips)


def _whole_train(info: RunInfo, checkpoint: str | None) -> dict[str, int]:
    """Return the clip counts of a refit, which trains on the held-out clips too; empty for other checkpoints."""
    return {"n_train": info.n_train + info.n_val, "n_val": 0} if checkpoint == "refit" else {}


def _intervals(folds: Sequence[ScoredFold], unit: Unit) -> dict[str, Any]:
    """Return a row's fields `war_interval`, `uar_interval` and `unit`."""
    intervals = intervals_by_unit(folds, unit)
    fields_by_figure = {
        f"{figure}_interval": {name: getattr(pair, figure) for name, pair in intervals.items()} or None
        for figure in ("war", "uar")
    }
    return {**fields_by_figure, "unit": unit}


def _notes(info: RunInfo, checkpoint: str | None) -> list[str]:
    """Return the caveats for comparisons with a row."""
    caveats = {
        _TEST_BEST_NOTE: checkpoint == "test-best",
        SYNTHETIC_DATA_NOTE: info.synthetic,
        UNVERIFIED_NOTE: info.is_unverified,
    }
    fold = fold_words(info.fold, info.fold_set)
    lacks = [f"{fold}: {part}" for part in info.protocol.split("; ") if part.startswith(UNTRAINED)]
    withdrawn = [f"{fold}: {withdrawn_words(info.num_withdrawn)}"] if info.num_withdrawn else []
    return [*(note for note, holds in caveats.items() if holds), *lacks, *withdrawn]


def _figures(part: ScoredPredictions) -> dict[str, Any]:
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


def _with_summaries(scored: Sequence[_Scored]) -> list[Row]:
    """Return the rows, followed by those that combine folds and seeds."""
    rows = [item.row for item in scored]
    seed_rows: list[tuple[Row, list[_Scored]]] = []
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


def grouped(items: Iterable[_T], key: Callable[[_T], Any]) -> list[list[_T]]:
    """Group items with equal keys, in order of appearance."""
    groups: defaultdict[Any, list[_T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return list(groups.values())


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


def _mean_of_folds(group: Sequence[_Scored]) -> Row:
    rows = [item.row for item in group]
    intervals = mean_intervals([_folds(group)], rows[0].unit)
    changes: dict[str, Any] = {"n": sum(row.n for row in rows), "fold_std": _deviations(rows)}
    return _averaged(rows, fold="mean", note=_note_of_mean(rows), **changes, **intervals)


def _mean_of_seeds(seed_rows: Sequence[tuple[Row, Sequence[_Scored]]]) -> Row:
    rows = [row for row, _ in seed_rows]
    intervals = mean_intervals([_folds(group) for _, group in seed_rows], rows[0].unit)
    return _averaged(rows, seed="mean", fold_std=None, seed_std=_deviations(rows), **intervals)


def _folds(group: Sequence[_Scored]) -> list[FoldOfRow]:
    return [(item.row.folds[0], item.part, item.clips) for item in group]


def _note_of_mean(rows: Sequence[Row]) -> str:
    """Return the notes of the folds, and which classes have no test clips in some of them."""
    missing = [(row.fold, [name for name, recall in row.recall.items() if recall is None]) for row in rows]
    lacks = [f"fold {fold} has no test clips of {listed(names)}" for fold, names in missing if names]
    words = [f"incomplete mean, {', '.join(lacks)}"] if lacks else []
    return _joined_notes(rows, *words)


def is_complete(row: Row) -> bool:
    """Return whether every class has test clips in every fold of a row."""
    return row.num_classes_present == len(row.recall)


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


def _pooled(group: Sequence[_Scored]) -> Row:
    rows = [item.row for item in group]
    figures = _figures(pooled_predictions([item.part for item in group]))
    intervals = _intervals([item.clips for item in group], rows[0].unit)
    return replace(rows[0], fold="pooled", **(_shared_fields(rows) | figures | intervals))


def _deviations(rows: Sequence[Row]) -> dict[str, float | None]:
    return {name: metrics.sample_std([getattr(row, name) for row in rows]) for name in ("war", "uar")}


def _sort_key(row: Row) -> tuple[Any, ...]:
    checkpoint = CHECKPOINTS.index(row.checkpoint) if row.checkpoint else 0
    seed = row.seed if isinstance(row.seed, int) else float("inf")
    fold = row.fold if isinstance(row.fold, int) else float("inf")
    data_and_recipe = (*row.data_key, row.recipe or "")
    return (*data_and_recipe, checkpoint, CONTROL_NAMES.index(row.control), seed, fold, str(row.fold))


def section_key(row: Row) -> tuple[Any, ...]:
    """Return the key that the rows of one table share."""
    return row.data_key, row.pipeline_version, tuple(row.recall)


def common_parts(protocols: Iterable[str]) -> list[str]:
    """Return the parts, separated by semicolons, that all protocols share."""
    parts = [protocol.split("; ") for protocol in protocols]
    return [part for part in parts[0] if all(part in other_parts for other_parts in parts)]


def protocol_notes(named: Sequence[tuple[str, str]]) -> list[str]:
    """Return the notes below a table: what the (name, protocol) pairs have in common, and what only some have."""
    groups = grouped(named, lambda item: item[1])
    common = common_parts(protocol for _, protocol in named) if named else []
    notes = [f"protocol: {'; '.join(common)}"] if common else []
    for group in groups:
        specific = "; ".join(part for part in group[0][1].split("; ") if part not in common)
        notes += [f"protocol of {', '.join(dict.fromkeys(name for name, _ in group))}: {specific}"] if specific else []
    return notes
