"""Say of runs that the prepared dataset of their training holds other clips now."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dfer_data.shards.identity import identity_of
from dfer_data.shards.layout import DATASET_NAME
from lstpnet.dataset_identity import DataKey, changed_parts, is_whole

PREPARED = Path("prepared")
"""Folder of the prepared datasets, in the working folder."""


def data_changes(keys: Iterable[DataKey]) -> dict[DataKey, str]:
    """Return the caveat of each data of runs whose folder under `prepared` holds other clips now.

    A dataset that is not there, or cannot be read, has none. Nor has one of dfer 0.1, whose only hash covers more than
    its clips.
    """
    return {key: words for key in dict.fromkeys(keys) if (words := _change(key))}


def _change(key: DataKey) -> str:
    folder = PREPARED / key.prepared
    try:
        document: dict[str, Any] = json.loads((folder / DATASET_NAME).read_bytes())
        identity = identity_of(document)
        removed = sum(entry["clips"] for entry in document.get("history", ()) if entry["change"] == "removed")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    if is_whole(identity) or is_whole(key.identity) or "clips" not in changed_parts(key.identity, identity):
        return ""
    lost = f" ({removed} removed from it by `dfer remove`)" if removed else ""
    return f"the data changed: {folder.as_posix()} holds other clips now than at this training{lost}"
