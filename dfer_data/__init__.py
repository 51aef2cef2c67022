"""Raw face videos to a dataset of aligned face clips: decode, detect, track, align, store, read back."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset as PreparedDataset
    from dfer_data.loading.prepared import open_dataset as open_dataset
    from dfer_data.loading.prepared import read_clip as read_clip

_LAZY = {
    "PreparedDataset": "dfer_data.loading.prepared",
    "open_dataset": "dfer_data.loading.prepared",
    "read_clip": "dfer_data.loading.prepared",
}
__all__ = ["PreparedDataset", "open_dataset", "read_clip"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import dfer_data` stays free of work."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'dfer_data' has no attribute {name!r}")
