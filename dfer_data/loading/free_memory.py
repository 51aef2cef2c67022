"""How much memory this process may still take."""

from __future__ import annotations

import contextlib
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")


def free_host_bytes(*, cgroups: Path = _CGROUPS, own_cgroup: Path = _OWN_CGROUP) -> int:
    """Return the bytes that are free on this machine, or in the control group of this process if that is less.

    Containers and job schedulers bound memory by a control group (version 2), which the machine's figure ignores. Files
    that the kernel keeps in memory count as free, as it drops them when memory is needed.
    """
    import psutil

    free = int(psutil.virtual_memory().available)
    path = cgroups
    with contextlib.suppress(OSError):
        names = [line.removeprefix("0::/") for line in own_cgroup.read_text().splitlines() if line.startswith("0::/")]
        path = cgroups / names[0] if names else cgroups
    while True:
        free = min(free, _free_in(path, default=free))
        if path == cgroups:
            return free
        path = path.parent


def _free_in(folder: Path, *, default: int) -> int:
    """Return the bytes that a control group leaves; `default` without a bound."""
    try:
        bound, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        lines = (folder / "memory.stat").read_text().splitlines()
        files = sum(int(line.split()[1]) for line in lines if line.split()[0] == "inactive_file")
        return default if bound == "max" else max(0, int(bound) - int(used) + files)
    except (OSError, ValueError, IndexError):
        return default
