"""Where a prepared dataset is written: a folder, or behind a URL. Names are paths below it, with slashes.

What is not finished lies on this machine's disk in any case. A file appears under its name whole or not at all.
"""

from __future__ import annotations

from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.storage.base import Target
from dfer_data.storage.files import is_url
from dfer_data.storage.folder import FolderTarget
from dfer_data.storage.url import UrlTarget


def target_at(place: Path | str, *, work: Path | None = None, task_index: int | None = None) -> Target:
    """Return the place of a dataset, a path or a URL; nothing is asked of it yet. UsageError.

    `work`: of a URL alone, where unfinished shards lie on this machine.
    """
    if isinstance(place, str) and place.startswith("file://"):
        place = Path(place.removeprefix("file://"))
    if isinstance(place, str) and is_url(place):
        return UrlTarget(place, work=work, task_index=task_index)
    if work is not None:
        raise UsageError(f"--work is for a URL: unfinished shards of {place} lie in it")
    return FolderTarget(Path(place), task_index=task_index)
