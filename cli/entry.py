"""What the script `dfer` runs. Worker processes import it too, so it loads the command line only to run one."""

from __future__ import annotations


def main() -> int:
    """Run this process's command line and return its exit code."""
    from .main import main as run

    return run()
