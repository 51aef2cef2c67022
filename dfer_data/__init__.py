"""Raw face videos to a dataset of aligned face clips: decode, detect, track, align, store, read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfer_data.preparation.manifest import PreparedDataset as PreparedDataset
    from dfer_data.preparation.manifest import open_dataset as open_dataset
    from dfer_data.preparation.manifest import read_clip as read_clip

_LAZY = ("PreparedDataset", "open_dataset", "read_clip")
__all__ = ["PreparedDataset", "open_dataset", "read_clip"]


def __getattr__(name: str) -> Any:
    """Import the readers on first use, so that `import dfer_data` stays free of work."""
    if name in _LAZY:
        from dfer_data.preparation import manifest

        return getattr(manifest, name)
    raise AttributeError(f"module 'dfer_data' has no attribute {name!r}")
