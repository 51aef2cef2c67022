"""Run the installed `dfer` command in a working folder, as a user does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""Folder of the repository."""


def run_dfer(*arguments: str, cwd: Path, timeout_s: int = 600) -> subprocess.CompletedProcess[str]:
    """Run one command line and return what it printed; never raises for an exit code."""
    program = Path(sys.executable).with_name("dfer")
    return subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout_s
    )
