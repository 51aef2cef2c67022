"""The torch Dataset over a prepared folder: clips of 16 frames as uint8 tensors, sampled anew each epoch.

Randomness is a function of (seed, epoch, clip id) alone, so the same clip gives the same frames for any number of
loader workers and in any order.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from dfer_data.align import resized
from dfer_data.errors import UsageError
from dfer_data.manifest import PreparedDataset
from dfer_data.sample import segments_test, segments_train
from dfer_data.shard import ShardReader
from dfer_data.types import Image

Sampling = Literal["train", "test", "frame"]
Pictures = dict[int, Image]


@dataclass(frozen=True)
class ClipSample:
    """One item of the dataset."""

    frames: torch.Tensor
    """(T, 3, size, size) uint8 RGB."""
    label: int
    """Index into the dataset's class names."""
    clip_id: str
    """Its name in the manifest."""


class FaceClipDataset(Dataset[ClipSample]):
    """Clips with faces, by id; every stored frame's CRC-32 is checked when it is read."""

    def __init__(
        self,
        root: Path | str,
        *,
        clip_ids: Sequence[str] | None = None,
        fold: int | None = None,
        split: Literal["train", "test"] = "train",
        sampling: Sampling = "test",
        size_px: int = 224,
        seed: int = 0,
        keep_in_memory: bool = False,
    ) -> None:
        """Open `root`; take `clip_ids`, or all clips of `split` of `fold` that have faces.

        `sampling`: `train` draws two consecutive frames in each of eight segments, `test` takes the deterministic ones,
        `frame` draws a single frame (T = 1); clips stored as `clips16` always give
        their sixteen frames for `train`. `keep_in_memory` decodes each clip once, all its frames, at `size_px`.
        Raises UsageError for an unknown fold or clip, or a clip without a label or a face;
        reading raises CorruptShardError naming shard and clip.
        """
        self.prepared = PreparedDataset(Path(root))
        if clip_ids is None:
            if fold is None:
                raise UsageError("FaceClipDataset needs clip_ids or a fold")
            chosen = (clip_id for clip_id, part in self.prepared.fold(str(fold)).items() if part == split)
            clip_ids = [clip_id for clip_id in chosen if self.prepared.clip(clip_id)["status"] != "failed"]
        self.clip_ids = tuple(clip_ids)
        self.sampling, self.size_px, self.seed, self.epoch = sampling, size_px, seed, 0
        numbers = {name: number for number, name in enumerate(self.prepared.class_names)}
        rows = [self.prepared.clip(clip_id) for clip_id in self.clip_ids]
        unlabelled = [str(row["clip_id"]) for row in rows if row["label"] not in numbers]
        if unlabelled:
            raise UsageError(f"{root}: {len(unlabelled)} clips have no label ({', '.join(unlabelled[:3])}...)")
        faceless = [str(row["clip_id"]) for row in rows if row["status"] == "failed"]
        if faceless:
            raise UsageError(f"{root}: {len(faceless)} clips have no face ({', '.join(faceless[:3])}...)")
        self.labels = tuple(numbers[str(row["label"])] for row in rows)
        self._places = [(int(row["shard"]), int(row["row"])) for row in rows]
        self._kept: dict[int, Pictures] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clip_ids)

    def __getitem__(self, index: int) -> ClipSample:
        """Read one clip; with `sampling` train or frame the frames depend on `epoch`."""
        shard, row = self._places[index]
        reader = self.prepared.shard(shard)
        clip_id = self.clip_ids[index]
        sampling = "test" if reader.store == "clips16" and self.sampling == "train" else self.sampling  # baked frames
        wanted = self._frame_indices(reader.num_frames(row), clip_id, sampling=sampling).tolist()
        if self._kept is None:
            pictures = self._read(reader, row, set(wanted), clip_id)
        else:
            pictures = self._kept.get(index) or self._read(reader, row, set(range(reader.num_frames(row))), clip_id)
            self._kept[index] = pictures
        frames = np.stack([pictures[i] for i in wanted]).transpose(0, 3, 1, 2)  # (T, H, W, C) -> (T, C, H, W)
        return ClipSample(torch.from_numpy(np.ascontiguousarray(frames)), self.labels[index], clip_id)

    def _read(self, reader: ShardReader, row: int, wanted: set[int], clip_id: str) -> Pictures:
        return {i: resized(reader.frame(row, i, clip_id=clip_id), size_px=self.size_px) for i in sorted(wanted)}

    def _frame_indices(self, num_frames: int, clip_id: str, *, sampling: str) -> npt.NDArray[np.int32]:
        if sampling == "test":
            return segments_test(num_frames)
        rng = np.random.default_rng((self.seed, self.epoch, zlib.crc32(clip_id.encode("utf-8"))))
        if sampling == "frame":
            return rng.integers(0, num_frames, 1).astype(np.int32)
        return segments_train(num_frames, rng=rng)


def collate(samples: Sequence[ClipSample]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Join samples into frames (B, T, 3, size, size) uint8, labels (B,) int64 and clip ids."""
    frames = torch.stack([sample.frames for sample in samples])
    return frames, torch.tensor([sample.label for sample in samples]), [sample.clip_id for sample in samples]
