"""Tar shards for the library `webdataset`: the frames, label and facts of each clip under one key."""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Iterable, Iterator

from dfer_data.exchange.base import FOLD_PARTS, Piece
from dfer_data.exchange.grouped_format import GroupedFiles
from dfer_data.exchange.selection import ExportClip
from dfer_data.storage.files import canonical_json

_BLOCK = 512


class WebDatasetShards(GroupedFiles):
    """Shards of at most 128 MiB. The shards of a fold are listed in fold-K-train.txt and fold-K-test.txt."""

    name = "webdataset"
    suffix = ".tar"

    def files(self, piece: Piece) -> Iterator[tuple[str, bytes]]:
        """Yield the shard; the stored JPEG of each frame is a member."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for clip in piece.clips:
                for name, content in self._members(clip):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
        yield piece.names[0], buffer.getvalue()

    def tables(self) -> Iterator[tuple[str, Iterable[bytes]]]:
        """Yield sizes.json (shard -> number of clips) and the shards of each fold."""
        sizes = {name: len(clips) for name, clips in self.parts}
        yield "sizes.json", [json.dumps(sizes, indent=2, allow_nan=False).encode() + b"\n"]
        for fold, splits in self.data_files().items():
            for split in FOLD_PARTS:
                yield f"fold-{fold}-{split}.txt", [f"{name}\n".encode() for name in splits[split]]

    def num_bytes(self, piece: Piece) -> int:
        """Return the size of a shard."""
        total = sum(map(self.clip_bytes, piece.clips)) + 2 * _BLOCK
        return -(-total // tarfile.RECORDSIZE) * tarfile.RECORDSIZE

    def path_of(self, clip: ExportClip) -> str:
        """Return the shard and the key of a clip."""
        return f"{self.file_of[clip.clip_id]}#{_key(clip)}"

    def usage(self) -> str:
        """Return how to iterate over clips."""
        shards = (
            f'[f"THIS_FOLDER/{{name}}" for name in open("THIS_FOLDER/fold-{self.selection.folds[0]}-train.txt").read()'
            ".split()]"
            if self.selection.folds
            else f'"THIS_FOLDER/clips-{{00000..{len(self.parts) - 1:05d}}}.tar"'
        )
        return (
            f"```python\nimport webdataset as wds\nshards = {shards}\n"
            'data = wds.WebDataset(shards, shardshuffle=100).shuffle(500).decode("rgb8")\n```\n\nIt needs the '
            "packages `webdataset` and `pillow`. A sample has the frames `00001.jpg`, `00002.jpg`..., `cls` (the "
            "label's number) and `json` (clip_id, label, splits, rate, "
            "time and number in the source of each frame). A clip is in one shard; folds choose shards."
        )

    def _members(self, clip: ExportClip) -> Iterator[tuple[str, bytes]]:
        key = _key(clip)
        for number, jpeg in enumerate(self.source.jpegs(clip), start=1):
            yield f"{key}.{number:05d}.jpg", jpeg
        if clip.number is not None:
            yield f"{key}.cls", str(clip.number).encode()
        yield f"{key}.json", self._facts(clip)

    def _facts(self, clip: ExportClip) -> bytes:
        facts = {
            "clip_id": clip.clip_id,
            "label": clip.label,
            "splits": dict(clip.splits),
            "fps": _number(clip.fps),
            "pts_seconds": [_number(float(seconds)) for seconds in self.source.seconds(clip)],
            "frame_index": [int(number) for number in self.source.source_frames(clip)],
        }
        return canonical_json(facts)

    def clip_bytes(self, clip: ExportClip) -> int:
        """Return the bytes of a clip's members, with their headers."""
        lengths = [*self.source.num_bytes(clip), len(self._facts(clip))]
        lengths += [len(str(clip.number))] * (clip.number is not None)
        return sum(_BLOCK + -(-length // _BLOCK) * _BLOCK for length in lengths)


def _number(value: float) -> float | None:
    """Return a number of JSON; None for times of pictures, which are unknown."""
    return round(value, 6) if math.isfinite(value) else None


def _key(clip: ExportClip) -> str:
    """Return the key of a sample: what comes before the first point of its files' names."""
    return clip.stem.replace(".", "%2E")
