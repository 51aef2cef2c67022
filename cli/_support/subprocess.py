"""Another `dfer` command as a process of its own, with this one's Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_RUN = "from dfer_cli.main import main; raise SystemExit(main())"


def run_line(arguments: Sequence[str], *, cwd: Path | None = None) -> int:
    """Run `dfer` with these arguments, its output going where this one's goes; return its exit code."""
    sys.stdout.flush()
    return subprocess.run([sys.executable, "-P", "-c", _RUN, *arguments], cwd=cwd, check=False).returncode
