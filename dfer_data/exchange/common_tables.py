"""Write what every export holds, whatever its format: labels, clips and cards."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator

from dfer_data.exchange.base import ExportFormat
from dfer_data.exchange.export_card import export_card
from dfer_data.exchange.manifest import EXPORT_CLIPS_NAME
from dfer_data.exchange.selection import ExportClip, Selection
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.dataset_card import dataset_card
from dfer_data.storage.csv_text import csv_text, spreadsheet_cell
from dfer_data.storage.files import canonical_json


def common_tables(
    exporter: ExportFormat, dataset: PreparedDataset, sha256: str
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield path and content of these files; `sha256`: of dataset.json, empty after a withdrawal."""
    numbers = {name: exporter.selection.numbers[name] for name in exporter.selection.class_names}
    yield "labels.json", [json.dumps(numbers, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"]
    yield EXPORT_CLIPS_NAME, clips_csv(exporter)
    card = export_card(exporter, dataset.document, dataset_sha256=sha256)
    yield "README.md", [card.encode()]
    if dataset.document["synthetic"]:  # `dfer prepare lists` reads it
        statement = {"synthetic": True, "recipe": str(dataset.document.get("recipe", ""))}
        yield "SYNTHETIC.json", [canonical_json(statement)]
    if sha256:
        yield "DATASET.md", [dataset_card(dataset.document, rebuilt=dataset.rebuilt).encode()]


def clips_csv(exporter: ExportFormat) -> Iterator[bytes]:
    """Yield the lines of clips.csv: each clip of the dataset, its path in the export, or why it has none."""
    yield from (csv_text([row]).encode() for row in _clip_rows(exporter.selection, exporter.path_of))


def _clip_rows(chosen: Selection, path_of: Callable[[ExportClip], str]) -> Iterator[list[object]]:
    yield ["clip_id", "path", "label", "label_number", "num_frames", *(f"fold_{fold}" for fold in chosen.folds), "note"]
    blanks = [""] * len(chosen.folds)
    for clip in sorted(chosen.clips, key=lambda clip: clip.clip_id):
        path = path_of(clip)
        splits = [clip.splits.get(fold, "") for fold in chosen.folds]
        number = "" if clip.number is None else clip.number
        note = "" if path else f"sound: {clip.audio}"
        cells = [spreadsheet_cell(clip.clip_id), spreadsheet_cell(path), spreadsheet_cell(clip.label or "")]
        yield [*cells, number, clip.num_frames, *splits, note]
    for clip_id in sorted(chosen.without_face):
        yield [spreadsheet_cell(clip_id), "", "", "", 0, *blanks, "no face"]
    for clip_id in sorted(chosen.skipped):
        yield [spreadsheet_cell(clip_id), "", "", "", 0, *blanks, "no label, or in none of the folds"]
