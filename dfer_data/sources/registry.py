"""Dataset adapters by name."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from dfer_data.errors import UsageError, did_you_mean
from dfer_data.sources.adapters.afew import list_afew
from dfer_data.sources.adapters.caer import list_caer
from dfer_data.sources.adapters.cremad import list_cremad
from dfer_data.sources.adapters.csv_table import list_table
from dfer_data.sources.adapters.dfew import list_dfew
from dfer_data.sources.adapters.enterface05 import list_enterface05
from dfer_data.sources.adapters.ferv39k import list_ferv39k
from dfer_data.sources.adapters.folder import list_folder
from dfer_data.sources.adapters.lists import list_lists
from dfer_data.sources.adapters.mafw import list_mafw, list_mafw_compound
from dfer_data.sources.adapters.mafw_multi import list_mafw_multi
from dfer_data.sources.adapters.meld import list_meld
from dfer_data.sources.adapters.mer import list_mer2023, list_mer2024
from dfer_data.sources.adapters.ravdess import list_ravdess, ravdess_ids
from dfer_data.sources.base import Layout, Source


@dataclass(frozen=True)
class Adapter:
    """One dataset that `prepare` can read."""

    list: Source
    """Lists its clips, labels and folds."""
    layouts: tuple[Layout, ...] = ("videos", "frames")
    """What the dataset ships; the first one is the default."""
    is_users_own: bool = False
    """Whether the videos are the user's and of any length, so that `prepare` cuts them into clips."""
    clip_ids: Callable[[], frozenset[str]] | None = None
    """Returns all ids of the dataset; None if no rule gives them."""


SOURCES: Mapping[str, Adapter] = MappingProxyType(
    {
        "dfew": Adapter(list_dfew),
        "ferv39k": Adapter(list_ferv39k, layouts=("frames",)),
        "afew": Adapter(list_afew),
        "mafw": Adapter(list_mafw),
        "mafw-compound": Adapter(list_mafw_compound),
        "mafw-multi": Adapter(list_mafw_multi),
        "cremad": Adapter(list_cremad),
        "ravdess": Adapter(list_ravdess, clip_ids=ravdess_ids),
        "enterface05": Adapter(list_enterface05),
        "caer": Adapter(list_caer),
        "meld": Adapter(list_meld),
        "mer2023": Adapter(list_mer2023),
        "mer2024": Adapter(list_mer2024),
        "folder": Adapter(list_folder, is_users_own=True),
        "csv": Adapter(list_table, is_users_own=True),
        "lists": Adapter(list_lists, is_users_own=True),
    }
)


def is_users_own(name: str) -> bool:
    """Return whether the videos of a dataset are the user's, as of one that no adapter is known for."""
    return name not in SOURCES or SOURCES[name].is_users_own


def adapter(name: str) -> Adapter:
    """Return the adapter named `name`; UsageError lists the known ones."""
    try:
        return SOURCES[name]
    except KeyError:
        if Path(name).exists():
            raise UsageError(
                f"{name} is not the name of a dataset; for a folder: folder --source {shlex.quote(name)}"
            ) from None
        hint = did_you_mean(name.lower(), SOURCES)
        raise UsageError(f"unknown dataset {name!r}{hint}; known: {', '.join(SOURCES)}") from None
