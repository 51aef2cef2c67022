"""What the systems of a report cost: parameters, multiply-adds, and the seconds of training and prediction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dfer_data.wording import counted
from lstpnet import metrics
from lstpnet.finished_runs import ScoredRun
from lstpnet.runs import GMAC, PREDICTION_MS, read_config, read_epochs


@dataclass(frozen=True, kw_only=True)
class SystemCosts:
    """The costs of one system; None where a run folder does not state one, or its runs differ."""

    num_parameters: int | None = None
    """Number of parameters of the network."""
    gmac: float | None = None
    """Billions of multiply-adds for one clip."""
    training_seconds: float | None = None
    """Seconds of all epochs of a training, the mean over the system's runs; those of a refit belong to `refit` only."""
    prediction_ms: float | None = None
    """Milliseconds per test clip, reading included, the mean over the system's runs."""
    machines: tuple[str, ...] = ()
    """Devices of these times, a CPU with its threads."""


def costs_of(runs: Sequence[ScoredRun], *, checkpoint: str | None = None) -> SystemCosts:
    """Return the costs of a system from the folders of its runs. Raises CorruptDataError for damaged files.

    `checkpoint`: of the system; a refit also takes the training that chose its number of epochs.
    """
    configs = [read_config(run.folder, run.info) for run in runs]
    seconds = [
        sum(
            float(epoch["seconds"])
            for epoch in read_epochs(run.folder, run.info)
            if checkpoint == "refit" or epoch.get("checkpoint") != "refit"
        )
        for run in runs
    ]
    return SystemCosts(
        num_parameters=_shared(config.get("num_parameters") for config in configs),
        gmac=_shared(config.get(GMAC) for config in configs),
        training_seconds=_mean(number or None for number in seconds),
        prediction_ms=_mean(config.get(PREDICTION_MS) for config in configs),
        machines=tuple(sorted({words for config in configs if (words := _machine(config))})),
    )


def _shared(values: Iterable[Any]) -> Any:
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = list(values)
    numbers = [value for value in known if value is not None]
    return metrics.mean(numbers) if numbers and len(numbers) == len(known) else None


def _machine(config: Mapping[str, Any]) -> str:
    """Return the device of a run, in words; of a resumed run, of its first session."""
    device, num_threads = str(config.get("device", "")), config.get("num_threads")
    if device != "cpu" or num_threads is None:
        return str(config.get("device_name", device))
    return f"cpu with {counted(num_threads, 'thread')}"
