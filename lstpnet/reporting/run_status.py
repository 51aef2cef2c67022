"""How far runs are: finished with which scores, in training by whom, or stopped after which epoch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from dfer_data.errors import CorruptDataError, DferError
from dfer_data.render.tables import duration, per_cent
from lstpnet.finished_runs import find_runs, open_run, score_run
from lstpnet.metrics import selection_figure
from lstpnet.run_files import run_holder
from lstpnet.runs import CONFIG_NAME, METRICS_NAME, RUN_NAME, read_run

_FIGURES: Mapping[str, str] = MappingProxyType(
    {"train_accuracy": "train accuracy", "val_war": "held-out WAR", "val_uar": "UAR"}
)
"""Figures of an epoch that may be null -> their words."""
RunState = Literal["finished", "in training", "stopped", "damaged"]


@dataclass(frozen=True)
class RunStatus:
    """How far a run is."""

    folder: str
    """Run folder."""
    state: RunState
    """`stopped`: it has not finished, and no process works on it."""
    epoch: int
    """Finished epochs of all stages together, those of a refit too."""
    num_epochs: int | None
    """Epochs of both stages, and of a refit once their number is chosen; None if unknown."""
    holder: str | None
    """Who trains it now, such as `process 12 on host`."""
    last_epoch: str
    """Stage, loss and accuracy of the last finished epoch, one line; empty without one."""
    seconds_left: float | None
    """Estimate for a run in training, by the time of its last epoch; without the prediction of the test clips."""
    scores: Mapping[str, Mapping[str, float]]
    """Of a finished run: checkpoint -> `war` and `uar`, 0..1."""
    fault: str
    """Of a damaged run, one line."""

    def __str__(self) -> str:
        """Return one line for people."""
        of_all = "" if self.num_epochs is None else f" of {self.num_epochs}"
        if self.state == "finished":
            figures = [
                f"{checkpoint} WAR {per_cent(score['war'])} UAR {per_cent(score['uar'])}"
                for checkpoint, score in self.scores.items()
            ]
            return f"finished: {'; '.join(figures) or self.fault or 'no scores'}"
        if self.state == "damaged":
            return f"damaged: {self.fault}"
        last = f" ({self.last_epoch})" if self.last_epoch else ""
        if self.state == "stopped":
            return f"stopped at epoch {self.epoch}{of_all}{last}"
        left = "" if self.seconds_left is None else f", about {duration(self.seconds_left)} left"
        return f"in training, epoch {self.epoch}{of_all} done{last}{left}, by {self.holder}"


def run_statuses(root: Path) -> list[RunStatus]:
    """Return the status of every run at or below a folder; nothing is changed, and no lock is held."""
    return [run_status(folder) for folder in find_runs(root)]


def run_status(folder: Path) -> RunStatus:
    """Return how far a run is."""
    epochs = _epochs(folder)
    num_epochs = _num_epochs(folder, epochs)
    holder = run_holder(folder)
    state: RunState = "in training" if holder else "stopped"
    scores: dict[str, dict[str, float]] = {}
    fault = ""
    if holder is None and (folder / RUN_NAME).is_file():
        try:
            if read_run(folder).finished:
                state = "finished"
                scores = _scores(folder)
        except CorruptDataError as error:
            state, fault = "damaged", str(error)
        except DferError as error:
            fault = str(error)  # such as a run of a newer dfer, or one whose test clips were withdrawn
    left = None
    if state == "in training" and epochs and num_epochs is not None:
        left = float(epochs[-1]["seconds"]) * (num_epochs - len(epochs))
    return RunStatus(
        folder=str(folder),
        state=state,
        epoch=len(epochs),
        num_epochs=num_epochs,
        holder=holder,
        last_epoch=_words(epochs[-1]) if epochs else "",
        seconds_left=left,
        scores=scores,
        fault=fault,
    )


def _scores(folder: Path) -> dict[str, dict[str, float]]:
    parts = score_run(open_run(folder)).parts
    return {
        str(part.checkpoint): {"war": float(part.scores.war), "uar": float(part.scores.uar)}
        for part in parts
        if not part.control
    }


def _epochs(folder: Path) -> list[dict[str, Any]]:
    """Return the finished epochs in metrics.jsonl, one per stage and number; a line that a kill cut is ignored."""
    try:
        lines = (folder / METRICS_NAME).read_bytes().splitlines()
    except OSError:
        return []
    return list({(item["checkpoint"], item["stage"], item["epoch"]): item for item in _parsed(lines)}.values())


def _parsed(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            item = dict(json.loads(line))
            texts, numbers = [item["checkpoint"], item["stage"]], [item["epoch"], item["loss"], item["seconds"]]
            numbers += [item[name] for name in _FIGURES if item.get(name) is not None]
            if all(isinstance(text, str) for text in texts) and all(
                isinstance(value, int | float) for value in numbers
            ):
                yield item
        except (ValueError, KeyError, TypeError, RecursionError):
            continue


def _num_epochs(folder: Path, epochs: Sequence[Mapping[str, Any]]) -> int | None:
    """Return the epochs of both stages, from the settings of the run, and of the refit once the best epoch is known."""
    try:
        settings = json.loads((folder / CONFIG_NAME).read_bytes())["settings"]
        number = int(settings["frame_epochs"]) + int(settings["epochs"])
        first_training = [item for item in epochs if item["checkpoint"] != "refit"]
        if settings.get("refit") and len(first_training) >= number:
            number += int(settings["frame_epochs"]) + _best_epoch(first_training, select_by=settings["select_by"])
        return number
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _best_epoch(epochs: Sequence[Mapping[str, Any]], *, select_by: str) -> int:
    """Return the number of the first epoch on clips that is the best on the held-out ones."""
    measured = [item for item in epochs if item.get("val_war") is not None]
    figures = [selection_figure(item["val_war"], item["val_uar"], select_by=select_by) for item in measured]
    return int(measured[figures.index(max(figures))]["epoch"])


def _words(item: Mapping[str, Any]) -> str:
    """Return one line on an epoch."""
    figures = [f"{item['stage']} epoch {item['epoch']}: loss {item['loss']:.3f}"]
    for name, words in _FIGURES.items():
        if item.get(name) is not None:
            figures.append(f"{words} {per_cent(float(item[name]))}")
    return ", ".join(figures)
