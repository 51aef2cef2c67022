"""What an adapter delivers: the videos of a dataset with their label names and official folds."""

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
    """Its name for ever: DFEW's five digits, or the path below the source folder."""
    path: str
    """POSIX path below the source folder; empty when the file is missing."""
    num_bytes: int
    """Of the file, or of all frame files."""
    label: str | None
    """Class name; None where the dataset gives none."""
    group: str | None = None
    """Who or what it belongs with (a person, a film), so that a split can keep it together; None where not known."""
    votes: tuple[int, ...] | None = None
    """How many annotators chose each class, in the listing's order of classes; None where the dataset does not say."""
    subjects: tuple[tuple[str, int], ...] | None = None
    """Clip id, and number of the track that a person chose for it; None where nobody did."""


@dataclass(frozen=True)
class SourceListing:
    """Everything `prepare` needs to know about a dataset before it opens a video."""

    dataset: str
    """Adapter's name."""
    layout: Layout
    """`videos`: files to decode; `frames`: folders of face crops that the dataset ships."""
    class_names: tuple[str, ...]
    """Label names in the dataset's own order."""
    videos: tuple[SourceVideo, ...]
    """Sorted by clip id, missing ones included."""
    folds: Mapping[str, Mapping[str, Split]]
    """Fold name -> clip id -> split; empty for data without official folds."""
    synthetic: Mapping[str, Any] | None = None
    """Contents of the tree's own SYNTHETIC.json; None for real data."""
    notes: tuple[str, ...] = field(default=())
    """Things a user should know, one line each."""
    fold_rule: str = OFFICIAL
    """Who cut the folds, in a few words; `official`: the dataset's owners."""

    @property
    def missing(self) -> tuple[SourceVideo, ...]:
        """Videos that the annotation names and the folder lacks."""
        return tuple(video for video in self.videos if not video.path)


class Source(Protocol):
    """Lists a dataset; raises AnnotationError with every fault at once, UsageError when it is not there."""

    def __call__(self, root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
        """List the dataset below `root` in the wanted layout; `crops`: of the folders of this name alone."""
        ...


def source_file(root: Path, relative: str) -> Path:
    """Return the path below `root` of a video that a file names. UsageError if a link or `..` leads out of it."""
    if faults := outsiders(root, [relative]):
        raise UsageError(faults[0])
    return root / relative


def outsiders(root: Path, paths: Iterable[str]) -> list[str]:
    """Return a fault for each path below `root` that a link or `..` leads out of it: data that nobody chose to read."""
    inside = root.resolve()
    return [
        f"{path}: a link or `..` leads out of the source folder; copy it there, or give a folder that holds it all"
        for path in paths
        if not (root / path).resolve().is_relative_to(inside)
    ]
