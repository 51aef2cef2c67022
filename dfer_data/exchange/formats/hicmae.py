"""Lists of `video_dir audio.wav label`, folders of frames and sound files, for HiCMAE and AVF-MAE++."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dfer_data.exchange.base import FrameFolders, Piece, frame_folder, frame_names, lines_of
from dfer_data.exchange.formats.videomae import LISTS, list_name
from dfer_data.exchange.formats.wav import has_sound, sound_path, wav_bytes, wav_size
from dfer_data.exchange.selection import ExportClip


class HicMaeLists(FrameFolders):
    """As `videomae`, with the sound of each clip; clips without sound are in no list, as in HiCMAE's own."""

    name = "hicmae"
    has_path_lists = True
    needs_sound = True

    def pieces(self) -> Iterator[Piece]:
        """Yield the frames and the sound of each clip that has sound."""
        for clip in self.selection.clips:
            if has_sound(clip):
                names = frame_names(frame_folder(clip), clip.num_frames)
                yield Piece((clip,), (*names, sound_path(clip)))

    def files(self, piece: Piece) -> Iterator[tuple[str, bytes]]:
        """Yield the stored JPEG of each frame, and the sound."""
        clip = piece.clips[0]
        yield from zip(piece.names[:-1], self.source.jpegs(clip), strict=True)
        yield piece.names[-1], wav_bytes(self.source.sound(clip))

    def num_bytes(self, piece: Piece) -> int:
        """Return the size of frames and sound."""
        return super().num_bytes(piece) + wav_size(self.source.num_samples(piece.clips[0]))

    def tables(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield split0K/train.csv, val.csv and test.csv."""
        yield self.classes()
        for fold in self.selection.folds:
            for file, split in LISTS.items():
                name = list_name(fold, file)
                rows = (
                    (self.in_list(self.path_of(clip), name), self.in_list(sound_path(clip), name), clip.number)
                    for clip in self.selection.of_split(fold, split)
                    if has_sound(clip)
                )
                yield name, lines_of(rows)

    def path_of(self, clip: ExportClip) -> str:
        """Return the folder of the frames; empty for a clip without sound."""
        return super().path_of(clip) if has_sound(clip) else ""

    def usage(self) -> str:
        """Return which options of the training code name the lists."""
        folder = list_name(self.selection.folds[0], "").rstrip("/")
        return (
            f"`--data_path THIS_FOLDER/{folder}`. Each line is `video_dir audio.wav label`; the sound is 16 kHz mono, "
            "16 bit. val.csv is the test list, because the training code asks for one: choose no epoch by it."
        )
