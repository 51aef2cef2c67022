"""Types that an adapter returns: the videos of a dataset with their label names and official folds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

from dfer_data.errors import UsageError

Split = Literal["train", "test"]
Layout = Literal["videos", "frames"]
OFFICIAL = "official"
OWNERS_FOLDERS = frozenset(
    (
        *("clip", "original", "clip_224x224", "clip_224x224_16f", "clip_224x16f", "emolabel_datasplit", "annotation"),
        *("2_clipsforfacecrop", "4_setups", "train_afew", "val_afew", "clips", "frames", "train & test set"),
        *("videoflash", "audiowav"),
    )
)
"""Lower-case names of folders in the trees of datasets; they are large, so users link them from another disk."""


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
    labels: tuple[str, ...] | None = None
    """All class names that hold, `label` among them; None if the dataset has one label per clip."""
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
    """Return a fault for each path that a link or `..` leads out of `root`, to data that the user did not choose.

    A link to one of the OWNERS_FOLDERS is chosen: a path below it must stay in the folder to which it leads.
    """
    resolved_root = root.resolve()
    is_chosen: dict[PurePosixPath, bool] = {}

    def is_outside(path: PurePosixPath) -> bool:
        if ".." in path.parts or path.is_absolute() or (root / path).is_symlink():
            return not _is_chosen(root, resolved_root, path)
        folder = path.parent
        if folder not in is_chosen:  # the files of one folder are checked together: a dataset has thousands
            is_chosen[folder] = _is_chosen(root, resolved_root, folder)
        return not is_chosen[folder]

    return [
        f"{path}: a link or `..` leads out of the source folder; copy the file there, or give a folder that holds all"
        for path in paths
        if is_outside(PurePosixPath(path))
    ]


def _is_chosen(root: Path, resolved_root: Path, path: PurePosixPath) -> bool:
    """Whether a path stays in the root, or in the folder to which a link to one of the OWNERS_FOLDERS leads."""
    resolved = (root / path).resolve()
    if resolved.is_relative_to(resolved_root):
        return True
    return ".." not in path.parts and any(
        resolved.is_relative_to((root / folder).resolve())
        for folder in (path, *path.parents)
        if folder.name.lower() in OWNERS_FOLDERS and (root / folder).is_symlink() and (root / folder).is_dir()
    )
