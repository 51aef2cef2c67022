"""Videos and metadata.csv per split, which the builder `videofolder` of Hugging Face's `datasets` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dfer_data.exchange.base import FOLD_PARTS, ExportFormat, Piece, csv_of
from dfer_data.exchange.clip_video import clip_video, estimated_bytes
from dfer_data.exchange.selection import ExportClip


class VideoFolder(ExportFormat):
    """train/ and test/ of one fold, or fold-K/train/ and fold-K/test/ of several.

    `datasets` drops file_name and reads a column of ids such as 00001 as numbers, so the name of the file is repeated.

    A video is written once; its names in further folds are hard links where the disk has them, else copies.
    """

    name = "videofolder"

    def pieces(self) -> Iterator[Piece]:
        """Yield a video per clip, with its names in all folds."""
        for clip in self.selection.clips:
            first, *others = self._names(clip)
            yield Piece((clip,), (first,), links=tuple((first, other) for other in others))

    def files(self, piece: Piece) -> Iterator[tuple[str, bytes]]:
        """Yield the video."""
        clip = piece.clips[0]
        yield piece.names[0], clip_video(self.source.pictures(clip), fps=self.source.rate(clip))

    def num_bytes(self, piece: Piece) -> int:
        """Return about the size of the video."""
        return estimated_bytes(super().num_bytes(piece))

    def tables(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield metadata.csv of each split of each fold."""
        for fold in self.selection.folds:
            for split in FOLD_PARTS:
                clips = list(self.selection.of_split(fold, split))
                rows = [(_file_name(clip), clip.label, clip.number, _file_name(clip)) for clip in clips]
                if rows:
                    header = ("file_name", "label", "label_number", "clip_file")
                    yield f"{self._folder(fold)}{split}/metadata.csv", csv_of([header, *rows])

    def path_of(self, clip: ExportClip) -> str:
        """Return the video in the first fold."""
        return self._names(clip)[0]

    def usage(self) -> str:
        """Return the call that loads the export."""
        folder = f"THIS_FOLDER/{self._folder(self.selection.folds[0])}".rstrip("/")
        return (
            f'```python\nfrom datasets import load_dataset\ndata = load_dataset("videofolder", data_dir="{folder}")'
            "\n```\n\nIt needs the packages `datasets`, and `torchcodec` to decode videos. Rows have `video`, `label` "
            "(the name), `label_number` and `clip_file`, the end of "
            "`path` in clips.csv; an id such as 00001 would be read as a number. The frames of the videos "
            "are within 40 dB of the stored pictures."
        )

    def data_files(self) -> dict[str, dict[str, list[str]]]:
        """Return the folders of each split; none for a split without clips."""
        return {
            fold: {
                split: [f"{self._folder(fold)}{split}/**"] if any(self.selection.of_split(fold, split)) else []
                for split in FOLD_PARTS
            }
            for fold in self.selection.folds
        }

    def _folder(self, fold: str) -> str:
        return f"fold-{fold}/" if len(self.selection.folds) > 1 else ""

    def _names(self, clip: ExportClip) -> list[str]:
        return [f"{self._folder(fold)}{split}/{_file_name(clip)}" for fold, split in clip.splits.items()]


def _file_name(clip: ExportClip) -> str:
    return f"{clip.stem}.mp4"
