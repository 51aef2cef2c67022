"""A torch Dataset for a prepared folder: clips as tensors, with frames resampled each epoch.

Randomness is a function of (seed, epoch, clip id) alone, so a clip gives the same frames for any number of loader
workers and in any order.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, Unpack, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch.utils.data import Dataset

from dfer_data import frame_sampling as sample
from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.frame_sampling import BLACK, DEFAULT_SAMPLER, DEFAULT_SHORT
from dfer_data.loading.clip_audio import AudioOptions, SpanAudio
from dfer_data.loading.frame_cache import FrameCache
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.loading.tensor_form import TensorForm, TensorLayout
from dfer_data.shards.layout import CLIPS_NAME
from dfer_data.shards.reader import ShardReader
from dfer_data.types import Image
from dfer_data.video.resize_rules import JpegScale, ResizeRule
from dfer_data.wording import counted

Sampling = Literal["train", "test", "frame"]


class ClipSample(NamedTuple):
    """One item of the dataset; torch's default collate joins such items too."""

    frames: torch.Tensor
    """(T, 3, size, size) in the dataset's layout, RGB, uint8 or normalised float32; with a leading dimension of views
    where the sampler tests on several."""
    label: int
    """Index into the dataset's class names."""
    clip_id: str
    """Id in the manifest."""


class AudioClipSample(NamedTuple):
    """One item of a dataset with `audio`."""

    frames: torch.Tensor
    """As in ClipSample."""
    label: int
    """Index into the dataset's class names."""
    clip_id: str
    """Id in the manifest."""
    audio: torch.Tensor
    """(N,) float32 from -1 to 1, 16,000 per second: the sound from the first to the end of the last frame."""
    audio_length: int
    """Samples of that time span; the others, with `audio_samples`, are zeros after them. 0 for a clip without sound."""


