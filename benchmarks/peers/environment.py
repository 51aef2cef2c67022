"""Environments of their own for packages that dfer is compared with and does not depend on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python_with(name: str, requirements: tuple[str, ...], *, alone: tuple[str, ...] = ()) -> Path:
    """Return the Python of build/peers/NAME, made with these packages where it is missing; versions as ours.

    Of the packages `alone`, what they depend on is not installed.
    """
    folder = ROOT / "build" / "peers" / name
    python, mark = folder / "bin" / "python", folder / ".installed"
    wanted = "\n".join([*requirements, "alone:", *alone] if alone else requirements)
    if not mark.is_file() or mark.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *requirements], check=True)
        if alone:
            subprocess.run([*pip, "--no-deps", *alone], check=True)
        mark.write_text(wanted)
    return python
