"""Build the report on runs, or on a file of external predictions.

    load (runs.py) -> build_report or report_predictions -> Report -> RENDERERS[format](report), or sections(report)
                                                                      page.py renders it as one HTML file

Figures are fractions 0..1 in rows, JSON and CSV, and per cent with two decimals in tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lstpnet.reporting.external_predictions import read_given_predictions
from lstpnet.reporting.ferv39k_scenes import scene_rows, scene_rows_of_predictions
from lstpnet.reporting.group_rows import score_groups, tested_by_predictions, tested_by_runs
from lstpnet.reporting.group_settings import GroupSettings
from lstpnet.reporting.paired_tests import paired_tests
from lstpnet.reporting.prepared_data import prepared_datasets
from lstpnet.reporting.published_results import PublishedRow, published_rows
from lstpnet.reporting.rows import Row, row_of_predictions, rows_of_runs
from lstpnet.reporting.systems import systems_of
from lstpnet.reporting.types import Report
from lstpnet.runs import Run, UnfinishedRun, score_run

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset


def build_report(
    runs: Sequence[Run],
    unfinished: Sequence[UnfinishedRun] = (),
    *,
    against: Sequence[str] = (),
    baseline: str | None = None,
) -> Report:
    """Score runs; `against` names datasets, `baseline` the system that the others are tested against.

    Raises UsageError if two folders hold the same fold and seed of one recipe on the same data, or if the baseline is
    unknown; CorruptDataError for a damaged config.json.
    """
    scored = tuple(score_run(run) for run in runs)
    rows = rows_of_runs(scored)
    result_rows = tuple(row for row in rows if not row.control)
    systems = systems_of(result_rows, scored)
    return Report(
        rows=result_rows,
        controls=tuple(row for row in rows if row.control),
        unfinished=tuple(unfinished),
        published=_published(rows, against),
        systems=systems,
        paired=paired_tests(systems, scored, baseline=baseline),
        against=tuple(against),
        runs=scored,
        scenes=scene_rows(scored),
    )


def _published(rows: Sequence[Row], against: Sequence[str]) -> tuple[PublishedRow, ...]:
    if against:
        return published_rows(tuple(dict.fromkeys(against)))
    datasets = dict.fromkeys(row.dataset for row in rows if not row.synthetic)
    return published_rows(tuple(datasets)) if rows else published_rows()


def with_groups(report: Report, settings: GroupSettings, *, data: PreparedDataset | Path | str | None = None) -> Report:
    """Return a report on runs with figures by groups; unchanged without a column.

    `data`: the prepared dataset; datasets under `prepared` are found by their hash. Raises AnnotationError and
    UsageError like `group_rows.score_groups`.
    """
    if settings.by is None:
        return report
    datasets, notes = prepared_datasets(report.rows, data)
    tested = tested_by_runs(report.rows, report.runs)
    return replace(report, groups=score_groups(tested, settings, datasets, notes=notes))


def report_predictions(
    path: Path,
    dataset: PreparedDataset,
    *,
    fold: int,
    against: Sequence[str] = (),
    groups: GroupSettings | None = None,
) -> Report:
    """Score a CSV of external predictions on an official fold, by groups too; see `rows.row_of_predictions`."""
    row = row_of_predictions(path, dataset, fold=fold)
    scenes = scene_rows_of_predictions(path, dataset, fold=fold)
    report = Report((row,), (), (), _published([row], against), against=tuple(against), scenes=scenes)
    if groups is None or groups.by is None:
        return report
    part = read_given_predictions(path, dataset, fold=fold).scored
    tested = tested_by_predictions(path.name, row, part)
    return replace(report, groups=score_groups([tested], groups, {row.dataset_sha256: dataset}))
