"""Find the prepared datasets behind the rows of a report on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_data.errors import DferError, UsageError
from lstpnet.reporting.rows import Row

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

PREPARED = Path("prepared")
"""Folder of the prepared datasets, in the working folder."""


def prepared_datasets(
    rows: Sequence[Row], data: PreparedDataset | Path | str | None
) -> tuple[dict[str, PreparedDataset], tuple[str, ...]]:
    """Return sha256 -> dataset for the datasets of rows, and notes about folders that cannot be read.

    `data`: one of them, or its folder or URL; the others are looked for under `prepared`, where a folder with another
    hash is ignored. Raises UsageError if no row uses `data`.
    """
    from dfer_data.loading.prepared import PreparedDataset, open_dataset  # imports OpenCV: only with groups

    names = {row.dataset_sha256: row.prepared for row in rows}
    datasets: dict[str, PreparedDataset] = {}
    notes = []
    if data is not None:
        dataset = data if isinstance(data, PreparedDataset) else open_dataset(data)
        sha256 = dataset.document["sha256"]
        if names and sha256 not in names:
            expected = ", ".join(f"{name} {row_sha256[:12]}" for row_sha256, name in names.items())
            raise UsageError(f"--data {dataset.root} is dataset {sha256[:12]}; the runs were made with {expected}")
        datasets[sha256] = dataset
    for sha256, name in names.items():
        folder = PREPARED / name
        if sha256 in datasets or not folder.is_dir():
            continue
        try:
            dataset = open_dataset(folder)
        except DferError as error:
            notes.append(f"without {folder}: {error}")
            continue
        if dataset.document["sha256"] == sha256:
            datasets[sha256] = dataset
    return datasets, tuple(notes)
