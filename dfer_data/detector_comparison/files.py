"""Write the folder of a comparison: comparison.json, three tables, and one contact sheet per clip in sheets/."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dfer_data.detector_comparison.totals import DetectorComparison
from dfer_data.errors import UsageError
from dfer_data.storage.csv_text import spreadsheet_cell
from dfer_data.storage.files import write_atomically
from dfer_data.storage.walk import entries_of

COMPARISON_SHEETS = "sheets"
"""Folder of the contact sheets."""
_DOCUMENT = "comparison.json"
_TABLES = ("detectors.csv", "pairs.csv", "clips.csv")


def claim(folder: Path, *, force: bool) -> None:
    """Create the folder, or with `force` delete the files of an earlier comparison in it.

    Raises UsageError for a folder that holds anything else, and OSError.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out {folder} is not a folder")
    names = [path.name for path in entries_of(folder)]
    foreign_names = [name for name in names if name not in (_DOCUMENT, COMPARISON_SHEETS, *_TABLES)]
    if foreign_names or (names and not force):
        problem = (
            f"holds {foreign_names[0]}, which is not part of a comparison"
            if foreign_names
            else "already holds a comparison"
        )
        raise UsageError(f"--out {folder} {problem}; choose another folder" + ("" if foreign_names else ", or --force"))
    folder.mkdir(parents=True, exist_ok=True)
    sheets = [path for path in entries_of(folder / COMPARISON_SHEETS) if path.suffix == ".jpg"]
    for path in (folder / _DOCUMENT, *(folder / name for name in _TABLES), *sheets):
        path.unlink(missing_ok=True)


def document(comparison: DetectorComparison, *, root: Path, every: int, det_size_px: int) -> dict[str, Any]:
    """Return the comparison as JSON values; shares are 0..1, lengths are shares of the distance between the eyes."""
    return {
        "format": "dfer-detector-comparison",
        "format_version": 1,
        "folder": str(root),
        "every": every,
        "det_size_px": det_size_px,
        **comparison.as_dict(),
    }


def write(folder: Path, comparison: DetectorComparison, content: dict[str, Any]) -> None:
    """Write the tables, then the document. Raises OSError."""
    _write_table(folder / "detectors.csv", [asdict(row) for row in comparison.detectors])
    _write_table(folder / "pairs.csv", [asdict(row) for row in comparison.pairs])
    names = [row.name for row in comparison.detectors]
    _write_table(folder / "clips.csv", list(_clip_rows(comparison, names)))
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(folder / _DOCUMENT, text.encode("utf-8"))


def _clip_rows(comparison: DetectorComparison, names: Sequence[str]) -> Iterable[dict[str, Any]]:
    for clip in comparison.clips:
        yield {
            "clip_id": clip.clip_id,
            "num_frames": clip.num_frames,
            "is_partial": clip.is_partial,
            **{f"hits {name}": clip.hits[name] for name in names},
            **{f"subject frames {name}": clip.subject_frames[name] for name in names},
            "different subjects": "; ".join(f"{suspect.one} {suspect.other}" for suspect in clip.suspects),
            "sheet": clip.sheet,
        }


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    table = io.StringIO(newline="")
    if rows:
        writer = csv.writer(table)
        writer.writerow(rows[0])
        writer.writerows([spreadsheet_cell(cell) for cell in row.values()] for row in rows)
    write_atomically(path, table.getvalue().encode("utf-8"))
