"""Write checkpoints and states of a training from a thread: the training copies its tensors and goes on.

A save is a copy in host memory. While one is written, or shortly after, a newer save replaces the one that waits, so
that epochs of a second share a write. The end of the block writes the save that waits, whatever ended it.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import SafetensorError

from dfer_data.errors import DferError
from lstpnet.checkpoints.checkpoint import save_tensors
from lstpnet.run_files import Files
from lstpnet.runs import CHECKPOINTS_FOLDER
from lstpnet.training.resume_state import save_state, state_path

PAUSE_SECONDS = 5.0
"""Least time from the start of a write to the start of the next one; a kill loses at most this and an epoch."""


@contextlib.contextmanager
def readable_disk_errors(folder: Path) -> Iterator[None]:
    """Turn an error of the disk, while a run is written to `folder`, into a DferError of one line."""
    intact = "the last good checkpoint and state are intact"
    try:
        yield
    except RuntimeError as error:
        if "PytorchStreamWriter" in str(error) or "unexpected pos" in str(error):
            raise DferError(f"cannot write {folder}: is the disk full? {intact}; make room and run again") from error
        raise
    except BrokenPipeError:  # from the listener of the events, not from the disk
        raise
    except (OSError, SafetensorError) as error:
        raise DferError(f"cannot write {folder}: {error}; {intact}; make room and run again") from error


@dataclass(frozen=True, eq=False, kw_only=True)
class Save:
    """What is written at one moment of a training; its tensors are copies that nobody changes."""

    state: Mapping[str, Any]
    """The state to resume from, without `files`."""
    weights: Mapping[str, torch.Tensor] | None = None
    """State dict of the checkpoint; None: the checkpoint stays as it is."""
    facts: Mapping[str, Any] | None = None
    """Facts of the checkpoint."""


class StateWriter:
    """Writes the newest of the saves that it gets, one at a time; use it as a context manager.

    The block ends once the last save is on disk. An error of a write is raised by the next `put`, or at the end of the
    block unless another error ended it.
    """

    def __init__(self, folder: Path, name: str, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        """`folder`: of the run; `name`: of the checkpoint; `pause_seconds`: see PAUSE_SECONDS."""
        self._folder, self._name, self._pause_seconds = folder, name, pause_seconds
        self._changed = threading.Condition()
        self._waiting: Save | None = None
        self._is_closing = False
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None
        self.files: Files = {}
        """Size and hash of the files of the checkpoint on disk."""

    def put(self, save: Save) -> None:
        """Let the thread write this save instead of one that still waits. Raises the error of an earlier write."""
        with self._changed:
            if self._error is not None:
                raise self._error
            if save.weights is None and self._waiting is not None:
                save = replace(save, weights=self._waiting.weights, facts=self._waiting.facts)
            self._waiting = save
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_until_closed, name="state writer", daemon=True)
            self._thread.start()

    def __enter__(self) -> Self:
        """Return this writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Wait until the save that waits is written; raise the error of the thread if the block had none."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def _write_until_closed(self) -> None:
        next_time = 0.0
        while (save := self._next_save(next_time)) is not None:
            next_time = time.monotonic() + self._pause_seconds
            try:
                self._write(save)
            except BaseException as error:  # raised in the thread that trains
                with self._changed:
                    self._error = error
                return

    def _next_save(self, next_time: float) -> Save | None:
        """Wait for a save, and until `next_time` for a newer one; None at the end of the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._is_closing)
            pause = next_time - time.monotonic()
            if pause > 0:
                self._changed.wait_for(lambda: self._is_closing, timeout=pause)
            save, self._waiting = self._waiting, None
            return save

    def _write(self, save: Save) -> None:
        """Write the checkpoint, then the state that names its files; a crash leaves the last good ones."""
        if save.weights is not None and save.facts is not None:
            path = self._folder / CHECKPOINTS_FOLDER / f"{self._name}.safetensors"
            self.files = save_tensors(save.weights, path, facts=save.facts)
        files = {name: asdict(facts) for name, facts in self.files.items()}
        save_state(state_path(self._folder, self._name), {**save.state, "files": files})


def host_copy(value: Any, copies: dict[Any, torch.Tensor] | None = None) -> Any:
    """Return a copy of nested dicts and lists with every tensor copied to host memory.

    `copies`: tensors copied so far; a tensor that is found again, as tied weights are, is the same copy.
    """
    copies = {} if copies is None else copies
    if isinstance(value, torch.Tensor):
        key = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
        if key not in copies:
            copies[key] = value.detach().to("cpu", copy=True)
        return copies[key]
    if isinstance(value, dict):
        clone = copy.copy(value)  # keeps the type, and the versions in a state dict
        for name, item in value.items():
            clone[name] = host_copy(item, copies)
        return clone
    if isinstance(value, list | tuple):
        return type(value)([host_copy(item, copies) for item in value])
    return value
