"""Learning curves of a run: a picture of metrics.jsonl, and the same numbers for TensorBoard during training."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from lstpnet.runs import METRICS_NAME, Epochs
from lstpnet.training.trainer import EpochDone

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES_NAME = "curves.png"
BOARD_NAME = "tensorboard"
_RATIOS = {
    "train_accuracy": "train, as augmented",
    "val_war": "held-out WAR",
    "val_uar": "held-out UAR",
    "test_war": "TEST WAR (epoch chosen on it)",
    "test_uar": "TEST UAR (epoch chosen on it)",
}
_SCALARS = ("loss", "learning_rate", "seconds", "waiting_seconds", *_RATIOS)


def draw_curves(folder: Path) -> Path:
    """Draw loss, accuracies and learning rate over the epochs to `folder`/curves.png; needs a finished epoch.

    The stages follow each other from left to right, then the refit.
    """
    from matplotlib.figure import Figure  # no pyplot: nothing global, no display

    epochs = [json.loads(line) for line in (folder / METRICS_NAME).read_bytes().splitlines()]
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    loss, accuracy, rate = figure.subplots(1, 3)
    _draw(loss, epochs, {"loss": "train"}, title="loss")
    _draw(accuracy, epochs, _RATIOS, title="accuracy, 0 to 1")
    accuracy.set_ylim(0, 1.02)
    _draw(rate, epochs, {"learning_rate": "at the end of the epoch"}, title="learning rate")
    path = folder / CURVES_NAME
    figure.savefig(path, dpi=100)
    return path


def _draw(axes: Axes, epochs: Epochs, names: Mapping[str, str], *, title: str) -> None:
    """Draw the values that were measured, with a line between stages."""
    for name, label in names.items():
        points = [(number, epoch[name]) for number, epoch in enumerate(epochs, start=1) if epoch[name] is not None]
        if points:
            axes.plot(*zip(*points, strict=True), marker=".", label=label)
    stages = [f"{epoch['checkpoint']}: {epoch['stage']}" for epoch in epochs]
    starts = [0, *(index for index in range(1, len(stages)) if stages[index] != stages[index - 1])]
    for start in starts:
        if start:
            axes.axvline(start + 0.5, color="0.6", linewidth=1, linestyle="--")
        annotation = axes.annotate(stages[start], (start + 0.6, 1.0), xycoords=("data", "axes fraction"), fontsize=8)
        annotation.set_in_layout(False)
    axes.set_title(title, pad=16)
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, len(epochs) + 0.5)
    axes.locator_params(axis="x", integer=True)
    axes.grid(visible=True, color="0.92")
    axes.legend(fontsize=8)


@contextlib.contextmanager
def board(folder: Path) -> Iterator[Callable[[EpochDone], None]]:
    """Yield a function that writes an epoch's metrics to `folder`/tensorboard; a resumed run appends to them.

    Raises ImportError without the package tensorboard.
    """
    from torch.utils.tensorboard import SummaryWriter

    writers: list[SummaryWriter] = []

    def write(event: EpochDone) -> None:
        if not writers:  # not earlier: training may first delete and recreate the folder
            writers.append(SummaryWriter(str(folder / BOARD_NAME)))
        values = asdict(event)
        for name in _SCALARS:
            if values[name] is not None:
                writers[0].add_scalar(f"{event.checkpoint} {event.stage}/{name}", values[name], event.epoch)
        writers[0].flush()

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()
