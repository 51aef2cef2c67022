"""The report: rows, controls, published rows, systems and tests between them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lstpnet.finished_runs import ScoredRun, UnfinishedRun
from lstpnet.reporting.audited_tests import AuditedRow
from lstpnet.reporting.calibrated_systems import CalibratedSystem
from lstpnet.reporting.external_predictions import ExternalPredictions
from lstpnet.reporting.ferv39k_scenes import SceneRow
from lstpnet.reporting.groups.rows import GroupReport
from lstpnet.reporting.multi_label.rows import MultiLabelRow
from lstpnet.reporting.published_results import PublishedRow
from lstpnet.reporting.rows import Row
from lstpnet.reporting.systems import System
from lstpnet.reporting.uncertainty.paired_tests import PairedTest
from lstpnet.reporting.uncertainty.paired_trainings import PairedTrainings

NEXT_COMMANDS = ("dfer demo", "dfer train --fold 3")
"""Commands to show when there is no run yet: without a dataset, and with one."""


@dataclass(frozen=True)
class Report:
    """All rows of a report, in the order of the tables."""

    rows: tuple[Row, ...]
    """Results on the unchanged test clips."""
    controls: tuple[Row, ...]
    """Results on changed test frames; never in one table with the others."""
    unfinished: tuple[UnfinishedRun, ...]
    """Run folders without results."""
    published: tuple[PublishedRow, ...]
    """Published figures of the requested datasets, else of the datasets of the rows that are not synthetic; without
    rows, of three datasets."""
    systems: tuple[System, ...] = ()
    """One system per recipe, data and checkpoint, and one for external predictions."""
    paired: tuple[PairedTest, ...] = ()
    """Tests between systems on the same clips, over their folds and seeds."""
    paired_trainings: tuple[PairedTrainings, ...] = ()
    """The same training by training."""
    against: tuple[str, ...] = ()
    """Datasets whose published figures were requested; their tables include the report's own lines."""
    runs: tuple[ScoredRun, ...] = ()
    """The runs behind the rows, scored once."""
    external: ExternalPredictions | None = None
    """The external predictions behind the rows without a recipe."""
    scenes: tuple[SceneRow, ...] = ()
    """FERV39k's runs by scene; empty for other datasets."""
    audited: tuple[AuditedRow, ...] = ()
    """Runs on the test clips without a copy in train, where their dataset has an audit."""
    calibrated: tuple[CalibratedSystem, ...] = ()
    """Calibration of the systems with logits."""
    multi_label: tuple[MultiLabelRow, ...] = ()
    """Runs on clips with several labels."""
    groups: GroupReport | None = None
    """Figures by the groups of a column, if requested."""

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values; `next` lists commands to run if there are no rows."""
        return {
            "rows": [row.as_dict() for row in self.rows],
            "controls": [row.as_dict() for row in self.controls],
            "unfinished": [{"run": run.folder.as_posix(), "reason": run.reason} for run in self.unfinished],
            "published": [asdict(row) for row in self.published],
            "systems": [system.as_dict() for system in self.systems],
            "paired": [test.as_dict() for test in self.paired],
            "paired_trainings": [line.as_dict() for line in self.paired_trainings],
            "scenes": [row.as_dict() for row in self.scenes],
            **({"audited": [row.as_dict() for row in self.audited]} if self.audited else {}),
            "calibration": [system.as_dict() for system in self.calibrated],
            **({"multi_label": [row.as_dict() for row in self.multi_label]} if self.multi_label else {}),
            **({} if self.groups is None else self.groups.as_dict()),
            "next": [] if self.rows else list(NEXT_COMMANDS),
        }
