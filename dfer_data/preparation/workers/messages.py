"""Messages from a worker to its crew."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from dfer_data.errors import DferError
from dfer_data.preparation.tasks import VideoDone


@dataclass(frozen=True)
class Ready:
    """First message: the detector is built."""


@dataclass(frozen=True)
class Beat:
    """Message: the current step makes progress."""

    num_frames: int = 0
    """Frames of its video decoded so far; 0 for a shard."""
    num_expected: int = 0
    """Frames that the video declares; 0 when unknown."""


@dataclass(frozen=True)
class ShardDone:
    """Message: a shard is written."""


@dataclass(frozen=True)
class Stopped:
    """Last message of a worker that cannot continue."""

    error: DferError | OSError
    """The error that stopped it."""
    trace: str
    """The worker's traceback."""


Message = Ready | Beat | VideoDone | ShardDone | Stopped


def stopped(error: Exception) -> Stopped:
    """Return the last message of a worker that `error` stopped, with the error in a form that can be sent."""
    sendable: DferError | OSError
    if isinstance(error, DferError):
        sendable = error
    elif isinstance(error, OSError):
        sendable = OSError(error.errno, error.strerror or str(error))
    else:
        sendable = DferError(f"{type(error).__name__}: {error} (unexpected, in a worker process)")
    return Stopped(sendable, traceback.format_exc())
