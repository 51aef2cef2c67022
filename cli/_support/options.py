"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dfer_data.errors import UsageError

JsonFlag = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]
NumWorkers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Worker processes.", show_default="one per core")
]


def refuse_targets(*targets: Path, force: bool) -> None:
    """Refuse before the work to write over files, and into folders that are not there; UsageError naming the first."""
    for target in targets:
        if not target.parent.is_dir():
            raise UsageError(f"there is no folder {target.parent} to write {target.name} into")
        if target.is_dir() or (target.exists() and not force):
            raise UsageError(f"{target} is there already; choose another name" + ("" if force else ", or --force"))


def require_torch() -> None:
    """Say in one line what to install where PyTorch is missing. Raises UsageError."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        raise UsageError("training needs PyTorch, which is not installed: pip install 'dfer[train]'")


def require_tensorboard() -> None:
    """Say in one line what to install where TensorBoard is missing. Raises UsageError."""
    from importlib.util import find_spec

    if find_spec("tensorboard") is None:
        raise UsageError("--tensorboard needs a package that is not installed: pip install 'dfer[tensorboard]'")
