"""The card (README.md) of an export: how to read it, what is in it, where it comes from, and the dataset's terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dfer_data.exchange.base import FOLD_PARTS, ExportFormat
from dfer_data.render.markdown import Verbatim, render_card
from dfer_data.shards.dataset_card import licence, terms, title

_BUILDERS = ("videofolder", "parquet")


def export_card(exporter: ExportFormat, dataset: Mapping[str, Any], *, dataset_sha256: str) -> str:
    """Return the card as Markdown; `dataset`: dataset.json, `dataset_sha256`: its hash, empty after a withdrawal."""
    chosen = exporter.selection
    clips = exporter.held(chosen.clips)
    num_silent = len(chosen.clips) - len(clips)
    origin = [("dataset", str(dataset["dataset"])), ("sha256 of dataset.json", dataset_sha256 or "withdrawn")]
    return render_card(
        "export_card.md.j2",
        package="dfer_data.exchange",
        metadata=_metadata(exporter, dataset),
        title=Verbatim(title(dataset)),
        format=exporter.name,
        usage=Verbatim(exporter.usage()),
        totals=[
            ("clips", len(clips)),
            *([("clips without sound, which are not here", num_silent)] if num_silent else []),
            ("frames per clip", chosen.settings.frames),
            ("frames", sum(clip.num_frames for clip in clips)),
        ],
        labels=sorted(chosen.numbers.items(), key=lambda item: item[1]),
        folds=[
            (fold, *(len(exporter.held(chosen.of_split(fold, split))) for split in FOLD_PARTS)) for fold in chosen.folds
        ],
        num_without_face=len(chosen.without_face),
        origin=origin,
        is_withdrawn=not dataset_sha256,
        terms=Verbatim(terms(dataset)),
    )


def _metadata(exporter: ExportFormat, dataset: Mapping[str, Any]) -> dict[str, Any]:
    """Return the front matter; for formats that `datasets` loads, with a configuration per fold."""
    metadata: dict[str, Any] = {**licence(dataset), "pretty_name": title(dataset)}
    if exporter.name in _BUILDERS and (files := exporter.data_files()):
        metadata["configs"] = [
            {
                "config_name": f"fold-{fold}",
                "data_files": [{"split": split, "path": paths} for split, paths in splits.items() if paths],
            }
            for fold, splits in files.items()
        ]
    return metadata
