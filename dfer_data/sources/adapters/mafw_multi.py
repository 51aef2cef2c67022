"""MAFW by several emotions per clip: the parts of its compound emotions, and the single emotion as the label.

Clips and folds are those of the compound lists; the single lists give one of the parts as the label.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dfer_data.errors import AnnotationError
from dfer_data.sources.adapters.mafw import list_subset
from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.class_labels import MAFW_COMPOUND_NAMES, MAFW_NAMES


def list_mafw_multi(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List MAFW's clips of single and compound emotions with all parts of each. See Source."""
    both = list_subset(root, "mafw-multi", "compound", MAFW_COMPOUND_NAMES, layout=layout, crops=crops)
    single = list_subset(root, "mafw-multi", "single", MAFW_NAMES, layout=layout, crops=crops)
    single_labels = {video.clip_id: video.label for video in single.videos}
    videos, faults = [], []
    for video in both.videos:
        parts, label = tuple(str(video.label).split("_")), single_labels.get(video.clip_id)
        videos.append(replace(video, label=label, labels=parts))
        if label not in parts:
            word = label or "in none of the lists"
            faults.append(
                f"clip {video.clip_id} is {word} of single emotions, but {video.label} in those of compound ones"
            )
    if faults:
        raise AnnotationError(faults)
    return replace(both, class_names=MAFW_NAMES, videos=tuple(videos))
