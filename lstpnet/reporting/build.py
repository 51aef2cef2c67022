"""Build the report on runs, on external predictions, or on both.

    load (runs.py) -> build_report or report_predictions -> Report -> RENDERERS[format](report), or sections(report)
                                                                      page.py renders it as one HTML file

Figures are fractions 0..1 in rows, JSON and CSV, and per cent with two decimals in tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lstpnet.finished_runs import Run, ScoredRun, UnfinishedRun, score_run
from lstpnet.predictions import TEST_BEST, ScoredPredictions
from lstpnet.reporting.audited_tests import audited_rows
from lstpnet.reporting.calibrated_systems import calibrated_systems
from lstpnet.reporting.external_predictions import ExternalPredictions, read_external_predictions
from lstpnet.reporting.ferv39k_scenes import scene_rows, scene_rows_of_predictions
from lstpnet.reporting.groups.rows import score_groups
from lstpnet.reporting.groups.settings import GroupSettings
from lstpnet.reporting.groups.tested_clips import tested_by_predictions, tested_by_runs
from lstpnet.reporting.multi_label.rows import multi_label_rows
from lstpnet.reporting.prepared_data import prepared_datasets
from lstpnet.reporting.published_results import PublishedRow, published_rows
from lstpnet.reporting.rows import Row
from lstpnet.reporting.scored_rows import rows_of_predictions, rows_of_runs
from lstpnet.reporting.systems import System, parts_behind, systems_of, systems_of_predictions
from lstpnet.reporting.types import Report
from lstpnet.reporting.uncertainty.clip_designs import SystemParts
from lstpnet.reporting.uncertainty.dependence import order_of_runs
from lstpnet.reporting.uncertainty.paired_tests import paired_tests, pairs_to_test
from lstpnet.reporting.uncertainty.paired_trainings import paired_trainings

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset


def build_report(
    runs: Sequence[Run],
    unfinished: Sequence[UnfinishedRun] = (),
    *,
    external: ExternalPredictions | None = None,
    against: Sequence[str] = (),
    baseline: str | None = None,
) -> Report:
    """Score runs and external predictions, and compare all systems.

    Args:
        runs: the runs.
        unfinished: run folders without results.
        external: predictions of another system, tested against those of the runs.
        against: datasets whose published figures are included.
        baseline: the system that the others are tested against.

    Raises UsageError if two folders hold the same fold and seed of one recipe on the same data, or if the baseline is
    unknown; CorruptDataError for a damaged config.json.
    """
    scored = tuple(score_run(run) for run in runs)
    rows = rows_of_runs(scored)
    result_rows = tuple(row for row in rows if not row.control)
    controls = tuple(row for row in rows if row.control)
    systems = systems_of(result_rows, scored, controls=controls)
    parts = [_parts_of_runs(system, scored) for system in systems]
    if external is not None:
        external_rows = rows_of_predictions(external)
        external_systems = systems_of_predictions(external.name, external_rows, systems)
        result_rows += tuple(external_rows)
        systems += external_systems
        parts += [_parts_of_predictions(system, external) for system in external_systems]
    pairs = pairs_to_test(parts, baseline=baseline)
    return Report(
        rows=result_rows,
        controls=controls,
        unfinished=tuple(unfinished),
        published=_published([*rows, *result_rows], against),
        systems=systems,
        paired=paired_tests(pairs),
        paired_trainings=paired_trainings(pairs),
        against=tuple(against),
        runs=scored,
        external=external,
        audited=audited_rows(scored),
        calibrated=calibrated_systems(systems, scored),
        multi_label=multi_label_rows(scored),
        scenes=scene_rows(scored) + (() if external is None else scene_rows_of_predictions(external)),
    )


def _parts_of_runs(system: System, runs: Sequence[ScoredRun]) -> SystemParts:
    pairs = list(parts_behind(system.row, runs))
    parts: dict[int | None, dict[int, ScoredPredictions]] = {}
    for run, part in pairs:
        parts.setdefault(run.info.seed, {})[run.info.fold] = part
    row = system.row
    trainings = (*row.data_key, row.recipe or "", str(row.pipeline_version))
    order = order_of_runs([run for run, _ in pairs])
    return SystemParts(
        name=system.name,
        dataset=row.dataset,
        trainings=trainings,
        order=order,
        parts=parts,
        is_test_best=row.checkpoint == TEST_BEST,
    )


def _parts_of_predictions(system: System, external: ExternalPredictions) -> SystemParts:
    parts: dict[int | None, dict[int, ScoredPredictions]] = {}
    for given in external.parts:
        if given.fold in system.row.folds and given.seed in (system.row.seeds or (None,)):
            parts.setdefault(given.seed, {})[given.fold] = given.scored
    trainings = (system.name, "external predictions")
    return SystemParts(name=system.name, dataset=system.row.dataset, trainings=trainings, order=None, parts=parts)


def _published(rows: Sequence[Row], against: Sequence[str]) -> tuple[PublishedRow, ...]:
    if against:
        return published_rows(tuple(dict.fromkeys(against)))
    datasets = dict.fromkeys(row.dataset for row in rows if not row.synthetic)
    return published_rows(tuple(datasets)) if rows else published_rows()


def with_groups(report: Report, settings: GroupSettings, *, data: PreparedDataset | Path | str | None = None) -> Report:
    """Return a report with figures by groups; unchanged without a column.

    `data`: the prepared dataset; datasets under `prepared` are found by their hashes. Raises AnnotationError and
    UsageError like `groups.rows.score_groups`.
    """
    if settings.by is None:
        return report
    external = report.external
    datasets, notes = prepared_datasets(report.rows, data if external is None else external.dataset)
    tested = tested_by_runs([row for row in report.rows if row.recipe is not None], report.runs)
    if external is not None:
        external_systems = [system for system in report.systems if system.row.recipe is None]
        tested += [tested_by_predictions(system.name, system.row, external) for system in external_systems]
    return replace(report, groups=score_groups(tested, settings, datasets, notes=notes))


def report_predictions(
    paths: Sequence[Path],
    dataset: PreparedDataset,
    *,
    folds: Sequence[int] = (),
    fold_set: str | None = None,
    against: Sequence[str] = (),
    groups: GroupSettings | None = None,
) -> Report:
    """Score CSV files of external predictions, by groups too; errors as in `read_external_predictions`."""
    external = read_external_predictions(paths, dataset, folds=folds, fold_set=fold_set)
    return with_groups(build_report((), external=external, against=against), groups or GroupSettings())
