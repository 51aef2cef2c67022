"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dfer_data.errors import UsageError
from dfer_data.extras import install_command

from . import console
from .exit_codes import ExitCode

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; all else goes to stderr.")]
NumWorkers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default="one per core")
]


_MOST_NAME_BYTES = 255


def refuse_targets(*targets: Path, force: bool) -> None:
    """Check that no target exists (unless `force`) and that its folder does; UsageError with the first that fails."""
    from dfer_data.storage.files import refuse_unwritable

    for target in targets:
        if not target.parent.is_dir():
            raise UsageError(f"folder {target.parent} does not exist; create it to write {target.name} there")
        if len(os.fsencode(target.name)) > _MOST_NAME_BYTES:
            raise UsageError(f"{target.name[:40]}...: a file name has at most {_MOST_NAME_BYTES} bytes; shorten it")
        if target.is_dir():
            raise UsageError(f"{target} is a folder; give the name of a file, such as {target / 'NAME'}")
        if target.exists() and not force:
            raise UsageError(f"{target} already exists; choose another name or use --force")
        if target.exists() and not target.is_file():
            raise UsageError(f"{target} is not a file that can be replaced; choose another name")
    for folder in dict.fromkeys(target.parent for target in targets):
        refuse_unwritable(folder)


def confirm(question: str, *, threat: str) -> None:
    """Ask before something is removed. Raises UsageError with `threat` without a terminal, Exit after a no."""
    if not sys.stdin.isatty():
        raise UsageError(f"{threat}; add --yes to confirm")
    if not agreed(question, otherwise="nothing was changed"):
        console.say("nothing was changed", as_json=True)
        raise typer.Exit(ExitCode.USAGE)


def agreed(question: str, *, otherwise: str) -> bool:
    """Return whether the answer is yes. Raises KeyboardInterrupt with `otherwise` after Ctrl+C, or Ctrl+D."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        console.say("", as_json=True)  # the terminal is still in the line of the question
        raise KeyboardInterrupt(otherwise) from None


def require_torch() -> None:
    """Raise UsageError with the install command if PyTorch is missing."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise UsageError(f"training needs PyTorch, which is not installed: {install_command('train')}")


def require_tensorboard() -> None:
    """Raise UsageError with the install command if TensorBoard is missing."""
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        command = install_command("tensorboard")
        raise UsageError(f"--tensorboard needs a package that is not installed: {command}")
