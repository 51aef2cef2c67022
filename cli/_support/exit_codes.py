"""Exit codes, and how an exception becomes one: a line on stderr, the traceback only with `--debug`.

    0 OK            4 DAMAGED       verify found damage
    1 FAILED        5 LOCKED        another run holds the folder
    2 USAGE       130 INTERRUPTED   Ctrl+C or SIGTERM; what was finished is kept
    3 PARTIAL     141 BROKEN_PIPE   the reader of stdout went away

PARTIAL (some videos failed, the rest is there) is returned by commands with `raise typer.Exit(ExitCode.PARTIAL)`.
"""

from __future__ import annotations

import enum
import errno
import sys

from dfer_data.errors import AnnotationError, DferError

_OF_THE_DISK = {
    errno.ENOSPC: "make room, or write elsewhere",
    errno.EDQUOT: "make room, or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "see whose it is, or write elsewhere",
}
"""What a user can do about what the library does not name itself."""


class ExitCode(enum.IntEnum):
    """The contract with scripts; see the module's docstring."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    DAMAGED = 4
    LOCKED = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141


def report(error: BaseException, *, debug: bool) -> int:
    """Say on stderr what went wrong and return the exit code for it."""
    if isinstance(error, BrokenPipeError):
        return ExitCode.BROKEN_PIPE
    if debug:
        import traceback

        traceback.print_exception(error)
    for line in _lines(error, debug=debug):
        print(line, file=sys.stderr)
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return error.exit_code if isinstance(error, DferError) else ExitCode.FAILED


def _lines(error: BaseException, *, debug: bool) -> list[str]:
    if isinstance(error, KeyboardInterrupt):
        return ["interrupted"]
    if isinstance(error, AnnotationError):
        count = len(error.faults)
        return [f"error: {count} annotation fault{'s' if count > 1 else ''}", *map(_one_line, error.faults)]
    if isinstance(error, DferError):
        return [f"error: {_one_line(str(error))}"]
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        where = f"{error.filename}: " if error.filename else ""
        return [f"error: {_one_line(f'{where}{error.strerror}')}: {_OF_THE_DISK[error.errno]}"]
    more = "" if debug else " (unexpected; the same command with --debug shows where)"
    return [f"error: {type(error).__name__}: {_one_line(str(error))}{more}"]


def _one_line(text: str) -> str:
    return " ".join(text.split("\n"))
