"""Kill a command before one of its writes to a folder, within this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from dfer_data.storage.folder import FolderTarget

_WRITES = ("put", "put_file", "move", "remove", "remove_folder", "sync")


class Killed(BaseException):
    """Ends a command like a kill: code that handles Exception does not see it."""


@contextlib.contextmanager
def killed_writes(is_killed: Callable[[], bool]) -> Iterator[None]:
    """Ask `is_killed` before each write in the block, and raise Killed there if it is true."""
    with pytest.MonkeyPatch.context() as patch:
        for name in _WRITES:
            original = getattr(FolderTarget, name)

            def mortal(*arguments: object, original: Callable[..., object] = original, **named: object) -> object:
                if is_killed():
                    raise Killed
                return original(*arguments, **named)

            patch.setattr(FolderTarget, name, mortal)
        yield


def after(num_writes: int) -> Callable[[], bool]:
    """Return a function that is true once it was called more than `num_writes` times."""
    left = num_writes

    def is_over() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    return is_over
