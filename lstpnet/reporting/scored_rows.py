"""Score predictions into rows of a table: one per checkpoint of a run, and those that combine folds and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dfer_data.wording import by_number, counted
from lstpnet.dataset_identity import DataKey, data_words, fold_words
from lstpnet.finished_runs import ScoredRun
from lstpnet.predictions import CHECKPOINTS, CONTROL_NAMES, TEST_BEST, ScoredPredictions
from lstpnet.protocol import UNTRAINED, untrained
from lstpnet.reporting.combined_rows import ScoredRow, with_summaries
from lstpnet.reporting.data_changes import data_changes
from lstpnet.reporting.external_predictions import ExternalPredictions, GivenPredictions
from lstpnet.reporting.rows import Row, figure_fields, grouped, interval_fields
from lstpnet.reporting.uncertainty.dependence import order_of_external, order_of_runs, scored_fold, unit_of
from lstpnet.runs import SYNTHETIC_DATA_NOTE, UNVERIFIED_NOTE, RunInfo, withdrawn_words

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset
    from dfer_data.sources.official_counts import IdOrder

_TEST_BEST_NOTE = "test-best: the epoch was chosen on the test clips; comparable only with figures chosen the same way"
_SHARED_WITH_INFO = (
    *("dataset", "prepared", "recipe", "fold_set", "fold", "seed"),
    *("n_train", "n_val", "synthetic", "pipeline_version", "protocol"),
)


def rows_of_runs(runs: Sequence[ScoredRun]) -> list[Row]:
    """Return the rows of runs, including controls, in the order of the tables.

    Raises UsageError if two folders hold the same fold and seed of one recipe on the same data.
    """
    orders = {runs_of[0].info.data_key: order_of_runs(runs_of) for runs_of in grouped(runs, _data_key)}
    changes = data_changes(run.info.data_key for run in runs)
    scored = [_scored_row(run, part, orders[_data_key(run)], changes) for run in runs for part in run.parts]
    rows = sorted(with_summaries(scored), key=_sort_key)
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
    order = order_of_external(external.dataset, [given.scored.clip_ids for given in external.parts])
    scored = [_given_row(given, external.dataset, order) for given in external.parts]
    return sorted(with_summaries(scored), key=_sort_key)


def _given_row(given: GivenPredictions, dataset: PreparedDataset, order: IdOrder) -> ScoredRow:
    document, part = dataset.document, given.scored
    fold, identity = fold_words(given.fold, given.fold_set), dataset.identity(given.fold_set)
    num_test, notes = len(part.labels), list[str]()
    if given.num_missing:
        notes.append(
            f"{given.num_missing} of {counted(num_test, 'test clip')} not in the file: predicted as {given.prior!r}, "
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
        **figure_fields(part),
        **interval_fields([clips], unit_of(order)),
    )
    return ScoredRow(row, part, clips)


def _scored_row(run: ScoredRun, part: ScoredPredictions, order: IdOrder, changes: Mapping[DataKey, str]) -> ScoredRow:
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
        **figure_fields(part),
        **interval_fields([clips], unit_of(order)),
    )
    return ScoredRow(row, part, clips)


def _whole_train(info: RunInfo, checkpoint: str | None) -> dict[str, int]:
    """Return the clip counts of a refit, which trains on the held-out clips too; empty for other checkpoints."""
    return {"n_train": info.n_train + info.n_val, "n_val": 0} if checkpoint == "refit" else {}


def _notes(info: RunInfo, checkpoint: str | None) -> list[str]:
    """Return the caveats for comparisons with a row."""
    caveats = {
        _TEST_BEST_NOTE: checkpoint == TEST_BEST,
        SYNTHETIC_DATA_NOTE: info.synthetic,
        UNVERIFIED_NOTE: info.is_unverified,
    }
    fold = fold_words(info.fold, info.fold_set)
    lacks = [f"{fold}: {part}" for part in info.protocol.split("; ") if part.startswith(UNTRAINED)]
    withdrawn = [f"{fold}: {withdrawn_words(info.num_withdrawn)}"] if info.num_withdrawn else []
    return [*(note for note, holds in caveats.items() if holds), *lacks, *withdrawn]


def _sort_key(row: Row) -> tuple[Any, ...]:
    checkpoint = CHECKPOINTS.index(row.checkpoint) if row.checkpoint else 0
    seed = row.seed if isinstance(row.seed, int) else float("inf")
    fold = row.fold if isinstance(row.fold, int) else float("inf")
    data_and_recipe = (by_number(row.prepared), *row.data_key, by_number(row.recipe or ""))
    return (*data_and_recipe, checkpoint, CONTROL_NAMES.index(row.control), seed, fold, str(row.fold))
