"""Choose where a prepared dataset is written: a folder or a URL. Names are paths below it, with slashes.

Unfinished files are always on this machine's disk. A file appears under its name whole or not at all.
"""

from __future__ import annotations

from pathlib import Path

from dfer_data.errors import UsageError
from dfer_data.storage.base import Target
from dfer_data.storage.files import place_of
from dfer_data.storage.folder import FolderTarget
from dfer_data.storage.url import UrlTarget


def target_at(place: Path | str, *, work: Path | None = None, task_index: int | None = None) -> Target:
    """Return the place of a dataset, a path or a URL, without accessing it. UsageError.

    `work`: for a URL only, the local folder for unfinished shards.
    """
    place = place_of(place)
    if isinstance(place, str):
        return UrlTarget(place, work=work, task_index=task_index)
    if work is not None:
        raise UsageError(f"--work is for a URL: unfinished shards of {place} are kept inside it; leave out --work")
    return FolderTarget(place, task_index=task_index)
