"""The interface of export formats: pieces that are written one by one, and tables of all clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from dfer_data.exchange.clip_source import ClipSource
from dfer_data.exchange.selection import ExportClip, Selection
from dfer_data.sources.class_names import CLASSES_NAME
from dfer_data.storage.csv_text import csv_text

FOLD_PARTS = ("train", "test")


@dataclass(frozen=True)
class Piece:
    """Files that are written together, or not at all."""

    clips: tuple[ExportClip, ...]
    names: tuple[str, ...]
    """Paths of the files below the export."""
    folder: str = ""
    """Folder that holds all files of the piece and nothing else; empty if there is none."""
    links: tuple[tuple[str, str], ...] = ()
    """Further names of files of the piece: (name, new name)."""


class ExportFormat(ABC):
    """Base class of the formats; each says which pieces and tables an export has."""

    name: ClassVar[str]
    needs_lists: ClassVar[bool] = True
    """Whether every clip needs a label and a fold."""
    needs_sound: ClassVar[bool] = False
    has_path_lists: ClassVar[bool] = False
    """Whether lists name files by their paths, between spaces."""

    def __init__(self, selection: Selection, source: ClipSource, *, dataset: str, root: str) -> None:
        """`dataset`: name of the dataset. `root`: absolute path of the export, for `--paths absolute`."""
        self.selection = selection
        self.source = source
        self.dataset = dataset
        self.root = root

    def pieces(self) -> Iterator[Piece]:
        """Yield the pieces in a fixed order; none where the tables are all that is exported."""
        yield from ()

    def files(self, piece: Piece) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of each file of a piece, in the order of its names. Raises CorruptDataError."""
        yield from ()

    def tables(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield path and content of the lists and tables about all clips."""
        yield from ()

    def num_bytes(self, piece: Piece) -> int:
        """Return the size of the files of a piece, without writing them; encoded formats estimate it."""
        return sum(sum(self.source.num_bytes(clip)) for clip in piece.clips)

    def num_table_bytes(self) -> int:
        """Return about the size of the tables, where they are what is exported."""
        return 0

    @abstractmethod
    def path_of(self, clip: ExportClip) -> str:
        """Return the file or folder of a clip, which `clips.csv` names; empty for a clip that the export lacks."""

    def held(self, clips: Iterable[ExportClip]) -> list[ExportClip]:
        """Return those of some clips that the export has; a format of sound lacks the silent ones."""
        return [clip for clip in clips if self.path_of(clip)]

    @abstractmethod
    def usage(self) -> str:
        """Return how the export is read, as Markdown."""

    def data_files(self) -> dict[str, dict[str, list[str]]]:
        """Return fold -> split -> patterns of the files, where Hugging Face's `datasets` reads the export."""
        return {}

    def in_list(self, path: str, list_name: str) -> str:
        """Return a path of the export as a list names it."""
        if self.selection.settings.paths == "absolute":
            return f"{self.root}/{path}"
        return "../" * list_name.count("/") + path

    def classes(self) -> tuple[str, Iterable[bytes]]:
        """Return classes.txt: the names in the order of their numbers."""
        return CLASSES_NAME, [f"{name}\n".encode() for name in self.selection.class_names]


def frame_names(folder: str, num_frames: int) -> list[str]:
    """Return the paths of a clip's frames, in the order of time and of the alphabet."""
    return [f"{folder}/{number:05d}.jpg" for number in range(1, num_frames + 1)]


def frame_piece(clip: ExportClip) -> Piece:
    """Return the piece of a clip as a folder of JPEG frames."""
    folder = frame_folder(clip)
    return Piece((clip,), tuple(frame_names(folder, clip.num_frames)), folder=folder)


def frame_folder(clip: ExportClip) -> str:
    """Return the folder of a clip's frames."""
    return f"clips/{clip.stem}"


def csv_of(rows: Iterable[Sequence[object]]) -> list[bytes]:
    """Return the lines of a CSV."""
    return [csv_text([row]).encode() for row in rows]


class FrameFolders(ExportFormat):
    """Base class of formats that hold a folder of JPEG frames per clip."""

    def pieces(self) -> Iterator[Piece]:
        """Yield a folder per clip."""
        yield from map(frame_piece, self.selection.clips)

    def files(self, piece: Piece) -> Iterator[tuple[str, bytes]]:
        """Yield the stored JPEG of each frame."""
        yield from zip(piece.names, self.source.jpegs(piece.clips[0]), strict=True)

    def path_of(self, clip: ExportClip) -> str:
        """Return the folder of the frames."""
        return frame_folder(clip)


class PathLists(FrameFolders):
    """Base class of formats whose lists have a line per clip, without a header: its path and what else readers need."""

    has_path_lists = True

    @abstractmethod
    def lists(self, fold: str) -> Mapping[str, str]:
        """Return path of each list of a fold -> split."""

    @abstractmethod
    def cells(self, clip: ExportClip, list_name: str) -> Sequence[object]:
        """Return the cells of a clip's line; none of them holds a space."""

    def tables(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield classes.txt and the lists of each fold."""
        yield self.classes()
        for fold in self.selection.folds:
            for name, split in self.lists(fold).items():
                rows = (self.cells(clip, name) for clip in self.held(self.selection.of_split(fold, split)))
                yield name, [f"{' '.join(map(str, row))}\n".encode() for row in rows]
