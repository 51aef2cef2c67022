"""Calibration of each system on its test clips, before and after a temperature that was fitted on held-out clips.

The folds and seeds behind a system's row are pooled. Training fits a temperature per checkpoint on the clips that it
held out of train (`temperatures` in config.json); test clips never choose one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from dfer_data.render.tables import Section, per_cent
from lstpnet.dataset_identity import fold_words
from lstpnet.evaluation.calibration import NUM_BINS, Calibration, calibration, probabilities
from lstpnet.finished_runs import ScoredRun
from lstpnet.predictions import ScoredPredictions
from lstpnet.reporting.rows import grouped, protocol_notes
from lstpnet.reporting.systems import System, parts_behind, read_settings
from lstpnet.runs import TEMPERATURES, read_config

_HEADER = ("calibration of", "n", "ECE", "Brier", "temperature", "ECE at it", "Brier at it")
_NOTES = (
    "n: predictions, of all folds and seeds together",
    f"ECE: mean distance of confidence and accuracy over {NUM_BINS} bins, per cent, above 0 by chance with few clips; "
    "Brier: squared distance of the probabilities to the label, 0 to 2",
    "temperature: fitted on clips held out of train, never on test clips",
)


@dataclass(frozen=True, kw_only=True)
class CalibratedSystem:
    """One system's calibration on all its test clips."""

    name: str
    """Name of the system."""
    prepared: str
    dataset: str
    protocol: str
    """Protocol line of its headline row."""
    n: int
    """Number of predictions: test clips of all its folds and seeds."""
    figures: Calibration
    """Of the probabilities as they are."""
    temperatures: tuple[float, ...]
    """One per training, by seed and fold; () unless all of them have one."""
    scaled: Calibration | None
    """Of the probabilities at these temperatures; None without them."""
    why_not: str
    """Why there is no temperature; empty if there is one."""

    def as_dict(self) -> dict[str, Any]:
        """Return the system as JSON values; `bins`: the fields of each ConfidenceBin in turn."""
        return {
            **{"name": self.name, "prepared": self.prepared, "dataset": self.dataset, "n": self.n},
            **{"ece": self.figures.ece, "brier": self.figures.brier, "bins": _bins(self.figures)},
            "temperatures": list(self.temperatures),
            "ece_at_temperature": None if self.scaled is None else self.scaled.ece,
            "brier_at_temperature": None if self.scaled is None else self.scaled.brier,
            "bins_at_temperature": [] if self.scaled is None else _bins(self.scaled),
            "why_not": self.why_not,
        }


def calibrated_systems(systems: Sequence[System], runs: Sequence[ScoredRun]) -> tuple[CalibratedSystem, ...]:
    """Return the calibration of each system whose logits are of one label per clip.

    Raises CorruptDataError for a damaged config.json.
    """
    found = []
    for system in systems:
        parts = list(parts_behind(system.row, runs))
        if parts and not any(read_settings(run).get("targets") == "labels" for run, _ in parts):
            found.append(_calibrated(system, parts))
    return tuple(found)


def calibration_sections(systems: Sequence[CalibratedSystem]) -> list[Section]:
    """Return one table per prepared dataset."""
    sections = []
    for group in grouped(systems, lambda system: (system.prepared, system.dataset)):
        cells = tuple(_cells(system) for system in group)
        protocols = protocol_notes([(system.name, system.protocol) for system in group])
        notes = (*protocols, *_NOTES, *dict.fromkeys(system.why_not for system in group if system.why_not))
        sections.append(Section(f"{group[0].prepared} ({group[0].dataset}): calibration", _HEADER, cells, notes))
    return sections


def _bins(figures: Calibration) -> list[list[float]]:
    return [list(astuple(part)) for part in figures.bins]


def temperature_words(system: CalibratedSystem) -> str:
    """Return the temperatures of a system: one, or the least and the greatest; `-` for none."""
    if not system.temperatures:
        return "-"
    least, greatest = min(system.temperatures), max(system.temperatures)
    return f"{least:.3f}" if len(system.temperatures) == 1 else f"{least:.3f} to {greatest:.3f}"


def _cells(system: CalibratedSystem) -> tuple[str, ...]:
    scaled = system.scaled
    at_it = ("-", "-") if scaled is None else (per_cent(scaled.ece), f"{scaled.brier:.4f}")
    figures = (per_cent(system.figures.ece), f"{system.figures.brier:.4f}")
    return (system.name, str(system.n), *figures, temperature_words(system), *at_it)


def _calibrated(system: System, parts: Sequence[tuple[ScoredRun, ScoredPredictions]]) -> CalibratedSystem:
    labels = np.concatenate([part.labels for _, part in parts])
    chances = np.concatenate([probabilities(_logits(part)) for _, part in parts])
    fitted = [_temperature(run, part) for run, part in parts]
    temperatures = tuple(temperature for temperature in fitted if temperature is not None)
    lacking = [run for (run, _), temperature in zip(parts, fitted, strict=True) if temperature is None]
    scaled = None
    if not lacking:
        pairs = zip(parts, temperatures, strict=True)
        at_it = [_chances_at(part, temperature) for (_, part), temperature in pairs]
        scaled = calibration(np.concatenate(at_it), labels)
    return CalibratedSystem(
        name=system.name,
        prepared=system.row.prepared,
        dataset=system.row.dataset,
        protocol=system.row.protocol,
        n=len(labels),
        figures=calibration(chances, labels),
        temperatures=() if lacking else temperatures,
        scaled=scaled,
        why_not="; ".join(_reasons(system, lacking[:1])),
    )


def _chances_at(part: ScoredPredictions, temperature: float) -> Any:
    """Return the probabilities at a temperature; those of clips without a face stay the train prior."""
    scaled = probabilities(_logits(part), temperature=temperature)
    return np.where(part.has_face[:, None], scaled, probabilities(_logits(part)))


def _logits(part: ScoredPredictions) -> Any:
    assert part.logits is not None  # those of runs have logits
    return part.logits


def _temperature(run: ScoredRun, part: ScoredPredictions) -> float | None:
    stored = read_config(run.folder, run.info).get(TEMPERATURES, {})
    return float(stored[part.checkpoint]) if part.checkpoint in stored else None


def _reasons(system: System, lacking: Sequence[ScoredRun]) -> Iterator[str]:
    for run in lacking:
        training = f"{fold_words(run.info.fold, run.info.fold_set)} seed {run.info.seed}"
        if system.row.checkpoint == "refit":
            yield f"{system.name} has no temperature: its training saw the clips that were held out before"
        elif run.info.n_val:
            yield f"{system.name} has no temperature: {training} was trained by a dfer that fitted none"
        else:
            yield f"{system.name} has no temperature: {training} held no clips out of train (--val blocks does)"
