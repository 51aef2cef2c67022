"""Sound files of the clips: 16 kHz, mono, 16 bit."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from dfer_data.exchange.base import ExportFormat, Piece
from dfer_data.exchange.selection import ExportClip
from dfer_data.types import AUDIO_RATE

_HEADER_BYTES = 44


class WavFiles(ExportFormat):
    """A WAV per clip that has sound."""

    name = "wav"
    needs_lists = False
    needs_sound = True

    def pieces(self) -> Iterator[Piece]:
        """Yield a file per clip that has sound."""
        for clip in filter(has_sound, self.selection.clips):
            yield Piece((clip,), (sound_path(clip),))

    def files(self, piece: Piece) -> Iterator[tuple[str, bytes]]:
        """Yield the file."""
        yield piece.names[0], wav_bytes(self.source.sound(piece.clips[0]))

    def num_bytes(self, piece: Piece) -> int:
        """Return the size of the file."""
        return wav_size(self.source.num_samples(piece.clips[0]))

    def path_of(self, clip: ExportClip) -> str:
        """Return the file; empty for a clip without sound."""
        return sound_path(clip) if has_sound(clip) else ""

    def usage(self) -> str:
        """Return what a file holds."""
        return (
            "Each file holds the sound of one clip from its first frame to the end of its last: sample i is i / 16000 "
            "seconds after the first frame. `clips.csv` names the file of each clip, and why a clip has none."
        )


def has_sound(clip: ExportClip) -> bool:
    """Return whether a clip has a sound file: its source has sound that can be decoded, silence included."""
    return clip.audio not in ("", "none")


def sound_path(clip: ExportClip) -> str:
    """Return the file of a clip's sound."""
    return f"audio/{clip.stem}.wav"


def wav_bytes(samples: npt.NDArray[np.int16]) -> bytes:
    """Return samples, (N,) int16, as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(AUDIO_RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return buffer.getvalue()


def wav_size(num_samples: int) -> int:
    """Return the size of a WAV file in bytes."""
    return _HEADER_BYTES + 2 * num_samples
