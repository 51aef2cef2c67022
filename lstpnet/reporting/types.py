"""The report: rows, controls, published rows, systems and tests between them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lstpnet.reporting.ferv39k_scenes import SceneRow
from lstpnet.reporting.paired_tests import PairedTest
from lstpnet.reporting.published_results import PublishedRow
from lstpnet.reporting.rows import Row
from lstpnet.reporting.systems import System
from lstpnet.runs import UnfinishedRun

NEXT_COMMANDS = ("dfer demo", "dfer train --fold 3")
"""What to type where there is no run yet: without a dataset, and with one."""


@dataclass(frozen=True)
class Report:
    """All rows, in the order of the tables."""

    rows: tuple[Row, ...]
    """Results on the test clips as they are."""
    controls: tuple[Row, ...]
    """Results on changed test frames; never beside the others."""
    unfinished: tuple[UnfinishedRun, ...]
    """Run folders without results."""
    published: tuple[PublishedRow, ...]
    """Published figures: of the datasets asked for, else of those of the rows that are not synthetic; without rows: of
    three datasets."""
    systems: tuple[System, ...] = ()
    """A line for each recipe, data and checkpoint; empty for predictions from elsewhere."""
    paired: tuple[PairedTest, ...] = ()
    """Tests between systems on the same clips."""
    against: tuple[str, ...] = ()
    """Datasets whose published figures were asked for: their tables hold the report's own lines too."""
    scenes: tuple[SceneRow, ...] = ()
    """FERV39k's runs by scene; empty for other datasets."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; `next` says what to type where there are no rows."""
        return {
            "rows": [row.as_dict() for row in self.rows],
            "controls": [row.as_dict() for row in self.controls],
            "unfinished": [{"run": run.folder.as_posix(), "reason": run.reason} for run in self.unfinished],
            "published": [asdict(row) for row in self.published],
            "systems": [system.as_dict() for system in self.systems],
            "paired": [test.as_dict() for test in self.paired],
            "scenes": [row.as_dict() for row in self.scenes],
            "next": [] if self.rows else list(NEXT_COMMANDS),
        }
