"""Run another `dfer` command in its own process, with the same Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_RUN = "from dfer_cli.main import main; raise SystemExit(main())"


def run_line(arguments: Sequence[str], *, cwd: Path | None = None) -> int:
    """Run `dfer` with these arguments and return its exit code; it inherits stdout and stderr."""
    sys.stdout.flush()
    return subprocess.run([sys.executable, "-P", "-c", _RUN, *arguments], cwd=cwd, check=False).returncode
