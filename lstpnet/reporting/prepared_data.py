"""Find the prepared datasets behind the rows of a report on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.errors import DferError, UsageError
from lstpnet.dataset_identity import ClipsKey, DataKey, changed_parts, clips_key, difference
from lstpnet.reporting.data_changes import PREPARED
from lstpnet.reporting.rows import Row

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset


def prepared_datasets(
    rows: Sequence[Row], data: PreparedDataset | Path | str | None
) -> tuple[dict[ClipsKey, PreparedDataset], tuple[str, ...]]:
    """Return the datasets of rows by the hashes of their clips and labels, and notes about folders without those.

    `data`: one of them, or its folder or URL; the others are looked for under `prepared`. A dataset that changed since
    the runs is not used: a note says what changed. Raises UsageError if `data` is the dataset of no row.
    """
    from dfer_data.loading.prepared import PreparedDataset, open_dataset  # imports OpenCV: only with groups

    keys = list(dict.fromkeys(row.data_key for row in rows))
    datasets: dict[ClipsKey, PreparedDataset] = {}
    notes = []
    if data is not None:
        dataset = data if isinstance(data, PreparedDataset) else open_dataset(data)
        if keys and not any(_is_of(key, dataset) for key in keys):
            raise UsageError(f"--data {dataset.root} is not the dataset of {_nearest_difference(keys, dataset)}")
        datasets[clips_key(dataset)] = dataset
    for name in dict.fromkeys(key.prepared for key in keys if key.clips not in datasets):
        folder, keys_of_name = PREPARED / name, [key for key in keys if key.prepared == name]
        if not folder.is_dir():
            continue
        try:
            dataset = open_dataset(folder)
        except DferError as error:
            notes.append(f"without {folder}: {error}")
            continue
        if any(_is_of(key, dataset) for key in keys_of_name):
            datasets.setdefault(clips_key(dataset), dataset)
        notes += [f"without {folder}: {_difference(key, dataset)}" for key in keys_of_name if key.clips not in datasets]
    return datasets, tuple(notes)


def _is_of(key: DataKey, dataset: PreparedDataset) -> bool:
    return not _difference(key, dataset)


def _difference(key: DataKey, dataset: PreparedDataset) -> str:
    return difference(key.identity, dataset, fold_set=key.fold_set, subject="these runs")


def _nearest_difference(keys: Sequence[DataKey], dataset: PreparedDataset) -> str:
    """Return the runs whose data differ the least from a dataset, how they differ, and the next step."""
    identity = dataset.identity()
    nearest = min(keys, key=lambda key: len(changed_parts(key.identity, identity)))
    names = ", ".join(dict.fromkeys(key.prepared for key in keys))
    return f"these runs ({names}): {_difference(nearest, dataset)}; train again, or report these runs without --data"
