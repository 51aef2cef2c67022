"""Open a prepared dataset: check its small files against their hashes and read clips from its shards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.frame_sampling import CLIP_FRAMES, DEFAULT_SAMPLER, frames_of_clip, sampler
from dfer_data.loading.document import read_document, refuse_change
from dfer_data.shards.clips_table import ClipsFile
from dfer_data.shards.fold_file import checked_fold
from dfer_data.shards.identity import OFFICIAL_SET, DatasetIdentity, identity_of
from dfer_data.shards.layout import (
    CLIPS_NAME,
    FOLDS,
    SHARDS,
    audio_name,
    fold_name,
)
from dfer_data.shards.reader import ShardReader, open_shard
from dfer_data.storage.files import ORIGIN_NAME, place_of, sha256_file
from dfer_data.storage.shard_bytes import LocalBytes, ShardBytes
from dfer_data.types import Floats, FrameFlag, Image
from dfer_data.wording import by_number, counted

if TYPE_CHECKING:
    from dfer_data.loading.holdout import FoldSplit
    from dfer_data.loading.holdout_kinds import Validation
    from dfer_data.shards.audio_reader import AudioReader
    from dfer_data.storage.url_cache import Remote
    from dfer_data.video.resize_rules import ResizeRule

_STRIP_ROWS, _STRIP_PX = 7, 64  # of the filmstrip in a notebook


def _locate(root: Path | str) -> tuple[Path, Remote | None]:
    """Return the folder and, for a URL, the remote that fetches its clips."""
    place = place_of(root)
    if isinstance(place, Path) and not (place / ORIGIN_NAME).is_file():
        return place, None
    from dfer_data.storage.url_cache import located

    return located(place)


def _has_sha256(path: Path, sha256: str) -> bool:
    try:
        return path.is_file() and sha256_file(path) == sha256
    except FileNotFoundError:  # replaced at this moment
        return False


class PreparedDataset:
    """A prepared dataset opened for reading; its small files are checked against their hashes."""

    def __init__(self, root: Path | str) -> None:
        """Open a folder, or a URL such as s3://bucket/dfew-retinaface whose clips are fetched when they are read.

        Raises UsageError, FormatVersionError or CorruptDataError like `read_document`, RemoteError for a URL.
        """
        self.root, self._remote = _locate(root)
        self.document = read_document(self.root)
        for name, facts in self.document["files"].items():
            if name == CLIPS_NAME or name.startswith(FOLDS + "/"):
                path = self.root / name
                if self._remote is not None:
                    self._remote.fetch(name, sha256=facts["sha256"])
                if not _has_sha256(path, facts["sha256"]):
                    refuse_change(self.root, self.document)
                    raise CorruptDataError(
                        f"{path} is missing or does not match its sha256 in dataset.json; restore it or prepare again"
                    )
        self._readers: dict[int, ShardReader] = {}
        self._audio_readers: dict[int, AudioReader] = {}
        self._clips_file = ClipsFile(self.root / CLIPS_NAME, self.document)

    @property
    def clips(self) -> pd.DataFrame:
        """The entire manifest, one row per clip in the order of ids; read at first access."""
        return self._clips_file.frame

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without open files, for a copy in another process."""
        return self.__dict__ | {"_readers": {}, "_audio_readers": {}}

    def index(self, clip_ids: Sequence[str]) -> pa.Table:
        """Return clip_id, status, label, shard, row, num_frames of clips, in their order; UsageError for unknown ids.

        Label, shard and row are null for clips without one.
        """
        return self._clips_file.index_of(clip_ids)

    def votes(self, clip_ids: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the number of annotators per class, (num_clips, num_classes); all 0 for clips without votes.

        UsageError for an unknown clip.
        """
        return self._clips_file.votes(clip_ids)

    @property
    def has_labels(self) -> bool:
        """Whether clips have several labels."""
        return self._clips_file.has_labels

    def labels(self, clip_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which classes hold, (num_clips, num_classes); of a clip without several labels, its label.

        UsageError for an unknown clip.
        """
        return self._clips_file.labels(clip_ids)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Label names in the dataset's own order."""
        return tuple(self.document["class_names"])

    @property
    def fold_sets(self) -> tuple[str, ...]:
        """Names of the sets of folds: `official` first, if there is one, then those that `dfer folds` made."""
        official = (OFFICIAL_SET,) if self.document["counts"]["folds"] else ()
        return (*official, *sorted(self.document.get("fold_sets", {}), key=by_number))

    def fold_names(self, fold_set: str = OFFICIAL_SET) -> tuple[str, ...]:
        """Return the folds of a set, by number; UsageError for an unknown set."""
        return tuple(sorted(self._fold_sizes(fold_set), key=by_number))

    def identity(self, fold_set: str = OFFICIAL_SET) -> DatasetIdentity:
        """Return the hashes of clips, labels and a set of folds; UsageError for an unknown set."""
        self._fold_sizes(fold_set)
        return identity_of(self.document, fold_set=fold_set)

    def fold(self, name: str, *, fold_set: str = OFFICIAL_SET) -> dict[str, str]:
        """Return clip id -> split of a fold; UsageError lists the known folds and sets."""
        table = self._fold_table(name, fold_set)
        return dict(zip(table["clip_id"].to_pylist(), table["split"].to_pylist(), strict=True))

    def fold_index(self, name: str, split: str, *, fold_set: str = OFFICIAL_SET) -> pa.Table:
        """Return the `index` of the clips in the `split` of a fold; UsageError like `fold`, and for another split."""
        if split not in ("train", "test"):
            raise UsageError(f"split {split!r}: train or test is needed")
        table = self._fold_table(name, fold_set)
        return self._clips_file.index_of(table["clip_id"]).filter(pc.equal(table["split"], split))

    def split(
        self,
        fold: int,
        *,
        val: Validation | Literal["auto"] = "auto",
        val_share: float = 0.1,
        seed: int = 0,
        fold_set: str = OFFICIAL_SET,
    ) -> FoldSplit:
        """Return the ids of the clips to train on, to choose an epoch by, and to test on.

        Args:
            fold: number of the fold.
            val: how clips are held out of the train part, as in `dfer train --val`: `groups` holds out whole groups
                (people; where they are unknown, groups of the dataset's audit), `blocks` one run of neighbouring ids,
                `random` random clips of each class, `none` nothing. `auto` is `groups` if every train clip has a
                group, else `blocks`.
            val_share: share of the train part that is held out.
            seed: seed of the holdout. `dfer train` holds out the same clips with the same `val`, share and seed.
            fold_set: name of the set of folds.

        Raises UsageError for an unknown fold, set or kind, and for clips without groups under `groups`.
        """
        from dfer_data.loading.holdout import split_of_fold

        return split_of_fold(self, self.fold(str(fold), fold_set=fold_set), val=val, share=val_share, seed=seed)

    def _fold_sizes(self, fold_set: str) -> dict[str, Any]:
        """Return fold -> split -> number of clips of a set; UsageError for an unknown one."""
        own_sets = self.document.get("fold_sets", {})
        if fold_set != OFFICIAL_SET and fold_set not in own_sets:
            names = ", ".join(self.fold_sets) or "none; `dfer folds` makes one"
            raise UsageError(f"{self.root} has no set of folds {fold_set!r}; it has: {names}")
        return dict(self.document["counts"]["folds"] if fold_set == OFFICIAL_SET else own_sets[fold_set]["folds"])

    def _fold_table(self, name: str, fold_set: str) -> pa.Table:
        """Return the clip_id and split of a fold after their checks. UsageError, CorruptDataError."""
        sizes = self._fold_sizes(fold_set)
        if name not in sizes:
            names = ", ".join(self.fold_names(fold_set)) or "none"
            others = ", ".join(item for item in self.fold_sets if item != fold_set)
            hint = f"; other sets of folds: {others} (--fold-set, or fold_set in Python)" if others else ""
            raise UsageError(f"{self.root} has no fold {name!r}; it has: {names}{hint}")
        path = self.root / fold_name(name, fold_set=fold_set)
        with self._changes_named():
            known_ids = self._clips_file.index()["clip_id"]
            return checked_fold(path.read_bytes(), sizes[name], known_ids=known_ids, name=str(path))

    def clip(self, clip_id: str) -> dict[str, Any]:
        """Return a clip's row in the manifest, by column name; UsageError for an unknown id."""
        return self._clips_file.row(clip_id)

    def shard(self, number: int) -> ShardReader:
        """Return the open reader of a shard, which stays open; its index is checked."""
        if number not in self._readers:
            self._readers[number] = self.open_shard(number)
        return self._readers[number]

    def open_shard(self, number: int) -> ShardReader:
        """Return a new reader of a shard, for a pass over all shards: indices take 81 bytes per frame while open."""
        name = f"{SHARDS}/{self.document['shards'][number]['name']}.safetensors"
        with self._changes_named():
            return open_shard(self.document, number, self._bytes(name))

    @contextlib.contextmanager
    def _changes_named(self) -> Iterator[None]:
        """Raise UsageError for files that differ because a command has changed the folder since it was opened."""
        try:
            yield
        except (CorruptDataError, FileNotFoundError):
            if self._remote is None:
                refuse_change(self.root, self.document)
            raise

    def _bytes(self, name: str) -> ShardBytes:
        """Return the bytes of a shard or of its sound, on the disk or behind the URL."""
        return LocalBytes(self.root / name) if self._remote is None else self._remote.shard_bytes(name)

    @cached_property
    def rebuilt(self) -> dict[str, Any] | None:
        """rebuilt.json of a dataset that was rebuilt from a lock; None for any other. Raises CorruptDataError."""
        from dfer_data.shards.rebuilt_file import read_rebuilt
        from dfer_data.storage.target import target_at  # a dataset opens without both

        return read_rebuilt(target_at(self.root if self._remote is None else self._remote.url))

    @property
    def has_audio(self) -> bool:
        """Whether the dataset was prepared with sound."""
        return bool(self.document["config"].get("audio"))

    def require_audio(self) -> None:
        """Raise UsageError for a dataset without sound."""
        if not self.has_audio:
            raise UsageError(f"{self.root} was prepared without sound; prepare it again with `dfer prepare --audio`")

    def audio_shard(self, number: int) -> AudioReader:
        """Return the open reader of the sound of a shard; UsageError for a dataset without sound."""
        from dfer_data.shards.audio_reader import open_audio  # a dataset opens without it

        self.require_audio()
        if number not in self._audio_readers:
            self._audio_readers[number] = open_audio(self.document, number, self._bytes(audio_name(number)))
        return self._audio_readers[number]

    def read_audio(self, clip_id: str) -> Floats:
        """Return the sound of a clip: (N,) float32 from -1 to 1, 16,000 samples per second, mono.

        It covers the time span of the clip's frames: sample i is that of the time of the first frame + i / 16000 s. A
        clip whose video has no sound, `none` in the column `audio` of clips.parquet, has 0 samples.

        Raises UsageError for a dataset without sound, and for a clip that is unknown or has no faces; CorruptShardError
        for damaged bytes.
        """
        clip = self._stored_clip(clip_id)
        samples = self.audio_shard(int(clip["shard"])).samples(int(clip["row"]), clip_id=clip_id)
        return samples.astype(np.float32) / np.float32(32768)

    def frames(self, clip_id: str) -> pd.DataFrame:
        """Return the stored data of each aligned frame of a clip, one row per frame.

        Columns: frame_index (in the source), pts_seconds, left, top, right, bottom, x0, y0 ... x4, y4 (landmarks in
        source pixels), score, and the flags detected, between_keyframes, gap_filled, outside_border, damaged_source.
        Raises UsageError for a clip that is unknown or has no faces, CorruptShardError for damaged bytes.
        """
        reader, row = self._reader_of(clip_id)
        rows = slice(*(int(offset) for offset in reader.clip_offsets[row : row + 2]))
        points = reader.tensor("landmarks")[rows].reshape(-1, 10)
        columns: dict[str, Any] = {name: reader.tensor(name)[rows] for name in ("frame_index", "pts_seconds")}
        columns |= dict(zip(("left", "top", "right", "bottom"), reader.tensor("box")[rows].T, strict=True))
        columns |= {f"{axis}{point}": points[:, 2 * point + k] for point in range(5) for k, axis in enumerate("xy")}
        columns["score"] = reader.tensor("score")[rows]
        flags = reader.tensor("flags")[rows]
        columns |= {str(flag.name).lower(): (flags & flag) != 0 for flag in FrameFlag}
        return pd.DataFrame(columns)

    def _reader_of(self, clip_id: str) -> tuple[ShardReader, int]:
        """Return the shard and row of a clip. Raises CorruptDataError for another number of frames than was written."""
        clip = self._stored_clip(clip_id)
        reader, row = self.shard(int(clip["shard"])), int(clip["row"])
        if reader.store == "frames" and reader.num_frames(row) != clip["num_frames"]:
            raise CorruptDataError(
                f"{self.root}: clip {clip_id} has {counted(reader.num_frames(row), 'frame')} in its shard, "
                f"{clip['num_frames']} in {CLIPS_NAME}; get the dataset again, or prepare it"
            )
        return reader, row

    def _stored_clip(self, clip_id: str) -> dict[str, Any]:
        """Return the row of a clip that is in a shard; UsageError for one that is not."""
        clip = self.clip(clip_id)
        if clip["status"] == "failed":
            raise UsageError(f"clip {clip_id} has no faces: {clip['code']}: {clip['reason']}")
        return clip

    def __repr__(self) -> str:
        counts = self.document["counts"]
        size = f"{counted(counts['clips'], 'clip')}, {counted(len(self.class_names), 'class')}"
        return f"PreparedDataset({str(self.root)!r}: {size})"

    def _repr_html_(self) -> str:
        """Show the dataset in a notebook: counts, classes and one clip of each class."""
        from dfer_data.render.html import notebook_card

        counts = self.document["counts"]
        config = self.document["config"]
        facts = {
            "folder": str(self.root),
            "faces": f"{config['detector']} {config['backbone']}, {config['align']}, {config['size_px']} px".strip(),
            "clips": ", ".join([str(counts["clips"]), *(f"{n} {status}" for status, n in counts["status"].items())]),
            "frames": str(counts["frames"]),
            "folds": ", ".join(counts["folds"]) or "none",
            "sha256": str(self.document["sha256"]),
        }
        classes = {name: str(counts["classes"][name]) for name in self.class_names if name in counts["classes"]}
        return notebook_card("prepared dataset", facts, {"clips per class": classes}, image=self._filmstrip())

    def _filmstrip(self) -> Image | None:
        """Return the test frames of the first clip of each class, (rows * 64, 8 * 64, 3) uint8; None without faces."""
        clips = self.clips[self.clips["status"] != "failed"].drop_duplicates("label")
        number = {name: position for position, name in enumerate(self.class_names)}
        last = len(number)  # of clips without a label
        clips = clips.sort_values("label", key=lambda labels: labels.map(number).fillna(last)).head(_STRIP_ROWS)
        strips = [self.read_clip(clip_id, size_px=_STRIP_PX)[::2].transpose(2, 0, 3, 1) for clip_id in clips["clip_id"]]
        if not strips:
            return None
        rows = [np.reshape(strip, (_STRIP_PX, -1, 3)) for strip in strips]  # (H, T, W, C) -> (H, T * W, C)
        return np.ascontiguousarray(np.concatenate(rows))

    def read_clip(
        self, clip_id: str, *, num_frames: int = CLIP_FRAMES, size_px: int = 224, resize: ResizeRule = "auto"
    ) -> npt.NDArray[np.uint8]:
        """Return the test frames of a clip as (num_frames, 3, size, size) uint8 RGB, resized by a named rule.

        Raises UsageError for a clip that is unknown or has no faces, and for another number than the 16 that a dataset
        prepared with `--store clips16` holds; CorruptShardError for damaged bytes.
        """
        reader, row = self._reader_of(clip_id)
        indices = self._test_frames(reader, row, num_frames)
        frames = np.empty((len(indices), size_px, size_px, 3), np.uint8)
        reader.read_frames(row, indices, frames, clip_id=clip_id, resize=resize)
        return frames.transpose(0, 3, 1, 2).copy()  # (T, H, W, C) -> (T, C, H, W)

    def test_frames(self, clip_id: str, *, num_frames: int = CLIP_FRAMES) -> list[int]:
        """Return the numbers of the stored frames that `read_clip` returns; raises UsageError as it does."""
        return self._test_frames(*self._reader_of(clip_id), num_frames)

    def _test_frames(self, reader: ShardReader, row: int, num_frames: int) -> list[int]:
        """Return the stored frames that the default sampler tests on. UsageError for a number that is not stored."""
        if num_frames == CLIP_FRAMES:
            return list(map(int, reader.clip16_index(row)))
        if reader.store == "clips16":
            raise UsageError(
                f"{self.root} holds {CLIP_FRAMES} frames per clip, not {num_frames}; prepare with --store frames"
            )
        sampler(DEFAULT_SAMPLER, clip_frames=num_frames)  # checks the number
        return list(map(int, frames_of_clip(reader.num_frames(row), part="test", clip_frames=num_frames)[0]))


def open_dataset(root: Path | str) -> PreparedDataset:
    """Open a prepared dataset and check its small files; see PreparedDataset."""
    return PreparedDataset(root)
