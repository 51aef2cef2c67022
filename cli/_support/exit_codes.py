"""Exit codes, and how exceptions map to them: one line on stderr, the traceback only with `--debug`.

    0 OK            4 DAMAGED       verify found damage
    1 FAILED        5 LOCKED        another run holds the folder
    2 USAGE       130 INTERRUPTED   Ctrl+C or SIGTERM; finished work is kept
    3 PARTIAL     141 BROKEN_PIPE   the reader of stdout closed the pipe

Commands return PARTIAL (some videos failed, the others are done) with `raise typer.Exit(ExitCode.PARTIAL)`.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import re
import sys
from collections.abc import Sequence

from dfer_data.errors import AnnotationError, DferError, VideoError
from dfer_data.wording import counted

from . import console

_DISK_REMEDIES = {
    errno.ENOSPC: "free some space or write elsewhere",
    errno.EDQUOT: "free some space or write elsewhere",
    errno.EROFS: "write elsewhere",
    errno.EACCES: "check its owner and permissions or write elsewhere",
    errno.ENOTDIR: "a part of this path is a file; write elsewhere",
    errno.EEXIST: "a part of this path is a file; write elsewhere",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ENOENT: "it is not there, or cannot be created there; check the path",
}
"""The next step for operating system errors that the library does not report itself."""


_MOST_ON_SCREEN = 50
_RETRY_CODE = re.compile(r"`--retry-code [A-Z_]+`")


class ExitCode(enum.IntEnum):
    """Exit codes that scripts may rely on; see the module docstring."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    DAMAGED = 4
    LOCKED = 5
    INTERRUPTED = 130
    BROKEN_PIPE = 141


RESUMABLE = ("prepare", "train", "sweep", "export", "audit", "replicate")
"""Commands that resume where they were interrupted."""


def report(error: BaseException, *, debug: bool, command: str = "") -> int:
    """Print the error of a command on stderr and return its exit code."""
    if isinstance(error, BrokenPipeError):
        return ExitCode.BROKEN_PIPE
    with contextlib.suppress(OSError):  # stderr takes no more: the exit code has to do
        if debug:
            import traceback

            traceback.print_exception(error)
        for line in _lines(error, debug=debug, command=command):
            console.say(line, as_json=True)
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return error.exit_code if isinstance(error, DferError) else ExitCode.FAILED


def _lines(error: BaseException, *, debug: bool, command: str) -> list[str]:
    if isinstance(error, KeyboardInterrupt):
        next_step = "; finished work is kept: run the same command again to resume" if command in RESUMABLE else ""
        return [f"interrupted{f'; {error}' if str(error) else next_step}"]
    if isinstance(error, AnnotationError):
        count = len(error.faults)
        return [f"error: {counted(count, 'annotation fault')}", *_shown_faults(error.faults)]
    if isinstance(error, DferError):
        hint = error.hint if isinstance(error, VideoError) else ""  # written for the ledger of `dfer prepare`
        next_step = _RETRY_CODE.sub("run the same command again", hint)
        return [f"error: {_one_line('; '.join(filter(None, (str(error), next_step))))}"]
    if isinstance(error, OSError) and error.errno in _DISK_REMEDIES:
        location = f"{error.filename}: " if error.filename else ""
        return [f"error: {_one_line(f'{location}{error.strerror}')}: {_DISK_REMEDIES[error.errno]}"]
    hint = "" if debug else " (unexpected; run the same command with --debug for the traceback)"
    return [f"error: {type(error).__name__}: {_one_line(str(error))}{hint}"]


def _shown_faults(faults: Sequence[str]) -> list[str]:
    """Return a line per fault; on a terminal the first ones, so that the first, which often explains all, is seen."""
    if len(faults) <= _MOST_ON_SCREEN or not sys.stderr.isatty():
        return list(map(_one_line, faults))
    more = counted(len(faults) - _MOST_ON_SCREEN, "more fault")
    return [*map(_one_line, faults[:_MOST_ON_SCREEN]), f"and {more}; `2> faults.txt` after the command keeps all"]


def _one_line(text: str) -> str:
    return " ".join(text.split("\n"))
