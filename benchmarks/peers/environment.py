"""Environments of their own for packages that dfer is compared with and does not depend on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python_with(name: str, requirements: tuple[str, ...]) -> Path:
    """Return the Python of build/peers/NAME, made with these packages where it is missing; versions as ours."""
    folder = ROOT / "build" / "peers" / name
    python, mark = folder / "bin" / "python", folder / ".installed"
    if not mark.is_file() or mark.read_text() != "\n".join(requirements):
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *requirements], check=True)
        mark.write_text("\n".join(requirements))
    return python
