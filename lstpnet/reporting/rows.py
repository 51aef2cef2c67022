"""One line of a table, scored from predictions, and the lines that put folds and seeds together.

A row is one checkpoint of one run. Folds of one seed get two more rows: `mean` (of the folds' figures, with `fold_std`)
and `pooled` (all predictions counted together); several seeds one more, with `seed_std` of what each seed's mean row
says. The two deviations answer different questions (how hard the splits differ; training noise) and are never merged.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from lstpnet import metrics
from lstpnet.metrics import Confusion
from lstpnet.reporting.external_predictions import read_given_predictions
from lstpnet.reporting.significance import Interval, bootstrap
from lstpnet.runs import CHECKPOINTS, CONTROL_NAMES, Run, RunInfo

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

RowNumbers = npt.NDArray[np.int64]
Strata = Mapping[tuple[int, int], npt.NDArray[np.bool_]]
"""(fold, class number) -> whether each of its test clips is right, in the order of ids."""
_T = TypeVar("_T")
_TEST_BEST_NOTE = "test-best: the epoch was chosen on the test clips; comparable with figures chosen so, and no others"
_DIFFERS = "the rest differs between its runs"
_SYNTHETIC_NOTE = "synthetic heads: not comparable with published figures"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table; figures are fractions 0..1."""

    run: str
    """Run folder, or the folder that holds all runs of the row; the file for predictions from elsewhere."""
    dataset: str
    """Name of the dataset."""
    prepared: str
    """Name of the prepared folder."""
    dataset_sha256: str
    """Hash of the prepared dataset."""
    recipe: str | None
    """Name of the recipe; None for predictions from elsewhere."""
    fold: int | Literal["mean", "pooled"]
    """Official fold, or how the `folds` are put together."""
    folds: tuple[int, ...]
    """Folds that the row rests on."""
    seed: int | Literal["mean"] | None
    """Seed, or `mean` of the `seeds`; None for predictions from elsewhere."""
    seeds: tuple[int, ...]
    """Seeds that the row rests on."""
    checkpoint: str | None
    """`last` or `best`; None for predictions from elsewhere."""
    control: str
    """How the test frames were changed; empty: not at all."""
    n: int
    """Test clips, those without a face included; of one seed."""
    war: float
    """Share of the clips that are right."""
    uar: float
    """Mean of the recalls over the classes present."""
    num_classes_present: int
    """Classes with test clips; the smallest number among the folds of a mean."""
    recall: Mapping[str, float | None]
    """Class name -> recall, None without test clips; in a mean: over the folds that have the class."""
    precision: Mapping[str, float | None]
    """Class name -> precision, None where it was never predicted; in a mean: over the folds that predict it."""
    confusion: tuple[tuple[int, ...], ...] | None
    """Clips by label (rows) and prediction (columns), in the order of `recall`; None for means."""
    n_with_face: int
    """Test clips with a usable track."""
    war_with_face: float | None
    """WAR of these alone; None where they are all clips, or none."""
    uar_with_face: float | None
    """UAR of these alone; None where they are all clips, or none."""
    clips_without_face: tuple[str, ...]
    """Ids of the other test clips, of all folds of the row."""
    fold_std: Mapping[str, float | None] | None = None
    """`war` and `uar`: ddof 1 over the folds of a `mean` of one seed; None elsewhere."""
    seed_std: Mapping[str, float | None] | None = None
    """`war` and `uar`: ddof 1 over the seeds' figures; None with one seed."""
    war_interval: Mapping[str, Interval] | None = None
    """`blocks` and `clips`: 95 % bootstrap intervals, resampling runs of neighbouring ids, or clips one by one; None
    for means."""
    uar_interval: Mapping[str, Interval] | None = None
    """The same for UAR."""
    n_train: int | None = None
    """Clips trained on; None where the row's runs differ."""
    n_val: int | None = None
    """Clips held out of train; None where the row's runs differ."""
    synthetic: bool
    """The clips show rendered heads."""
    protocol: str
    """One line."""
    note: str
    """What to know before comparing; mostly empty."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {item.name: _plain(getattr(self, item.name)) for item in fields(self)}


@dataclass(frozen=True, eq=False)
class _Scored:
    """A row with the counts behind it, so that folds can be pooled."""

    row: Row
    confusion: Confusion
    with_face: Confusion
    strata: Strata


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return [value.low, value.high]
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    return {key: _plain(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def rows_of_runs(runs: Sequence[Run]) -> list[Row]:
    """Score runs, in the order of the tables; controls among them.

    Raises UsageError if two folders hold the same fold and seed of one recipe on the same data.
    """
    scored = [_score_run(run, index) for run in runs for index in range(len(run.predictions))]
    return sorted(_with_summaries(scored), key=_sort_key)


def row_of_predictions(path: Path, dataset: PreparedDataset, *, fold: int) -> Row:
    """Score a CSV of anybody's predictions on an official fold; see `given.read_given_predictions` for its errors.

    All official test clips count: one that the file lacks gets the most frequent class of train, and the row says so.
    """
    given = read_given_predictions(path, dataset, fold=fold)
    document, names = dataset.document, dataset.class_names
    counts = _count(given.labels, given.predictions, given.has_face, num_classes=len(names))
    num_test, missing = len(given.labels), ""
    if given.num_missing:
        missing = f"{given.num_missing} of {num_test} test clips are not in the file: predicted as {given.prior!r}, "
        missing += "the most frequent class of train"
    protocol = (
        f"predictions from {path.name}, fold {fold}, n_test {num_test}, dataset {document['sha256'][:12]}; "
        "how they were made is not known"
    )
    return Row(
        run=path.as_posix(),
        dataset=document["dataset"],
        prepared=dataset.root.resolve().name,
        dataset_sha256=document["sha256"],
        recipe=None,
        fold=fold,
        folds=(fold,),
        seed=None,
        seeds=(),
        checkpoint=None,
        control="",
        synthetic=document["synthetic"],
        protocol=protocol,
        note="; ".join(filter(None, [missing, _SYNTHETIC_NOTE if document["synthetic"] else ""])),
        clips_without_face=_without_face(given.clip_ids, given.has_face),
        **_intervals(_strata(given.clip_ids, given.labels, given.predictions, fold=fold)),
        **_figures(*counts, names=names),
    )


def _count(
    labels: RowNumbers, guesses: RowNumbers, has_face: npt.NDArray[np.bool_], *, num_classes: int
) -> list[Confusion]:
    """Return the confusion matrices of all clips and of those with a face."""
    chosen = (np.ones_like(has_face), has_face)
    return [metrics.confusion_matrix(labels[some], guesses[some], num_classes=num_classes) for some in chosen]


def _score_run(run: Run, index: int) -> _Scored:
    info, part = run.info, run.predictions[index]
    numbers = {name: number for number, name in enumerate(info.class_names)}
    labels = np.array([numbers[label] for label in part.labels], np.int64)
    guesses = metrics.predicted_classes(part.logits)
    confusion, with_face = _count(labels, guesses, part.has_face, num_classes=len(numbers))
    strata = _strata(part.clip_ids, labels, guesses, fold=info.fold)
    facts = (
        "dataset",
        "prepared",
        "dataset_sha256",
        "recipe",
        "fold",
        "seed",
        "n_train",
        "n_val",
        "synthetic",
        "protocol",
    )
    row = Row(
        run=run.folder.as_posix(),
        folds=(info.fold,),
        seeds=(info.seed,),
        checkpoint=part.checkpoint,
        control=part.control,
        note="; ".join(_notes(info.synthetic, part.checkpoint)),
        clips_without_face=_without_face(part.clip_ids, part.has_face),
        **({name: getattr(info, name) for name in facts} | _whole_train(info, part.checkpoint)),
        **_figures(confusion, with_face, names=info.class_names),
        **_intervals(strata),
    )
    return _Scored(row, confusion, with_face, strata)


def _whole_train(info: RunInfo, checkpoint: str) -> dict[str, int]:
    """A refit was trained on the held-out clips too."""
    return {"n_train": info.n_train + info.n_val, "n_val": 0} if checkpoint == "refit" else {}


def _strata(clip_ids: Sequence[str], labels: RowNumbers, guesses: RowNumbers, *, fold: int) -> Strata:
    order = np.argsort(np.array(clip_ids, dtype=object), kind="stable")
    sorted_labels, right = labels[order], (labels == guesses)[order]
    return {(fold, int(number)): right[sorted_labels == number] for number in np.unique(labels)}


def _intervals(strata: Strata) -> dict[str, Any]:
    """Return the fields `war_interval` and `uar_interval` of a row."""
    parts, classes = list(strata.values()), [number for _, number in strata]
    found = {name: bootstrap(parts, classes, blocks=name == "blocks") for name in ("blocks", "clips")}
    return {
        "war_interval": {name: both.war for name, both in found.items()},
        "uar_interval": {name: both.uar for name, both in found.items()},
    }


def _notes(synthetic: bool, checkpoint: str) -> list[str]:
    """Return what to know before a row is compared."""
    return [_TEST_BEST_NOTE] * (checkpoint == "test-best") + [_SYNTHETIC_NOTE] * synthetic


def _without_face(clip_ids: Sequence[str], has_face: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(sorted(clip_id for clip_id, seen in zip(clip_ids, has_face, strict=True) if not seen))


def _figures(confusion: Confusion, with_face: Confusion, *, names: Sequence[str]) -> dict[str, Any]:
    scores, num_with_face = metrics.score(confusion), int(with_face.sum())
    faces = metrics.score(with_face) if 0 < num_with_face < scores.num_clips else None
    return {
        "n": scores.num_clips,
        "war": scores.war,
        "uar": scores.uar,
        "num_classes_present": scores.num_classes_present,
        "recall": dict(zip(names, scores.recalls, strict=True)),
        "precision": dict(zip(names, scores.precisions, strict=True)),
        "confusion": tuple(map(tuple, confusion.tolist())),
        "n_with_face": num_with_face,
        "war_with_face": faces.war if faces else None,
        "uar_with_face": faces.uar if faces else None,
    }


def _with_summaries(scored: Sequence[_Scored]) -> list[Row]:
    """Return the rows, then those that put folds and seeds together."""
    rows = [item.row for item in scored]
    of_one_seed: list[Row] = []
    for group in grouped(scored, lambda item: (*_group_key(item.row), item.row.seed)):
        _refuse_repeated_folds([item.row for item in group])
        if len(group) == 1:
            of_one_seed.append(group[0].row)
            continue
        group = sorted(group, key=lambda item: item.row.folds)
        of_one_seed.append(_mean_of_folds([item.row for item in group]))
        rows += [of_one_seed[-1], _pooled(group)]
    for same_folds in grouped(of_one_seed, lambda row: (*_group_key(row), row.folds)):
        if len(same_folds) > 1:
            rows.append(_mean_of_seeds(sorted(same_folds, key=lambda row: row.seeds)))
    return rows


def grouped(items: Iterable[_T], key: Callable[[_T], Any]) -> list[list[_T]]:
    """Put items with equal keys together, in order of appearance."""
    groups: defaultdict[Any, list[_T]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return list(groups.values())


def _group_key(row: Row) -> tuple[Any, ...]:
    """Return what rows must share to be put together; data prepared anew under an old name is other data."""
    return (*section_key(row), row.recipe, row.checkpoint, row.control)


def _refuse_repeated_folds(rows: Sequence[Row]) -> None:
    first: dict[tuple[int, ...], Row] = {}
    for row in rows:
        if (other := first.setdefault(row.folds, row)) is not row:
            what = f"{row.recipe} fold {row.fold} seed {row.seed}"
            raise UsageError(f"{other.run} and {row.run} are both {what}: name one of them, else it counts twice")


def _mean_of_folds(rows: Sequence[Row]) -> Row:
    return _averaged(rows, fold="mean", n=sum(row.n for row in rows), fold_std=_deviations(rows))


def _mean_of_seeds(rows: Sequence[Row]) -> Row:
    return _averaged(rows, seed="mean", fold_std=None, seed_std=_deviations(rows))


def _averaged(rows: Sequence[Row], **changes: Any) -> Row:
    """Return the mean of each figure; `changes` are fields of the new row. Counts with a face add up over folds."""
    over_folds = changes.get("fold") == "mean"
    by_class = {
        key: {name: _mean_present([getattr(row, key)[name] for row in rows]) for name in rows[0].recall}
        for key in ("recall", "precision")
    }
    figures = {name: metrics.mean([getattr(row, name) for row in rows]) for name in ("war", "uar")}
    faces = {f"{name}_with_face": _mean_with_face(rows, name) for name in ("war", "uar")}
    num_with_face = sum(row.n_with_face for row in rows) if over_folds else rows[0].n_with_face
    num_present = min(row.num_classes_present for row in rows)
    together = _together(rows) | figures | faces | {"n_with_face": num_with_face, "num_classes_present": num_present}
    without: dict[str, Any] = dict.fromkeys(("war_interval", "uar_interval", "confusion"))
    return replace(rows[0], **(by_class | without | together | changes))


def _mean_present(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return metrics.mean(present) if present else None


def _mean_with_face(rows: Sequence[Row], name: str) -> float | None:
    """Return the mean over rows of a figure on the clips with a face; None where it is nowhere another than on all."""
    if all(row.n_with_face == row.n for row in rows):
        return None
    values = [getattr(row, name if row.n_with_face == row.n else f"{name}_with_face") for row in rows]
    return None if None in values else metrics.mean(values)


def _together(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the fields of a row for several runs that are no figures."""
    try:
        run = os.path.commonpath([row.run for row in rows]) or "."
    except ValueError:  # absolute and relative paths
        run = ""
    common = common_parts(row.protocol for row in rows)
    if len({row.protocol for row in rows}) > 1 and _DIFFERS not in common:
        common = [*common, _DIFFERS]
    return {
        "run": Path(run).as_posix() if run else "",
        "folds": tuple(sorted({fold for row in rows for fold in row.folds})),
        "seeds": tuple(sorted({seed for row in rows for seed in row.seeds})),
        "n_train": rows[0].n_train if len({row.n_train for row in rows}) == 1 else None,
        "n_val": rows[0].n_val if len({row.n_val for row in rows}) == 1 else None,
        "protocol": "; ".join(common),
        "clips_without_face": tuple(sorted({clip_id for row in rows for clip_id in row.clips_without_face})),
    }


