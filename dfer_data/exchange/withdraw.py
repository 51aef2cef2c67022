"""Take the clips of people who withdraw out of an export."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from dfer_data.errors import CorruptDataError, DferError
from dfer_data.exchange.base import ExportFormat
from dfer_data.exchange.common_tables import clips_csv
from dfer_data.exchange.manifest import EXPORT_CLIPS_NAME, EXPORT_NAME, EXPORT_WORK, SUMS_NAME, parse_sums, read_export
from dfer_data.exchange.pieces import finished_files, held_export, write_pieces
from dfer_data.exchange.run import exporter_of, finish_export
from dfer_data.exchange.settings import ExportSettings
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.storage.csv_text import csv_rows, from_spreadsheet
from dfer_data.storage.files import read_regular


def exported_clips(out: Path) -> tuple[str, list[str]]:
    """Return the dataset of a finished export, and the ids of all clips that it holds or names.

    Raises CorruptDataError, FormatVersionError, OSError.
    """
    dataset = str(read_export(out)["request"]["dataset"])
    try:
        rows = [cells for _, cells in csv_rows(read_regular(out / EXPORT_CLIPS_NAME).decode("utf-8"))]
        return dataset, [from_spreadsheet(cells[0]) for cells in rows[1:]]
    except (ValueError, IndexError) as error:
        raise CorruptDataError(f"{out / EXPORT_CLIPS_NAME} was changed: {error}") from error


def is_export_of(out: Path, dataset: PreparedDataset) -> bool:
    """Return whether a finished export is what exporting this dataset now would give, so that it can be reduced."""
    document = read_export(out)
    if document["content_sha256"] not in ("", dataset.identity().content_sha256):
        return False
    try:
        expected = clips_csv(_exporter(out, dataset, ()))
        return read_regular(out / EXPORT_CLIPS_NAME) == b"".join(expected)
    except DferError:
        return False


def withdraw_from_export(out: Path, clip_ids: Collection[str], dataset: PreparedDataset) -> int:
    """Take clips out of an export of a dataset that still holds them; return how many were there.

    Their files go, files with other clips too are written again without them, and export.json keeps no hash of the
    dataset. An export of these clips alone is deleted. Raises LockedError, CorruptDataError, OSError.
    """
    document = read_export(out)
    full = _exporter(out, dataset, ())
    exported = {clip.clip_id for clip in full.selection.clips}
    number = len(exported.intersection(clip_ids))
    if not exported.difference(clip_ids):
        delete_export(out)
        return number
    reduced = _exporter(out, dataset, clip_ids)
    kept = {piece.names: piece.clips for piece in reduced.pieces()}
    with held_export(out):
        for piece in full.pieces():
            if kept.get(piece.names) != piece.clips:
                _unlink(out, (*piece.names, *(new for _, new in piece.links)))
        before = finished_files(out)
        hashes, _ = write_pieces(reduced, out, before)
        _unlink(out, before.keys() - hashes.keys())  # lists and cards are written again
        _remove_empty_folders(out)
        withdrawn = int(document.get("withdrawn_clips", 0)) + number
        finish_export(reduced, dataset, out, document["request"], hashes, num_new=0, withdrawn=withdrawn)
    return number


def delete_export(out: Path) -> None:
    """Delete the files of a finished export, and the folders that are empty then; other files stay."""
    names = parse_sums(read_regular(out / SUMS_NAME))
    with held_export(out):
        _unlink(out, names)
        _unlink(out, (SUMS_NAME, EXPORT_NAME))
    for path in (out / EXPORT_WORK).glob("*"):
        path.unlink(missing_ok=True)
    _remove_empty_folders(out)


def _exporter(out: Path, dataset: PreparedDataset, without: Collection[str]) -> ExportFormat:
    request = read_export(out)["request"]
    settings = ExportSettings(**request["settings"])
    return exporter_of(dataset, settings, out, without=without, numbers=request["label_numbers"])


def _unlink(out: Path, names: Collection[str]) -> None:
    for name in names:
        if not name.startswith("/") and ".." not in name.split("/"):
            (out / name).unlink(missing_ok=True)


def _remove_empty_folders(out: Path) -> None:
    for folder, _, _ in os.walk(out, topdown=False):
        if not os.listdir(folder):
            os.rmdir(folder)
