"""Write a gallery of a prepared dataset into a folder: contact sheets, plots and a static page that shows them.

    FOLDER/index.html  statistics.png  statistics.json  sheets/class-1-Happy.jpg ...

The page needs no network and no server; it is rendered like the report, by jinja2 with autoescaping.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_data.config import PrepareConfig
from dfer_data.inspection.dataset_sheets import MOST_ROWS, Sheet, sheets_of
from dfer_data.inspection.dataset_statistics import draw_statistics, statistics_sections
from dfer_data.render.html import page_template, policy, read_text
from dfer_data.render.tables import Section
from dfer_data.storage.files import write_atomically
from dfer_data.storage.walk import entries_of

if TYPE_CHECKING:
    from dfer_data.loading.prepared import PreparedDataset

PAGE_NAME, PLOT_NAME, NUMBERS_NAME, SHEETS_FOLDER = "index.html", "statistics.png", "statistics.json", "sheets"
_FIGURES = ("clips", "frames", "ok", "partial", "failed", "tracks left out")


@dataclass(frozen=True)
class Gallery:
    """A written gallery."""

    page: Path
    """The page to open first."""
    sections: tuple[Section, ...]
    """Its tables."""
    sheets: tuple[Sheet, ...]
    """Its contact sheets."""


def write_gallery(
    dataset: PreparedDataset,
    folder: Path,
    *,
    source: Path | None = None,
    most: int = MOST_ROWS,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Gallery:
    """Write the gallery of a dataset and replace the files of an earlier one.

    Args:
        dataset: the dataset.
        folder: created if missing.
        source: folder of the videos, for frames of clips without faces; None: not available.
        most: maximum rows of a contact sheet.
        on_progress: called with the number of finished sheets and of all sheets.

    Raises UsageError without matplotlib, CorruptShardError for damaged bytes, OSError when the disk fails.
    """
    page = page_template("dataset.html.j2", package="dfer_data.inspection")
    (folder / SHEETS_FOLDER).mkdir(parents=True, exist_ok=True)
    title = _title(dataset)
    sections = tuple(statistics_sections(dataset))
    draw_statistics(dataset, folder / PLOT_NAME, title=title)
    sheets = tuple(sheets_of(dataset, source=source, most=most, on_progress=on_progress))
    for stale in (path for path in entries_of(folder / SHEETS_FOLDER) if path.suffix == ".jpg"):
        stale.unlink()
    for sheet in sheets:
        write_atomically(folder / SHEETS_FOLDER / f"{sheet.name}.jpg", sheet.jpeg, work=folder / SHEETS_FOLDER)
    numbers = json.dumps({"sections": [asdict(section) for section in sections]}, indent=1, allow_nan=False)
    write_atomically(folder / NUMBERS_NAME, numbers.encode("utf-8"), work=folder)
    style, script = read_text("page.css"), read_text("page.js")
    text = page.render(
        version=version("dfer"),
        title=title,
        synthetic=dataset.document["synthetic"],
        figures=_figures(dataset.document["counts"]),
        provenance=_provenance(dataset.document),
        plot=PLOT_NAME,
        sections=sections,
        sheets=sheets,
        has_source=source is not None,
        style=style,
        script=script,
        policy=policy(style, script, images="'self' file: data:"),
    )
    write_atomically(folder / PAGE_NAME, str(text).encode("utf-8", "backslashreplace"), work=folder)
    return Gallery(folder / PAGE_NAME, sections, sheets)


def _title(dataset: PreparedDataset) -> str:
    return f"{dataset.root.resolve().name} ({dataset.document['dataset']}, sha256 {dataset.document['sha256'][:12]})"


def _figures(counts: dict[str, Any]) -> list[tuple[str, str]]:
    numbers = {"clips": counts["clips"], "frames": counts["frames"], **counts["status"]}
    numbers["tracks left out"] = sum(counts.get("left_out", {}).values())
    return [(name, f"{numbers[name]:,}") for name in _FIGURES if numbers.get(name)]


def _provenance(document: dict[str, Any]) -> str:
    """Describe in one line how the faces were made."""
    config = PrepareConfig.from_dict(document["config"])
    if config.align == "given":
        return "Shipped crops, unchanged."
    interval = config.detect_every
    frames = "all frames" if interval == 1 else f"one frame in {interval}, and more where faces change"
    alignment = f"{config.align} alignment" + (" by rigid points" if config.align_points == "rigid" else "")
    alignment += " with one scale per track" if config.align_scale == "track" else ""
    return (
        f"Faces by {config.detector} {config.backbone} (weights sha256 {config.weights_sha256[:12]}), long side "
        f"{config.det_size_px} px, in {frames}; {alignment} to {config.size_px} px; subject: "
        f"{config.subject}."
    )
