"""The metrics of each epoch for TensorBoard, written during training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from lstpnet.learning_curves import RATIOS
from lstpnet.training.events import EpochDone

BOARD_NAME = "tensorboard"
_SCALARS = ("loss", "learning_rate", "seconds", "waiting_seconds", *RATIOS)


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
