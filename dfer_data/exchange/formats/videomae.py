"""Lists of `path label` and folders of frames or videos, for VideoMAE, MAE-DFER and SVFAP."""

from __future__ import annotations

from collections.abc import Iterator

from dfer_data.exchange.base import PathLists, Piece
from dfer_data.exchange.clip_video import clip_video, estimated_bytes
from dfer_data.exchange.selection import ExportClip

_LISTS = {"train.csv": "train", "val.csv": "test", "test.csv": "test"}
"""List -> split. The training code opens val.csv too; MAE-DFER's own is the test list, as is this one."""


class VideoMaeLists(PathLists):
    """A folder of lists per fold, without a header, separated by a space."""

    name = "videomae"

    def pieces(self) -> Iterator[Piece]:
        """Yield a folder or a video per clip."""
        if not self._as_videos:
            yield from super().pieces()
            return
        for clip in self.selection.clips:
            yield Piece((clip,), (self.path_of(clip),))

    def files(self, piece: Piece) -> Iterator[tuple[str, bytes]]:
        """Yield the stored JPEG of each frame, or a video."""
        if not self._as_videos:
            yield from super().files(piece)
            return
        clip = piece.clips[0]
        yield piece.names[0], clip_video(self.source.pictures(clip), fps=self.source.rate(clip))

    def num_bytes(self, piece: Piece) -> int:
        """Return the size of the frames; estimated for videos."""
        return super().num_bytes(piece) if not self._as_videos else estimated_bytes(super().num_bytes(piece))

    def lists(self, fold: str) -> dict[str, str]:
        """Return split0K/train.csv, val.csv and test.csv."""
        return lists_of_fold(fold)

    def cells(self, clip: ExportClip, list_name: str) -> tuple[object, ...]:
        """Return path and label."""
        return self.in_list(self.path_of(clip), list_name), clip.number

    def path_of(self, clip: ExportClip) -> str:
        """Return the folder of the frames, or the video."""
        return f"videos/{clip.stem}.mp4" if self._as_videos else super().path_of(clip)

    def usage(self) -> str:
        """Return which options of the training code name the lists."""
        folder = folder_of_lists(self.selection.folds[0])
        return (
            f"`--data_path THIS_FOLDER/{folder} --nb_classes {len(self.selection.numbers)}`. Each line is "
            "`path label`. Paths are relative to the folder of the list: start the training code there, or export with "
            "`--paths absolute`. val.csv is the test list, because the training code asks for one: choose no epoch by "
            "it. `dfer prepare lists --source THIS_FOLDER --detector none` reads lists of frame folders back."
        )

    @property
    def _as_videos(self) -> bool:
        return self.selection.settings.media == "mp4"


def lists_of_fold(fold: str) -> dict[str, str]:
    """Return path of each list of a fold -> split."""
    return {f"{folder_of_lists(fold)}/{file}": split for file, split in _LISTS.items()}


def folder_of_lists(fold: str) -> str:
    """Return the folder of the lists of a fold."""
    return f"split{fold.zfill(2)}"