class Clips(Protocol):
    """The interface that `ClipLoader` reads: one dataset, or several joined."""

    seed: int
    """Seed of all randomness."""
    epoch: int
    """Number of the epoch for which training frames are drawn."""

    @property
    def clip_ids(self) -> tuple[str, ...]:
        """One unique name per clip."""
        ...

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(num_clips,) indices into the class names."""
        ...

    @property
    def item_shape(self) -> tuple[int, int, int, int, int]:
        """(V, T, size, size, 3): views, frames and pixels of one clip."""
        ...

    @property
    def frame_counts(self) -> npt.NDArray[np.int64]:
        """(num_clips,) stored frames of each clip."""
        ...

    def __len__(self) -> int:
        """Return the number of clips."""
        ...

    def frame_indices(self, index: int) -> sample.FrameIndices:
        """Return the frames that make up a clip in this epoch, (V, T) int32; BLACK for a black frame."""
        ...

    def read_all_into(self, index: int, out: Image) -> None:
        """Read all frames of a clip into `out`, (frame_counts[index], size, size, 3) uint8."""
        ...

    def read_into(self, index: int, out: Image) -> None:
        """Read one clip into `out`, uint8 of `item_shape`; several threads may do so at once."""
        ...


@dataclass(frozen=True)
class FrameDraw:
    """Which frames of a clip an item has, and how they become pictures of its size."""

    sampling: Sampling | None = None
    """`train` draws T frames by the formula of `sampler`, `test` takes its test views, `frame` draws a single frame
    (T = 1). None: `train` for the train split of a fold, else `test`."""
    sampler: str = DEFAULT_SAMPLER
    """Name of the sampling policy (`dfer_data.frame_sampling.SAMPLERS`)."""
    short: str = DEFAULT_SHORT
    """Rule for clips with fewer than T frames (`frame_sampling.SHORT_RULES`); `drop` leaves them out."""
    seed: int = 0
    """Seed of all randomness."""
    sample_by: sample.SampleBy = "frames"
    """`time` places frames on a grid of `reference_fps` points per second (`frame_sampling.frames_on_grid`)."""
    reference_fps: float = sample.REFERENCE_FPS
    """Points of that grid per second."""
    resize: ResizeRule = "auto"
    """Rule for frames that are stored at another size (`dfer_data.video.resize`)."""
    decode: JpegScale = "full"
    """Whether frames that shrink by 2 or more are decoded at a smaller scale first."""
    keep_in_memory: bool = False
    """Whether all frames of each clip are decoded once and kept (`FrameCache`)."""


_DEFAULT_DRAW = FrameDraw()


class FaceClipDataset(Dataset[ClipSample | AudioClipSample]):
    """Clips with faces, by id; the CRC-32 of every stored frame is checked when it is read.

    Set `epoch` before each epoch: it determines the frames that `sampling` train and frame draw. The workers of a torch
    DataLoader see the change too, persistent ones included.
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
        dtype: torch.dtype | None = None,
        draw: FrameDraw = _DEFAULT_DRAW,
        **sound: Unpack[AudioOptions],
    ) -> None:
        """Open the dataset and select its clips.

        Args:
            data: an open dataset, or the folder or URL of one.
            fold: select the clips with faces in the `split` of an official fold.
            split: `train` or `test`.
            clip_ids: select these clips instead.
            num_frames: T, frames per clip.
            size_px: side of a frame in pixels.
            layout: order of the dimensions of an item.
            mean: three numbers for values in 0..1; with `std`, items are float32, (x / 255 - mean) / std; else uint8.
            std: three numbers above 0.
            transform: applied to the uint8 frames (T, 3, size, size) before layout, mean and std.
            dtype: a floating-point type instead of uint8 or float32; without mean and std, values are then x / 255.
            draw: which frames of a clip an item has, and how they are read.
            sound: with `audio=True`, items are AudioClipSample, which also have the sound of the time span of their
                frames; items differ in its length, unless `audio_samples` gives one: torch's default collate needs it.

        Clips stored as `clips16` always give the 16 frames that they hold. Raises UsageError for an unknown fold,
        split, clip, sampler, sampling, layout, dtype or rule, for a clip without a label or a face, for `clip_ids` that
        the rule leaves out, and for clips without times that are sampled by time. Reading raises CorruptShardError with
        shard and clip.
        """
        self._form = TensorForm(layout, mean=mean, std=std, transform=transform, dtype=dtype)
        if draw.sampling not in (None, *get_args(Sampling)) or draw.seed < 0:
            kinds = ", ".join(get_args(Sampling))
            raise UsageError(
                f"sampling {draw.sampling!r}, seed {draw.seed}: one of {kinds}, and a seed from 0 are needed"
            )
        self._sampler = sample.sampler(draw.sampler, clip_frames=num_frames).name
        self._short, self._num_frames = sample.checked_short_rule(draw.short), num_frames
        self._grid_fps = sample.checked_grid(draw.sample_by, draw.reference_fps)
        self.prepared = data if isinstance(data, PreparedDataset) else PreparedDataset(data)
        if unknown := sorted(sound.keys() - AudioOptions.__annotations__.keys()):
            raise TypeError(f"FaceClipDataset() got an unexpected keyword argument {unknown[0]!r}")
        self._audio = _span_audio(self.prepared, **sound)
        self._refuse_other_policies_for_baked_frames()
        rows = self._fold_rows(fold, split) if clip_ids is None else self.prepared.index(clip_ids)
        if clip_ids is None:
            rows = rows.filter(pc.and_not(pc.not_equal(rows["status"], "failed"), self._is_dropped(rows)))
        self._refuse(
            rows, self._is_dropped(rows), f"of fewer than {counted(num_frames, 'frame')}, left out by short = drop"
        )
        self._refuse(rows, rows["label"].is_null(), "without a label")
        self._refuse(rows, pc.equal(rows["status"], "failed"), "without a face")
        names = pa.array(self.prepared.class_names, pa.string())
        self.clip_ids: tuple[str, ...] = tuple(rows["clip_id"].to_pylist())
        labels = pc.index_in(rows["label"].cast(pa.string()), value_set=names)
        self.labels: npt.NDArray[np.int64] = labels.to_numpy().astype(np.int64)
        self._shards, self._rows = (rows[name].to_numpy() for name in ("shard", "row"))
        is_training = clip_ids is None and split == "train"
        self.sampling: Sampling = draw.sampling or ("train" if is_training else "test")
        self.size_px, self.seed = size_px, draw.seed
        self._reading: dict[str, Any] = {"resize": draw.resize, "decode": draw.decode}
        is_baked = self.prepared.document["config"]["store"] == "clips16"
        counts = rows["num_frames"].to_numpy().astype(np.int64)
        self.frame_counts: npt.NDArray[np.int64] = np.full_like(counts, sample.CLIP_FRAMES) if is_baked else counts
        """(num_clips,) stored frames of each clip."""
        self._shared_epoch = torch.zeros((), dtype=torch.int64)
        self._share_epoch()
        self._refuse_clips_without_times()
        self._cache: FrameCache | None = FrameCache(self) if draw.keep_in_memory else None

    def __repr__(self) -> str:
        return f"FaceClipDataset({str(self.prepared.root)!r}: {counted(len(self), 'clip')}, {self.size_px} px)"

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without decoded frames, for a copy in another process."""
        return self.__dict__ | {"_cache": self._cache is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled dataset, which shares the epoch with its own workers, and decodes frames anew."""
        self.__dict__.update(state)
        self._cache = FrameCache(self) if state["_cache"] else None
        self._share_epoch()

    def _share_epoch(self) -> None:
        with contextlib.suppress(RuntimeError):  # a machine without shared memory has no workers either
            self._shared_epoch.share_memory_()

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.clip_ids)

    @property
    def epoch(self) -> int:
        """Number of the epoch for which frames are drawn; shared with the worker processes of a DataLoader."""
        return int(self._shared_epoch)

    @epoch.setter
    def epoch(self, number: int) -> None:
        self._shared_epoch.fill_(number)

    def __getitem__(self, index: int) -> ClipSample | AudioClipSample:
        """Read one clip; with `sampling` train or frame, its frames depend on `epoch`. IndexError."""
        index = range(len(self))[index]  # -1 is the last clip
        pixels = np.empty(self.item_shape, np.uint8)
        self.read_into(index, pixels)
        views = [self._form.of(torch.from_numpy(view).permute(0, 3, 1, 2)) for view in pixels]
        frames = torch.stack(views) if len(views) > 1 else views[0]
        item = ClipSample(frames.contiguous(), int(self.labels[index]), self.clip_ids[index])
        if self._audio is None:
            return item
        numbers = self.frame_indices(index).reshape(-1)
        times = self._times(index)[numbers[numbers != BLACK]]
        place = int(self._shards[index]), int(self._rows[index])
        samples, length = self._audio.read(*place, times, clip_id=item.clip_id)
        return AudioClipSample(*item, torch.from_numpy(np.ascontiguousarray(samples)), length)

    @property
    def is_plain(self) -> bool:
        """Whether items are the stored pixels: no transform, mean, std or sound, uint8, and layout (T, C, H, W)."""
        return self._audio is None and self._form.is_plain

    @property
    def policy(self) -> tuple[object, ...]:
        """How frames are chosen and read; equal for two datasets that draw the same frames of the same clip."""
        chosen = self.sampling, self._sampler, self._short, self._num_frames, self._grid_fps
        return *chosen, self.seed, self.size_px, *self._reading.values()

    @property
    def item_shape(self) -> tuple[int, int, int, int, int]:
        """(V, T, size, size, 3): views, frames and pixels of one clip, as `read_into` fills them."""
        num_views, num_frames = self.frame_indices(0).shape if self.clip_ids else (1, self._num_frames)
        return num_views, num_frames, self.size_px, self.size_px, 3

    def read_into(self, index: int, out: Image) -> None:
        """Read one clip into `out`, uint8 of `item_shape`; several threads may do so at once."""
        if self._cache is not None:
            self._cache.read_into(index, out)
            return
        reader, row, clip_id = self._locate(index)
        numbers = self.frame_indices(index).reshape(-1).tolist()
        slots = out.reshape(-1, *out.shape[2:])  # (VT, H, W, C)
        reader.read_frames(row, numbers, slots, clip_id=clip_id, **self._reading)

    def read_all_into(self, index: int, out: Image) -> None:
        """Read all frames of a clip into `out`, (frame_counts[index], size, size, 3) uint8.

        Raises CorruptDataError for another number of frames in the shard than in the manifest.
        """
        reader, row, clip_id = self._locate(index)
        if reader.num_frames(row) != len(out):
            raise CorruptDataError(
                f"{self.prepared.root}: clip {clip_id} has {counted(reader.num_frames(row), 'frame')} in its shard, "
                f"{len(out)} in {CLIPS_NAME}; get the dataset again, or prepare it"
            )
        reader.read_frames(row, range(len(out)), out, clip_id=clip_id, **self._reading)

    def frame_indices(self, index: int) -> sample.FrameIndices:
        """Return the frames that make up a clip in this epoch, (V, T) int32; BLACK for a black frame."""
        reader, row, clip_id = self._locate(index)
        num_frames, grid = reader.num_frames(row), self._grid(index)
        epoch = 0 if self.sampling == "test" else self.epoch
        rng = np.random.default_rng((self.seed, epoch, zlib.crc32(clip_id.encode("utf-8"))))
        if self.sampling == "frame":
            points = np.arange(num_frames, dtype=np.int32) if grid is None else grid
            return points[rng.integers(0, len(points), (1, 1))]
        split: Literal["train", "test"] = "test" if reader.store == "clips16" else self.sampling  # baked frames
        return sample.frames_of_clip(
            num_frames,
            grid=grid,
            part=split,
            sampler_name=self._sampler,
            short=self._short,
            rng=rng,
            clip_frames=self._num_frames,
        )

    def _grid(self, index: int) -> sample.FrameIndices | None:
        """Return the frame at each point of a clip's time grid; None if frames are counted."""
        if self._grid_fps is None:
            return None
        return sample.frames_on_grid(self._times(index), fps=self._grid_fps)

    def _times(self, index: int) -> npt.NDArray[np.float32]:
        """Return the times of a clip's frames in seconds, (N,); NaN where unknown."""
        reader, row, _ = self._locate(index)
        times: npt.NDArray[np.float32] = reader.tensor("pts_seconds")[slice(*reader.clip_offsets[row : row + 2])]
        return times

    def _refuse_clips_without_times(self) -> None:
        if self._grid_fps is None:
            return
        untimed = [clip_id for i, clip_id in enumerate(self.clip_ids) if not sample.has_times(self._times(i))]
        if untimed:
            raise UsageError(
                f"{self.prepared.root}: {counted(len(untimed), 'clip')} without times ({', '.join(untimed[:3])}...); "
                "shipped crops have none: sample_by = 'frames' counts frames instead"
            )

    def _locate(self, index: int) -> tuple[ShardReader, int, str]:
        """Return the shard, the row and the id of a clip."""
        return self.prepared.shard(int(self._shards[index])), int(self._rows[index]), self.clip_ids[index]

    def _fold_rows(self, fold: int | None, split: str) -> pa.Table:
        if fold is None:
            raise UsageError("FaceClipDataset needs clip_ids or a fold")
        return self.prepared.fold_index(str(fold), split)

    def _is_dropped(self, rows: pa.Table) -> pa.ChunkedArray:
        min_frames = self._num_frames if self._short == "drop" else 0
        return pc.less(rows["num_frames"], min_frames)

    def _refuse(self, rows: pa.Table, faulty: pa.ChunkedArray, fault: str) -> None:
        """Raise UsageError with the first ids if there are faulty rows."""
        ids = rows.filter(faulty)["clip_id"]
        if len(ids):
            examples = ", ".join(ids.slice(0, 3).to_pylist())
            raise UsageError(f"{self.prepared.root}: {counted(len(ids), 'clip')} {fault} ({examples}...)")

    def _refuse_other_policies_for_baked_frames(self) -> None:
        config, policy = self.prepared.document["config"], (self._sampler, self._short, self._num_frames)
        is_baked, by_time = config["store"] == "clips16", "" if self._grid_fps is None else " by time"
        if is_baked and (by_time or policy != (DEFAULT_SAMPLER, DEFAULT_SHORT, sample.CLIP_FRAMES)):
            raise UsageError(
                f"{self.prepared.root} holds {sample.CLIP_FRAMES} stored frames per clip ({DEFAULT_SAMPLER}, "
                f"{DEFAULT_SHORT}), not {self._num_frames} of {self._sampler}{by_time}, {self._short}; prepare with "
                "--store frames for other sampling"
            )


def _span_audio(
    prepared: PreparedDataset, *, audio: bool = False, audio_samples: int | None = None
) -> SpanAudio | None:
    """Return a reader of sound; None if it is not wanted. UsageError for a dataset without sound."""
    if audio_samples is not None and not audio:
        raise UsageError(f"audio_samples {audio_samples}: only with audio=True")
    return SpanAudio(prepared, num_samples=audio_samples) if audio else None


def collate(samples: Sequence[ClipSample | AudioClipSample]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Join samples into frames (B, T, 3, size, size) or (B, V, T, ...) uint8, labels (B,) int64 and clip ids."""
    frames = torch.stack([item.frames for item in samples])
    return frames, torch.tensor([item.label for item in samples]), [item.clip_id for item in samples]
