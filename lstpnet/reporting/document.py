"""`report`: read runs, score them, and show the result in any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.errors import UsageError
from lstpnet.reporting.build import build_report
from lstpnet.reporting.formats import to_csv, to_json, to_latex, to_markdown
from lstpnet.reporting.rows import Row
from lstpnet.reporting.types import Report
from lstpnet.runs import Run, find_runs, load_runs

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset


@dataclass(frozen=True)
class ReportDocument:
    """A report with the runs behind it."""

    report: Report
    """All figures."""
    runs: tuple[Run, ...]
    """The finished runs."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """Results on the test clips as they are."""
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

    def to_html(self, *, datasets: Mapping[str, PreparedDataset] | None = None) -> str:
        """Return the report as one HTML page.

        Args:
            datasets: prepared datasets by the hash of their dataset.json, for pictures of clips.
        """
        from lstpnet.reporting.html.page import to_html

        return to_html(self.report, self.runs, datasets=datasets)

    def _repr_markdown_(self) -> str:
        """Show the tables in a notebook."""
        return self.to_markdown()


def report(
    runs: Path | str | Run | Sequence[Path | str | Run] | None = None,
    *,
    root: Path | str = "runs",
    against: Sequence[str] = (),
    baseline: str | None = None,
) -> ReportDocument:
    """Score runs: WAR and UAR per fold, mean and pooled, side by side, and tests between systems.

    Args:
        runs: runs, run folders, or folders that hold them; None: all below `root`, where there may be none yet.
        root: folder of all runs.
        against: datasets whose published figures are listed too, such as `DFEW`.
        baseline: the system that the others are tested against.

    Raises:
        UsageError: no such folder or no run in it, or two folders with the same fold and seed of one recipe.
        CorruptDataError: damaged files.
    """
    given = [] if runs is None else [runs] if isinstance(runs, Path | str | Run) else list(runs)
    opened = [one for one in given if isinstance(one, Run)]
    folders = find_runs(Path(root)) if runs is None else []
    for folder in [Path(one) for one in given if not isinstance(one, Run)]:
        if not folder.is_dir():
            raise UsageError(f"no folder {folder}: give the folder of a run, or one that holds runs")
        if not (found := find_runs(folder)):
            raise UsageError(f"{folder} holds no runs (no run.json below it); `dfer train` makes them")
        folders += found
    read, unfinished = load_runs(folders)
    finished = (*opened, *read)
    return ReportDocument(build_report(finished, unfinished, against=against, baseline=baseline), finished)
