"""What a worker says to its crew."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from dfer_data.errors import DferError
from dfer_data.preparation.steps import VideoDone


@dataclass(frozen=True)
class Ready:
    """First message: the detector is built."""


@dataclass(frozen=True)
class Beat:
    """Message: the step in work goes on."""


@dataclass(frozen=True)
class ShardDone:
    """Message: a shard is written."""


@dataclass(frozen=True)
class Stopped:
    """Last message of a worker that cannot go on."""

    error: DferError | OSError
    """What went wrong."""
    trace: str
    """The worker's traceback."""


Message = Ready | Beat | VideoDone | ShardDone | Stopped


def stopped(error: Exception) -> Stopped:
    """Return the last message of a worker in whose hands `error` is, as something that can be sent."""
    sendable: DferError | OSError
    if isinstance(error, DferError):
        sendable = error
    elif isinstance(error, OSError):
        sendable = OSError(error.errno, error.strerror or str(error))
    else:
        sendable = DferError(f"{type(error).__name__}: {error} (unexpected, in a worker process)")
    return Stopped(sendable, traceback.format_exc())
