"""`report`: read and score runs, and return the result in any format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.errors import UsageError
from lstpnet.finished_runs import Run, find_runs, load_runs
from lstpnet.reporting.build import build_report, with_groups
from lstpnet.reporting.external_predictions import ExternalPredictions, read_external_predictions
from lstpnet.reporting.formats import to_csv, to_json, to_latex, to_markdown
from lstpnet.reporting.groups.settings import GroupSettings
from lstpnet.reporting.rows import Row
from lstpnet.reporting.types import Report

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset


@dataclass(frozen=True)
class ReportDocument:
    """A report, in any format."""

    report: Report

    @property
    def rows(self) -> tuple[Row, ...]:
        """Results on the unchanged test clips."""
        return self.report.rows

    def to_markdown(self) -> str:
        """Return the tables as GitHub Markdown."""
        return to_markdown(self.report)

    def to_latex(self) -> str:
        """Return the tables as LaTeX, for booktabs and graphicx."""
        return to_latex(self.report)

    def to_json(self) -> str:
        """Return everything as one JSON document."""
        return to_json(self.report)

    def to_csv(self) -> str:
        """Return all rows as one CSV table."""
        return to_csv(self.report)

    def to_html(self, *, datasets: Sequence[PreparedDataset] = ()) -> str:
        """Return the report as one HTML page.

        Args:
            datasets: prepared datasets of the runs, for pictures of clips and data reliability.
        """
        from lstpnet.reporting.html.page import to_html

        return to_html(self.report, datasets=datasets)

    def _repr_markdown_(self) -> str:
        """Show the tables in a notebook."""
        return self.to_markdown()


def report(
    runs: Path | str | Run | Sequence[Path | str | Run] | None = None,
    *,
    root: Path | str = "runs",
    against: Sequence[str] = (),
    baseline: str | None = None,
    by: str | None = None,
    groups: Path | str | None = None,
    quantiles: int | None = None,
    predictions: Sequence[Path | str] = (),
    folds: Sequence[int] = (),
    fold_set: str | None = None,
    data: PreparedDataset | Path | str | None = None,
) -> ReportDocument:
    """Score runs: WAR and UAR per fold, mean and pooled, side by side, tests between systems, and figures by group.

    Args:
        runs: runs, run folders, or folders that hold them; None: all runs below `root`, which may be none, or no runs
            next to `predictions`.
        root: folder of all runs.
        against: datasets whose published figures are included, such as `DFEW`.
        baseline: the system that the others are tested against.
        by: a column whose groups get their own figures: of `groups`, or of the prepared dataset's clips.parquet.
        groups: CSV with `clip_id` and the column `by`, such as sex, age or scene.
        quantiles: cut a column of numbers into so many parts.
        predictions: CSV files of another system's predictions, tested against the runs; columns `clip_id` and either
            `prediction`, `logits` or one per class, and optionally `fold` and `seed`.
        folds: the fold of each of them; (): their column `fold`.
        fold_set: the set of these folds; None: the official folds, else the dataset's only own set.
        data: the prepared dataset of `predictions`, and for `by`, else the folder under `prepared` with the hashes that
            the runs name.

    Raises:
        AnnotationError: faults in the file `groups` or in `predictions`, all at once.
        UsageError: a folder is missing or has no run, or two folders hold the same fold and seed of one recipe.
        CorruptDataError: damaged files.
    """
    group_settings = GroupSettings(by, None if groups is None else Path(groups), quantiles)
    sources = [] if runs is None else [runs] if isinstance(runs, Path | str | Run) else list(runs)
    given_runs = [source for source in sources if isinstance(source, Run)]
    folders = find_runs(Path(root)) if runs is None and not predictions else []
    for folder in [Path(source) for source in sources if not isinstance(source, Run)]:
        if not folder.is_dir():
            raise UsageError(f"no folder {folder}: give the folder of a run, or a folder of runs")
        if not (run_folders := find_runs(folder)):
            raise UsageError(f"{folder} holds no runs (no run.json below it); `dfer train` creates them")
        folders += run_folders
    loaded, unfinished = load_runs(folders)
    finished = (*given_runs, *loaded)
    external = _external(predictions, data, folds, fold_set) if predictions else None
    document = build_report(finished, unfinished, external=external, against=against, baseline=baseline)
    return ReportDocument(with_groups(document, group_settings, data=data))


def _external(
    predictions: Sequence[Path | str],
    data: PreparedDataset | Path | str | None,
    folds: Sequence[int],
    fold_set: str | None,
) -> ExternalPredictions:
    from dfer_data.loading.prepared import PreparedDataset, open_dataset  # imports OpenCV

    if data is None:
        raise UsageError("predictions need data: the prepared dataset, such as prepared/dfew-retinaface")
    dataset = data if isinstance(data, PreparedDataset) else open_dataset(data)
    return read_external_predictions([Path(path) for path in predictions], dataset, folds=folds, fold_set=fold_set)
