"""Lists of `video_dir audio.wav label`, folders of frames and sound files, for HiCMAE and AVF-MAE++."""

from __future__ import annotations

from collections.abc import Iterator

from dfer_data.exchange.base import PathLists, Piece, frame_folder, frame_names
from dfer_data.exchange.formats.videomae import folder_of_lists, lists_of_fold
from dfer_data.exchange.formats.wav import has_sound, sound_path, wav_bytes, wav_size
from dfer_data.exchange.selection import ExportClip


class HicMaeLists(PathLists):
    """As `videomae`, with the sound of each clip; clips without sound are in no list, as in HiCMAE's own."""

    name = "hicmae"
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

    def lists(self, fold: str) -> dict[str, str]:
        """Return split0K/train.csv, val.csv and test.csv."""
        return lists_of_fold(fold)

    def cells(self, clip: ExportClip, list_name: str) -> tuple[object, ...]:
        """Return path, sound and label."""
        return self.in_list(self.path_of(clip), list_name), self.in_list(sound_path(clip), list_name), clip.number

    def path_of(self, clip: ExportClip) -> str:
        """Return the folder of the frames; empty for a clip without sound."""
        return super().path_of(clip) if has_sound(clip) else ""

    def usage(self) -> str:
        """Return which options of the training code name the lists."""
        folder = folder_of_lists(self.selection.folds[0])
        return (
            f"`--data_path THIS_FOLDER/{folder}`. Each line is `video_dir audio.wav label`; the sound is 16 kHz mono, "
            "16 bit. val.csv is the test list, because the training code asks for one: choose no epoch by it."
        )
