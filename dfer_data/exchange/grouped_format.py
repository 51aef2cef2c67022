"""Base class of formats whose files hold many clips, each clip once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar

from dfer_data.exchange.base import ExportFormat, Piece
from dfer_data.exchange.fold_groups import files_of_folds, parts_of_groups
from dfer_data.exchange.selection import ExportClip

_FILE_BYTES = 128 << 20


class GroupedFiles(ExportFormat):
    """Files of at most 128 MiB; each holds clips that are in the same split of every fold."""

    needs_lists = False
    suffix: ClassVar[str]

    def clip_bytes(self, clip: ExportClip) -> int:
        """Return the bytes that a clip takes in its file."""
        return sum(self.source.num_bytes(clip))

    @cached_property
    def parts(self) -> list[tuple[str, list[ExportClip]]]:
        """Name and clips of each file."""
        numbers: Counter[str] = Counter()
        parts = []
        for group, clips in parts_of_groups(
            self.selection.clips, self.selection.folds, most_bytes=_FILE_BYTES, num_bytes=self.clip_bytes
        ):
            parts.append((f"{group}-{numbers[group]:05d}{self.suffix}", clips))
            numbers[group] += 1
        return parts

    @cached_property
    def file_of(self) -> dict[str, str]:
        """Clip id -> name of its file."""
        return {clip.clip_id: name for name, clips in self.parts for clip in clips}

    def pieces(self) -> Iterator[Piece]:
        """Yield a file after the other."""
        for name, clips in self.parts:
            yield Piece(tuple(clips), (name,))

    def path_of(self, clip: ExportClip) -> str:
        """Return the file of a clip."""
        return self.file_of[clip.clip_id]

    def data_files(self) -> dict[str, dict[str, list[str]]]:
        """Return the files of each split of each fold."""
        return files_of_folds(self.parts, self.selection.folds)
