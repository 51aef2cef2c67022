"""Read who is who in the own videos that runs were trained on, where the dataset is under `prepared` and the same."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dfer_data.errors import DferError
from dfer_data.inspection.id_order import known_people
from lstpnet.dataset_identity import clips_key
from lstpnet.reporting.data_changes import PREPARED
from lstpnet.runs import RunInfo

_NOBODY: Mapping[str, str] = MappingProxyType({})


def people_of(info: RunInfo) -> Mapping[str, str]:
    """Return clip id -> person in the dataset of a run; empty unless it is here, a user's own, and names persons.

    Run folders hold no names of persons, so that they can be passed on.
    """
    folder = PREPARED / info.prepared
    if not folder.is_dir():
        return _NOBODY
    from dfer_data.loading.prepared import open_dataset  # imports OpenCV
    from dfer_data.sources.registry import is_users_own  # imports every adapter

    if not is_users_own(info.dataset):
        return _NOBODY
    try:
        dataset = open_dataset(folder)
        return known_people(dataset) if clips_key(dataset) == info.data_key.clips else _NOBODY
    except DferError:
        return _NOBODY
