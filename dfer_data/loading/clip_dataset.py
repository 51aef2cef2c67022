"""The torch Dataset over a prepared folder: clips as tensors, their frames sampled anew each epoch.

Randomness is a function of (seed, epoch, clip id) alone, so the same clip gives the same frames for any number of
loader workers and in any order.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, get_args

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
TensorLayout = Literal["TCHW", "CTHW", "THWC"]
_ORDER = {"TCHW": (0, 1, 2, 3), "CTHW": (1, 0, 2, 3), "THWC": (0, 2, 3, 1)}
Pictures = dict[int, Image]


class ClipSample(NamedTuple):
    """One item of the dataset; torch's default collate joins such items too."""

    frames: torch.Tensor
    """(T, 3, size, size) in the dataset's layout, RGB, uint8 or normalised float32; one dimension more in front, the
    views, where the sampler tests on several."""
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
    """Clips with faces, by id; every stored frame's CRC-32 is checked when it is read.

    Set `epoch` before each epoch: it decides which frames `sampling` train and frame draw.
    """

    def __init__(
        self,
        data: PreparedDataset | Path | str,
        *,
        fold: int | None = None,
        split: Literal["train", "test"] = "train",
        clip_ids: Sequence[str] | None = None,
        num_frames: int = sample.CLIP_FRAMES,
        size_px: int = 224,
        layout: TensorLayout = "TCHW",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
        sampling: Sampling | None = None,
        sampler: str = DEFAULT_SAMPLER,
        short: str = DEFAULT_SHORT,
        seed: int = 0,
        keep_in_memory: bool = False,
    ) -> None:
        """Open the dataset and choose its clips.

        Args:
            data: an open dataset, or the folder or URL of one.
            fold: take the clips of an official fold that have faces, those of its part `split`.
            split: `train` or `test`.
            clip_ids: take these instead.
            num_frames: T, frames per clip.
            size_px: side of a frame in pixels.
            layout: order of an item's dimensions.
            mean: three numbers, of values in 0..1; with `std`, items are float32, (x / 255 - mean) / std. Else uint8.
            std: three numbers above 0.
            transform: applied to the uint8 frames (T, 3, size, size) before layout, mean and std.
            sampling: `train` draws T frames by the formula of `sampler`, `test` takes its test views, `frame` draws a
                single frame (T = 1). None: `train` for the train part of a fold, else `test`.
            sampler: name of the sampling policy (`dfer_data.frame_sampling.SAMPLERS`).
            short: what becomes of clips under T frames (`frame_sampling.SHORT_RULES`); `drop` leaves them out.
            seed: start of all randomness.
            keep_in_memory: decode each clip once, all its frames.

        Clips stored as `clips16` always give their sixteen frames. Raises UsageError for an unknown fold, clip,
        sampler, layout or rule, a clip without a label or a face, and `clip_ids` that the rule leaves out; reading
        raises CorruptShardError naming shard and clip.
        """
        if layout not in get_args(TensorLayout):
            raise UsageError(f"layout {layout!r}: one of {', '.join(get_args(TensorLayout))} is needed")
        self._sampler = sample.sampler(sampler, clip_frames=num_frames).name
        self._short, self._num_frames = sample.checked_short_rule(short), num_frames
        self._layout, self._transform, self._norm = layout, transform, _normalisation(mean, std)
        self.prepared = data if isinstance(data, PreparedDataset) else PreparedDataset(data)
        self._refuse_other_policies_for_baked_frames()
        rows = self._fold_rows(fold, split) if clip_ids is None else self.prepared.index(clip_ids)
        if clip_ids is None:
            rows = rows.filter(pc.and_not(pc.not_equal(rows["status"], "failed"), self._is_left_out(rows)))
        self._refuse(rows, self._is_left_out(rows), f"are under {num_frames} frames, left out by short = drop")
        self._refuse(rows, rows["label"].is_null(), "have no label")
        self._refuse(rows, pc.equal(rows["status"], "failed"), "have no face")
        names = pa.array(self.prepared.class_names, pa.string())
        self.clip_ids: tuple[str, ...] = tuple(rows["clip_id"].to_pylist())
        labels = pc.index_in(rows["label"].cast(pa.string()), value_set=names)
        self.labels: npt.NDArray[np.int64] = labels.to_numpy().astype(np.int64)
        self._shards, self._rows = (rows[name].to_numpy() for name in ("shard", "row"))
        is_training = clip_ids is None and split == "train"
        self.sampling: Sampling = sampling or ("train" if is_training else "test")
        self.size_px, self.seed, self.epoch = size_px, seed, 0
        self._kept: dict[int, Pictures] | None = {} if keep_in_memory else None

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clip_ids)

    def __getitem__(self, index: int) -> ClipSample:
        """Read one clip; with `sampling` train or frame the frames depend on `epoch`."""
        pixels = np.empty(self.item_shape, np.uint8)
        self.read_into(index, pixels)
        views = [self._finished(torch.from_numpy(view).permute(0, 3, 1, 2)) for view in pixels]
        frames = torch.stack(views) if len(views) > 1 else views[0]
        return ClipSample(frames.contiguous(), int(self.labels[index]), self.clip_ids[index])

    def _finished(self, frames: torch.Tensor) -> torch.Tensor:
        """(T, 3, H, W) uint8 -> transformed, normalised, in the layout that was asked for."""
        if self._transform is not None:
            frames = self._transform(frames)
        if self._norm is not None:
            mean, std = self._norm
            frames = (frames.float() / 255 - mean) / std
        return frames.permute(*_ORDER[self._layout])

    @property
    def is_plain(self) -> bool:
        """Whether items are the stored pixels: no transform, mean or std, and the layout (T, C, H, W)."""
        return self._transform is None and self._norm is None and self._layout == "TCHW"

    @property
    def item_shape(self) -> tuple[int, int, int, int, int]:
        """(V, T, size, size, 3): views, frames and pixels of one clip, as `read_into` fills them."""
        num_views, num_frames = self._frame_indices(0).shape if self.clip_ids else (1, self._num_frames)
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
        return sample.frames_of_clip(
            num_frames,
            part=part,
            sampler_name=self._sampler,
            short=self._short,
            rng=rng,
            clip_frames=self._num_frames,
        )

    def _place(self, index: int) -> tuple[ShardReader, int, str]:
        """Return where a clip is stored, and its id."""
        return self.prepared.shard(int(self._shards[index])), int(self._rows[index]), self.clip_ids[index]

    def _fold_rows(self, fold: int | None, split: str) -> pa.Table:
        if fold is None:
            raise UsageError("FaceClipDataset needs clip_ids or a fold")
        return self.prepared.fold_index(str(fold), split)

    def _is_left_out(self, rows: pa.Table) -> pa.ChunkedArray:
        least = self._num_frames if self._short == "drop" else 0
        return pc.less(rows["num_frames"], least)

    def _refuse(self, rows: pa.Table, faulty: pa.ChunkedArray, fault: str) -> None:
        """Raise UsageError if there are faulty rows, naming the first ones."""
        ids = rows.filter(faulty)["clip_id"]
        if len(ids):
            some = ", ".join(ids.slice(0, 3).to_pylist())
            raise UsageError(f"{self.prepared.root}: {len(ids)} clips {fault} ({some}...)")

    def _refuse_other_policies_for_baked_frames(self) -> None:
        config, policy = self.prepared.document["config"], (self._sampler, self._short, self._num_frames)
        if config["store"] == "clips16" and policy != (DEFAULT_SAMPLER, DEFAULT_SHORT, sample.CLIP_FRAMES):
            raise UsageError(
                f"{self.prepared.root} holds sixteen baked frames per clip ({DEFAULT_SAMPLER}, {DEFAULT_SHORT}), not "
                f"{self._num_frames} of {self._sampler}, {self._short}; prepare with --store frames to sample otherwise"
            )


def _normalisation(
    mean: Sequence[float] | None, std: Sequence[float] | None
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return mean and std as (3, 1, 1) float32; None for neither. UsageError unless there are three of each."""
    if mean is None and std is None:
        return None
    tensors = [torch.tensor(values if values is not None else [], dtype=torch.float32) for values in (mean, std)]
    if any(tensor.shape != (3,) for tensor in tensors) or not bool((tensors[1] > 0).all()):
        raise UsageError(f"mean {mean}, std {std}: three numbers each are needed, std above 0")
    return tensors[0][:, None, None], tensors[1][:, None, None]


def collate(samples: Sequence[ClipSample]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Join samples into frames (B, T, 3, size, size) or (B, V, T, ...) uint8, labels (B,) int64 and clip ids."""
    frames = torch.stack([one.frames for one in samples])
    return frames, torch.tensor([one.label for one in samples]), [one.clip_id for one in samples]
