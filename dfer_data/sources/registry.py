"""Dataset adapters by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dfer_data.errors import UsageError
from dfer_data.sources.base import Source
from dfer_data.sources.dfew import list_dfew
from dfer_data.sources.folder import list_folder

SOURCES: Mapping[str, Source] = MappingProxyType({"dfew": list_dfew, "folder": list_folder})


def source(name: str) -> Source:
    """Return the adapter called `name`; UsageError lists the known ones."""
    try:
        return SOURCES[name]
    except KeyError:
        raise UsageError(f"unknown dataset {name!r}; known: {', '.join(SOURCES)}") from None
