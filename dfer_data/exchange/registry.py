"""Find the class of a format by its name; a format is imported when it is used."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType

from dfer_data.exchange.base import ExportFormat
from dfer_data.exchange.settings import FORMATS

_CLASSES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "former-dfer": ("former_dfer", "FormerDferLists"),
        "videomae": ("videomae", "VideoMaeLists"),
        "s2d": ("s2d", "S2dLists"),
        "hicmae": ("hicmae", "HicMaeLists"),
        "videofolder": ("videofolder", "VideoFolder"),
        "webdataset": ("webdataset", "WebDatasetShards"),
        "parquet": ("parquet", "ParquetFiles"),
        "frames.csv": ("frames_csv", "FramesCsv"),
        "wav": ("wav", "WavFiles"),
    }
)
assert tuple(_CLASSES) == FORMATS


def format_class(name: str) -> type[ExportFormat]:
    """Return the class of a known format."""
    module, kind = _CLASSES[name]
    found: type[ExportFormat] = getattr(importlib.import_module(f"dfer_data.exchange.formats.{module}"), kind)
    return found
