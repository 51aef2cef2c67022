"""Separate environments for packages that dfer is compared with but does not depend on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python_with(name: str, requirements: tuple[str, ...], *, alone: tuple[str, ...] = ()) -> Path:
    """Return the Python of build/peers/NAME; create it if needed, with these packages.

    Versions follow constraints.txt, as for dfer. Packages in `alone` are installed without their dependencies.
    """
    folder = ROOT / "build" / "peers" / name
    python, marker = folder / "bin" / "python", folder / ".installed"
    content = "\n".join([*requirements, "alone:", *alone] if alone else requirements)
    if not marker.is_file() or marker.read_text() != content:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *requirements], check=True)
        if alone:
            subprocess.run([*pip, "--no-deps", *alone], check=True)
        marker.write_text(content)
    return python
