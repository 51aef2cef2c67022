"""Stage finished videos on disk until their shard is written: faces, measurements and facts.

A shard is made of many videos. Each video is stored in separate files as soon as it is done, so a worker that dies
loses only its current video, and memory use does not depend on the length of a video.

    .work/00003/0017.json        marks the video as done: its clips, or why there are none
    .work/00003/0017.frames      encoded faces, concatenated
    .work/00003/0017.records     one RECORD per face
    .work/00003/0017.thumbnails  (K, 96, 96, 3) uint8 RGB for the contact sheet
    .work/00003/0017.samples     with sound only: int16 samples of each clip
"""

from __future__ import annotations

import contextlib
import json
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from dfer_data.draw.contact_sheet import THUMBNAIL_PX
from dfer_data.storage.files import canonical_json
from dfer_data.types import FrameRecord, Image

RECORD = np.dtype(
    [
        ("num_bytes", "<i8"),
        ("pts_seconds", "<f8"),
        ("box", "<f4", (4,)),
        ("landmarks", "<f4", (5, 2)),
        ("score", "<f4"),
        ("crc32", "<u4"),
        ("frame_index", "<i4"),
        ("flags", "|u1"),
    ]
)
"""One stored face: length and CRC-32 of its bytes in `.frames`, and the fields of FrameRecord."""
STAGED_SUFFIXES = (".frames", ".records", ".thumbnails", ".samples", ".json")
"""Suffixes of the files of a finished video, `.samples` only with sound; the last one marks it as done."""
Records = npt.NDArray[np.void]
"""(F,) of dtype RECORD."""


@dataclass(frozen=True)
class StagedVideo:
    """A finished video on disk."""

    stem: Path
    """Path of its files without the suffix."""
    clips: tuple[dict[str, Any], ...]
    """Facts of each clip, in the order of its faces."""
    failures: tuple[dict[str, Any], ...]
    """Ledger rows of the failed clips."""
    frames_per_clip: tuple[int, ...]
    """Number of stored faces of each clip."""
    thumbnails_per_clip: tuple[int, ...]
    """Number of thumbnails of each clip."""
    left_out: tuple[dict[str, Any], ...] = ()
    """Facts of the tracks that make no clip."""
    audio: tuple[dict[str, Any], ...] = ()
    """With sound: what the file of sound holds of each clip."""

    def records(self) -> Records:
        """Return the measurements of all faces, (F,) of dtype RECORD."""
        return np.fromfile(self.stem.with_suffix(".records"), RECORD)

    def thumbnails(self) -> Iterator[list[Image]]:
        """Yield a list of thumbnails per clip, each (96, 96, 3) uint8 RGB."""
        shape = (THUMBNAIL_PX, THUMBNAIL_PX, 3)
        with self.stem.with_suffix(".thumbnails").open("rb") as file:
            for number in self.thumbnails_per_clip:
                yield list(np.fromfile(file, np.uint8, number * math.prod(shape)).reshape(number, *shape))


class StagingWriter:
    """Collects the clips of one video; use as a context manager. The video counts as done only after `finish`."""

    def __init__(self, stem: Path, *, has_audio: bool = False) -> None:
        """Open the files `stem`.* and overwrite those of an earlier attempt; `has_audio`: clips have sound too."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        self._stem = stem
        names = ("frames", "records", "thumbnails", *(("samples",) if has_audio else ()))
        self._files: dict[str, IO[bytes]] = {name: stem.with_suffix(f".{name}").open("w+b") for name in names}
        self._audio: list[dict[str, Any]] = []
        self._frames_per_clip: list[int] = []
        self._thumbnails_per_clip: list[int] = []
        self._num_frames = self._num_thumbnails = 0

    def __enter__(self) -> StagingWriter:
        """Return itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the files, each also when another one cannot write its last bytes."""
        with contextlib.ExitStack() as stack:
            for file in self._files.values():
                stack.callback(file.close)

    @contextlib.contextmanager
    def clip(self) -> Iterator[None]:
        """Collect all faces added inside the context as one clip; remove them again on an exception.

        Raises ValueError for a clip without a face.
        """
        starts = {file: file.tell() for file in self._files.values()}
        self._num_frames = self._num_thumbnails = 0
        num_before = len(self._audio)
        try:
            yield
            if not self._num_frames:
                raise ValueError("a clip needs at least one frame")
        except BaseException:
            del self._audio[num_before:]
            for file, start in starts.items():
                file.seek(start)
                file.truncate()
            raise
        self._frames_per_clip.append(self._num_frames)
        self._thumbnails_per_clip.append(self._num_thumbnails)

    def discard(self) -> None:
        """Remove all clips added so far."""
        for file in self._files.values():
            file.seek(0)
            file.truncate()
        self._audio, self._frames_per_clip, self._thumbnails_per_clip = [], [], []

    def add(self, payload: bytes, record: FrameRecord) -> None:
        """Append one face: JPEG bytes, or raw (size, size, 3) RGB bytes with `--store clips16`."""
        row = np.zeros((), RECORD)
        row["num_bytes"], row["crc32"] = len(payload), zlib.crc32(payload)
        for name in ("pts_seconds", "box", "landmarks", "score", "frame_index", "flags"):
            row[name] = getattr(record, name)
        self._files["frames"].write(payload)
        self._files["records"].write(row.tobytes())
        self._num_frames += 1

    def add_thumbnail(self, picture: Image) -> None:
        """Append one cell of the contact sheet, (96, 96, 3) uint8 RGB."""
        self._files["thumbnails"].write(picture.tobytes())
        self._num_thumbnails += 1

    def add_audio(self, samples: npt.NDArray[np.int16], facts: dict[str, Any]) -> None:
        """Store the sound of the clip, once per clip of a video with sound."""
        self._files["samples"].write(samples.astype("<i2").tobytes())
        self._audio.append(facts)

    def finish(
        self,
        *,
        clips: Sequence[dict[str, Any]],
        failures: Sequence[dict[str, Any]],
        left_out: Sequence[dict[str, Any]] = (),
    ) -> None:
        """Mark the video as done.

        `clips` are the facts of added clips, `failures` the ledger rows of failed ones, `left_out` the facts of tracks
        that make no clip.
        """
        for file in self._files.values():
            file.flush()
        facts = {
            "clips": list(clips),
            "failures": list(failures),
            "left_out": list(left_out),
            "frames_per_clip": self._frames_per_clip,
            "thumbnails_per_clip": self._thumbnails_per_clip,
            "audio": self._audio,
        }
        temporary = self._stem.with_suffix(".part")
        temporary.write_bytes(canonical_json(facts))
        temporary.replace(self._stem.with_suffix(".json"))


def read_staged(stem: Path) -> StagedVideo:
    """Open a finished video from its staged files."""
    facts = json.loads(stem.with_suffix(".json").read_bytes())
    return StagedVideo(stem, **{name: tuple(values) for name, values in facts.items()})


def move_staged(stem: Path, target: Path) -> None:
    """Move the files of a finished video to another stem on the same disk; the `.json`, which marks it done, goes last.

    Raises FileNotFoundError when the folder above the target's is gone: the run that requested the video has ended.
    """
    target.parent.mkdir(exist_ok=True)
    for suffix in STAGED_SUFFIXES:
        if suffix != ".samples" or stem.with_suffix(suffix).exists():
            stem.with_suffix(suffix).replace(target.with_suffix(suffix))
