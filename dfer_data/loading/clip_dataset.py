"""The torch Dataset over a prepared folder: clips of 16 frames as uint8 tensors, sampled anew each epoch.

Randomness is a function of (seed, epoch, clip id) alone, so the same clip gives the same frames for any number of
loader workers and in any order.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import Dataset

from dfer_data import frame_sampling as sample
from dfer_data.errors import UsageError
from dfer_data.frame_sampling import DEFAULT_SAMPLER, DEFAULT_SHORT
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.reader import ShardReader
from dfer_data.types import Image
from dfer_data.video.resize import resized

Sampling = Literal["train", "test", "frame"]
Pictures = dict[int, Image]


@dataclass(frozen=True)
class ClipSample:
    """One item of the dataset."""

    frames: torch.Tensor
    """(T, 3, size, size) uint8 RGB; (V, T, 3, size, size) where the sampler tests on several views."""
    label: int
    """Index into the dataset's class names."""
    clip_id: str
    """Its name in the manifest."""


class Clips(Protocol):
    """What `ClipLoader` reads: one dataset, or several as one."""

    seed: int
    """Start of all randomness."""
    epoch: int
    """Number of the epoch that training frames are drawn for."""

    @property
    def clip_ids(self) -> tuple[str, ...]:
        """One name a clip, all different."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(num_clips,) indices into the class names."""
        ...

    @property
    def item_shape(self) -> tuple[int, int, int, int, int]:
        """(V, T, size, size, 3): views, frames and pixels of one clip."""
        ...

    def __len__(self) -> int:
        """Return the number of clips."""
        ...

    def read_into(self, index: int, out: Image) -> None:
        """Read one clip into `out`, uint8 of `item_shape`; several threads may do so at once."""
        ...


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
        sampler: str = DEFAULT_SAMPLER,
        short: str = DEFAULT_SHORT,
        size_px: int = 224,
        seed: int = 0,
        keep_in_memory: bool = False,
    ) -> None:
        """Open `root`; take `clip_ids`, or all clips of `split` of `fold` that have faces.

        `sampling`: `train` draws sixteen frames by the formula of `sampler`, `test` takes its test views, `frame` draws
        a single frame (T = 1). `short`: what becomes of clips under sixteen frames (`frame_sampling.SHORT_RULES`);
        under `drop` they are left out. Clips stored as `clips16` always give their sixteen frames. `keep_in_memory`
        decodes each clip once, all its frames, at `size_px`.
        Raises UsageError for an unknown fold, clip, sampler or rule, a clip without a label or a face, and `clip_ids`
        that the rule leaves out; reading raises CorruptShardError naming shard and clip.
        """
        self._sampler, self._short = sample.sampler(sampler).name, sample.checked_short_rule(short)
        self.prepared = PreparedDataset(root)
        self._refuse_other_policies_for_baked_frames(root)
        rows = self._fold_rows(fold, split) if clip_ids is None else self.prepared.index(clip_ids)
        if clip_ids is None:
            rows = rows.filter(pc.and_not(pc.not_equal(rows["status"], "failed"), self._is_left_out(rows)))
        self._refuse(rows, self._is_left_out(rows), "are under 16 frames, left out by short = drop")
        self._refuse(rows, rows["label"].is_null(), "have no label")
        self._refuse(rows, pc.equal(rows["status"], "failed"), "have no face")
        names = pa.array(self.prepared.class_names, pa.string())
        self.clip_ids: tuple[str, ...] = tuple(rows["clip_id"].to_pylist())
        labels = pc.index_in(rows["label"].cast(pa.string()), value_set=names)
        self.labels: npt.NDArray[np.int64] = labels.to_numpy().astype(np.int64)
        self._shards, self._rows = (rows[name].to_numpy() for name in ("shard", "row"))
        self.sampling, self.size_px, self.seed, self.epoch = sampling, size_px, seed, 0
        self._kept: dict[int, Pictures] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clip_ids)

    def __getitem__(self, index: int) -> ClipSample:
        """Read one clip; with `sampling` train or frame the frames depend on `epoch`."""
        pixels = np.empty(self.item_shape, np.uint8)
        self.read_into(index, pixels)
        frames = pixels.transpose(0, 1, 4, 2, 3)  # (V, T, C, H, W)
        frames = np.ascontiguousarray(frames if len(frames) > 1 else frames[0])
        return ClipSample(torch.from_numpy(frames), int(self.labels[index]), self.clip_ids[index])

    @property
    def item_shape(self) -> tuple[int, int, int, int, int]:
        """(V, T, size, size, 3): views, frames and pixels of one clip, as `read_into` fills them."""
        num_views, num_frames = self._frame_indices(0).shape if self.clip_ids else (1, sample.CLIP_FRAMES)
        return num_views, num_frames, self.size_px, self.size_px, 3

    def read_into(self, index: int, out: Image) -> None:
        """Read one clip into `out`, uint8 of `item_shape`; several threads may do so at once."""
        reader, row, clip_id = self._place(index)
        wanted = self._frame_indices(index).reshape(-1).tolist()
        slots = out.reshape(-1, *out.shape[2:])  # (VT, H, W, C)
        if self._kept is not None and index not in self._kept:
            self._kept[index] = self._read_all(reader, row, clip_id)
        filled: dict[int, Image] = {} if self._kept is None else dict(self._kept[index])
        for number, slot in zip(wanted, slots, strict=True):
            if number == sample.BLACK:
                slot[:] = 0
            elif number in filled:
                slot[:] = filled[number]
            else:
                reader.read_into(row, number, slot, clip_id=clip_id)
                filled[number] = slot

    def _read_all(self, reader: ShardReader, row: int, clip_id: str) -> Pictures:
        numbers = range(reader.num_frames(row))
        return {i: resized(reader.frame(row, i, clip_id=clip_id), size_px=self.size_px) for i in numbers}

    def _frame_indices(self, index: int) -> sample.FrameIndices:
        """Return the frames of each view of a clip, (V, T) int32."""
        reader, row, clip_id = self._place(index)
        num_frames = reader.num_frames(row)
        epoch = 0 if self.sampling == "test" else self.epoch
        rng = np.random.default_rng((self.seed, epoch, zlib.crc32(clip_id.encode("utf-8"))))
        if self.sampling == "frame":
            return rng.integers(0, num_frames, (1, 1)).astype(np.int32)
        part: Literal["train", "test"] = "test" if reader.store == "clips16" else self.sampling  # baked frames
        return sample.frames_of_clip(num_frames, part=part, sampler_name=self._sampler, short=self._short, rng=rng)

    def _place(self, index: int) -> tuple[ShardReader, int, str]:
        """Return where a clip is stored, and its id."""
        return self.prepared.shard(int(self._shards[index])), int(self._rows[index]), self.clip_ids[index]

    def _fold_rows(self, fold: int | None, split: str) -> pa.Table:
        if fold is None:
            raise UsageError("FaceClipDataset needs clip_ids or a fold")
        return self.prepared.fold_index(str(fold), split)

    def _is_left_out(self, rows: pa.Table) -> pa.ChunkedArray:
        least = sample.CLIP_FRAMES if self._short == "drop" else 0
        return pc.less(rows["num_frames"], least)

    def _refuse(self, rows: pa.Table, faulty: pa.ChunkedArray, fault: str) -> None:
        """Raise UsageError if there are faulty rows, naming the first ones."""
        ids = rows.filter(faulty)["clip_id"]
        if len(ids):
            some = ", ".join(ids.slice(0, 3).to_pylist())
            raise UsageError(f"{self.prepared.root}: {len(ids)} clips {fault} ({some}...)")

    def _refuse_other_policies_for_baked_frames(self, root: Path | str) -> None:
        config = self.prepared.document["config"]
        if config["store"] == "clips16" and (self._sampler, self._short) != (DEFAULT_SAMPLER, DEFAULT_SHORT):
            raise UsageError(
                f"{root} holds sixteen baked frames a clip ({DEFAULT_SAMPLER}, {DEFAULT_SHORT}), not those of "
                f"{self._sampler}, {self._short}; prepare with --store frames to sample otherwise"
            )


def collate(samples: Sequence[ClipSample]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Join samples into frames (B, T, 3, size, size) or (B, V, T, ...) uint8, labels (B,) int64 and clip ids."""
    frames = torch.stack([one.frames for one in samples])
    return frames, torch.tensor([one.label for one in samples]), [one.clip_id for one in samples]
