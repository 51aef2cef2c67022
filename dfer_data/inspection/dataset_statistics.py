"""Statistics of a prepared dataset: measures of clips and classes of folds, as tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfer_data.inspection.audio_levels import audio_sections
from dfer_data.inspection.id_order import neighbours_section
from dfer_data.inspection.reliability import reliability_sections
from dfer_data.render.figure import new_figure, png_of
from dfer_data.render.tables import Section
from dfer_data.storage.files import write_atomically
from dfer_data.wording import by_number

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from dfer_data.loading.prepared import PreparedDataset

_QUANTILES: Mapping[str, float] = {"least": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "most": 1.0}
_BINS = 30
NO_LABEL = "no label"
"""Column for clips without a label, next to the classes."""
_MOST_BARS = 26


def statistics_sections(dataset: PreparedDataset) -> list[Section]:
    """Return the tables: measures, classes in folds, neighbouring ids, sound, reliability by class, failures by code.

    Raises CorruptShardError for a damaged shard.
    """
    return [
        measures_section(dataset.clips),
        balance_section(dataset),
        neighbours_section(dataset),
        *audio_sections(dataset),
        *reliability_sections(dataset),
    ]


def measures_of(clips: pd.DataFrame) -> dict[str, pd.Series[float]]:
    """Return measure -> values by clip id, for all clips that did not fail; measures without values are left out."""
    usable = clips[clips["status"] != "failed"].set_index("clip_id")
    share = 100 * usable["num_interpolated"] / usable["num_frames"].clip(lower=1)
    measures = {
        "frames": usable["num_frames"],
        "seconds": usable["duration_seconds"].where(usable["duration_seconds"] > 0),
        "source frames per second": usable["fps"].where(usable["fps"] > 0),
        "source width px": usable["width_px"],
        "source height px": usable["height_px"],
        "mean score": usable["mean_score"],
        "hit rate %": 100 * usable["detection_rate"],
        "interpolated %": share.where(usable["detection_rate"].notna()),
        "tracks": usable["num_tracks"].where(usable["detection_rate"].notna()),
        "ambiguity": usable["ambiguity"].where(usable["detection_rate"].notna()),
    }
    known_values = {name: values.dropna().astype(float) for name, values in measures.items()}
    return {name: values for name, values in known_values.items() if len(values)}


def measures_section(clips: pd.DataFrame) -> Section:
    """Return the quantiles of every measure and the clips with the least and the most."""
    cells = []
    for name, values in measures_of(clips).items():
        numbers = [f"{np.quantile(values, share):.4g}" for share in _QUANTILES.values()]
        cells.append((name, str(len(values)), *numbers, str(values.idxmin()), str(values.idxmax())))
    header = ("measure", "clips", *_QUANTILES, "clip with the least", "clip with the most")
    notes = ("failed clips are left out; interpolated: share of a clip's frames that fill gaps",)
    return Section("measures of clips", header, tuple(cells), notes)


def balance_of(dataset: PreparedDataset) -> dict[str, dict[str, int]]:
    """Return `all` and `fold N train|test` -> class -> number of clips, failed ones included; `no label` if needed."""
    names = dataset.class_names
    clip_labels = [label if label in names else NO_LABEL for label in dataset.clips["label"].fillna(NO_LABEL)]
    labels = dict(zip(dataset.clips["clip_id"], clip_labels, strict=True))
    columns = (*names, NO_LABEL) if NO_LABEL in clip_labels else names
    ids_by_part = {"all": list(labels)}
    for fold in sorted(dataset.document["counts"]["folds"], key=by_number):
        splits = dataset.fold(fold)
        for split in ("train", "test"):
            ids_by_part[f"fold {fold} {split}"] = [clip_id for clip_id, name in splits.items() if name == split]
    return {
        part: {name: sum(labels[clip_id] == name for clip_id in clip_ids) for name in columns}
        for part, clip_ids in ids_by_part.items()
    }


def balance_section(dataset: PreparedDataset) -> Section:
    """Return the number of clips of each class in every part of every fold."""
    cells, balance = [], balance_of(dataset)
    for part, counts in balance.items():
        class_sizes = [number for name, number in counts.items() if name != NO_LABEL]
        most, least = max(class_sizes, default=0), min(class_sizes, default=0)
        ratio = f"{most / least:.1f}" if least else "-"
        cells.append((part, str(sum(counts.values())), *map(str, counts.values()), ratio))
    header = ("part", "clips", *balance["all"], "largest / smallest")
    return Section("classes in folds", header, tuple(cells), ("failed clips are included",))


def draw_statistics(dataset: PreparedDataset, path: Path, *, title: str) -> None:
    """Draw frames per clip, scores, interpolated shares and the classes of all parts as one PNG.

    Raises UsageError without matplotlib.
    """
    measures, balance = measures_of(dataset.clips), balance_of(dataset)
    balance = dict(list(balance.items())[:_MOST_BARS])
    figure = new_figure(11, 4.6 + 0.22 * len(balance), layout="constrained")
    figure.suptitle(title.replace("$", r"\$"), fontsize=11)
    subfigures: Any = figure.subfigures(2, 1, height_ratios=[3, 1.6 + 0.22 * len(balance)])
    top, bottom = subfigures
    panels: Sequence[Any] = top.subplots(1, 3)
    for panel, name in zip(panels, ("frames", "mean score", "interpolated %"), strict=True):
        _draw_histogram(panel, name, measures.get(name))
    _draw_balance(bottom.subplots(1, 1), balance)
    write_atomically(path, png_of(figure, dpi=110))


def _draw_histogram(panel: Axes, name: str, values: pd.Series[float] | None) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_title({"frames": "frames per clip", "mean score": "mean detector score"}.get(name, name), fontsize=9)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
    if values is None:
        panel.text(0.5, 0.5, "nothing was detected", ha="center", va="center", transform=panel.transAxes, fontsize=9)
        panel.set(xticks=[], yticks=[])
        return
    low, high = float(values.min()), float(values.max())
    if name == "frames":
        low, high = low - 0.5, high + 0.5
    elif name == "mean score" and 0 <= low <= high <= 1:
        low, high = min(0.7, low), 1.0
    elif name == "interpolated %":
        low, high = 0.0, max(10.0, high)
    panel.hist(
        values, bins=min(_BINS, round(high - low)) if name == "frames" else _BINS, range=(low, high), color="#0072b2"
    )
    panel.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
    median = float(values.median())
    panel.axvline(median, color="#d55e00", linewidth=1.2)
    side, shift = ("left", 3) if median < (low + high) / 2 else ("right", -3)
    panel.annotate(
        f"median {median:.3g}",
        (median, 1),
        xycoords=("data", "axes fraction"),
        xytext=(shift, -9),
        textcoords="offset points",
        ha=side,
        fontsize=8,
        color="#d55e00",
    )
    panel.set_ylabel("clips", fontsize=8)


def _draw_balance(panel: Axes, balance: Mapping[str, Mapping[str, int]]) -> None:
    """Draw one bar per part, divided into the shares of its classes, with counts where they fit."""
    parts, class_names = list(balance), list(balance["all"])
    left = np.zeros(len(parts))
    totals = np.array([max(1, sum(counts.values())) for counts in balance.values()])
    for number, name in enumerate(class_names):
        counts = np.array([balance[part][name] for part in parts])
        bars = panel.barh(parts, 100 * counts / totals, left=left, label=name, color=f"C{number % 10}", height=0.82)
        bar_labels = [str(count) if share >= 0.03 else "" for count, share in zip(counts, counts / totals, strict=True)]
        panel.bar_label(bars, labels=bar_labels, label_type="center", fontsize=7, color="white")
        left += 100 * counts / totals
    panel.set_title("classes of each part in per cent, with number of clips", fontsize=9, pad=22)
    panel.invert_yaxis()
    panel.set_xlim(0, 100)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(
        ncols=min(9, len(class_names)), fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False
    )
