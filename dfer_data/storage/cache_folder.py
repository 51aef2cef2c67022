"""The folder where dfer caches downloads on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return `$DFER_CACHE`, else the platform's cache folder; it may not exist yet."""
    if root := os.environ.get("DFER_CACHE"):
        return Path(root).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("dfer"))