def _pooled(group: Sequence[_Scored]) -> Row:
    rows = [item.row for item in group]
    confusion = np.sum([item.confusion for item in group], axis=0)
    with_face = np.sum([item.with_face for item in group], axis=0)
    figures = _figures(confusion, with_face, names=list(rows[0].recall))
    strata = {key: right for item in group for key, right in item.strata.items()}
    return replace(rows[0], fold="pooled", **(_together(rows) | figures | _intervals(strata)))


def _deviations(rows: Sequence[Row]) -> dict[str, float | None]:
    return {name: metrics.sample_std([getattr(row, name) for row in rows]) for name in ("war", "uar")}


def _sort_key(row: Row) -> tuple[Any, ...]:
    checkpoint = CHECKPOINTS.index(row.checkpoint) if row.checkpoint else 0
    seed = row.seed if isinstance(row.seed, int) else float("inf")
    fold = row.fold if isinstance(row.fold, int) else float("inf")
    where = (row.prepared, row.dataset_sha256, row.recipe or "")
    return (*where, checkpoint, CONTROL_NAMES.index(row.control), seed, fold, str(row.fold))


def section_key(row: Row) -> tuple[Any, ...]:
    """Return what rows of one table share."""
    return row.prepared, row.dataset_sha256, tuple(row.recall)


def common_parts(protocols: Iterable[str]) -> list[str]:
    """Return the parts, set apart by semicolons, that stand in all of the protocols."""
    parts = [protocol.split("; ") for protocol in protocols]
    return [part for part in parts[0] if all(part in others for others in parts)]


def protocol_notes(named: Sequence[tuple[str, str]]) -> list[str]:
    """Return the lines below a table that say what (name, protocol) have in common, and what some have besides."""
    groups = grouped(named, lambda item: item[1])
    common = common_parts(protocol for _, protocol in named) if named else []
    notes = [f"protocol: {'; '.join(common)}"] if common else []
    for group in groups:
        own = "; ".join(part for part in group[0][1].split("; ") if part not in common)
        notes += [f"protocol of {', '.join(dict.fromkeys(name for name, _ in group))}: {own}"] if own else []
    return notes
