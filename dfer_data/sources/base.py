"""Types that an adapter returns: the videos of a dataset with their label names and official folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from dfer_data.errors import UsageError

Split = Literal["train", "test"]
Layout = Literal["videos", "frames"]
OFFICIAL = "official"


@dataclass(frozen=True)
class SourceVideo:
    """One video file, or one folder of frames, of a dataset."""

    clip_id: str
    """Permanent id: DFEW's five digits, or the path below the source folder."""
    path: str
    """POSIX path below the source folder; empty when the file is missing."""
    num_bytes: int
    """Size of the file, or of all frame files together."""
    label: str | None
    """Class name; None if the dataset gives none."""
    group: str | None = None
    """Person, film or other unit that a split keeps together; None if unknown."""
    votes: tuple[int, ...] | None = None
    """Number of annotators who chose each class, in the order of `class_names`; None if the dataset has no votes."""
    subjects: tuple[tuple[str, int], ...] | None = None
    """Pairs of clip id and the track number that a person chose for it; None if no one chose."""


@dataclass(frozen=True)
class SourceListing:
    """Everything `prepare` needs to know about a dataset before it opens a video."""

    dataset: str
    """Name of the adapter."""
    layout: Layout
    """`videos`: files to decode; `frames`: folders of face crops that the dataset ships."""
    class_names: tuple[str, ...]
    """Label names in the dataset's own order."""
    videos: tuple[SourceVideo, ...]
    """Sorted by clip id, missing ones included."""
    folds: Mapping[str, Mapping[str, Split]]
    """Fold name -> clip id -> split; empty for data without official folds."""
    synthetic: Mapping[str, Any] | None = None
    """Contents of the tree's SYNTHETIC.json; None for real data."""
    notes: tuple[str, ...] = field(default=())
    """Facts that a user should know, one line each."""
    fold_rule: str = OFFICIAL
    """Short text on who made the folds; `official`: the dataset's owners."""

    @property
    def missing(self) -> tuple[SourceVideo, ...]:
        """Videos that the annotation names but the folder lacks."""
        return tuple(video for video in self.videos if not video.path)


class Source(Protocol):
    """Lists a dataset; raises AnnotationError with all faults at once, UsageError if the dataset is missing."""

    def __call__(self, root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
        """List the dataset below `root` in a layout; `crops` limits the listing to folders of crops with this name."""
        ...


def source_file(root: Path, relative: str) -> Path:
    """Return the path below `root` of a video that a file names; UsageError if a link or `..` leads out of `root`."""
    if faults := outsiders(root, [relative]):
        raise UsageError(faults[0])
    return root / relative


def outsiders(root: Path, paths: Iterable[str]) -> list[str]:
    """Return a fault for each path that a link or `..` leads out of `root`, to data that the user did not choose."""
    resolved_root = root.resolve()
    return [
        f"{path}: a link or `..` leads out of the source folder; copy the file there, or give a folder that holds all"
        for path in paths
        if not (root / path).resolve().is_relative_to(resolved_root)
    ]
