"""Clips that are stored already: find them in finished shards, and take them over without decoding their video.

A shard that must change is moved to the folder `donors`, and made anew from there. The folder goes once all shards of
the plan are finished.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg

from dfer_data.config import PrepareConfig
from dfer_data.draw.contact_sheet import NUM_COLUMNS, THUMBNAIL_PX, thumbnail
from dfer_data.errors import CorruptDataError
from dfer_data.faces.aligned_faces import decode
from dfer_data.frame_sampling import baked_frames
from dfer_data.shards.audio_reader import AudioReader
from dfer_data.shards.layout import AUDIO_SUFFIX, DONORS, PREVIEW, SHARDS, audio_name, shard_name, sidecar_name
from dfer_data.shards.reader import ShardReader
from dfer_data.shards.sidecar import checked_sidecar, finished_sidecars, sidecar_sha256
from dfer_data.shards.staging import StagingWriter
from dfer_data.storage.base import Target
from dfer_data.storage.changeset import Changeset
from dfer_data.storage.files import canonical_json
from dfer_data.types import FrameRecord, Image

Sidecar = Mapping[str, Any]
_PORTRAIT_QUALITY = 90
_KINDS = ("clips", "failures", "left_out")


@dataclass(frozen=True)
class RowChange:
    """How the rows of stored clips change: ids of videos that were renamed, and what is dropped."""

    new_ids: Mapping[str, str]
    """Id of a video -> its new id, where it has one."""
    paths: Mapping[str, str]
    """New id of a renamed video -> its path below the source folder."""
    dropped_videos: Container[str] = ()
    """Old ids of videos whose clips are not taken over."""
    dropped_clips: Container[str] = ()
    """Ids of single clips that are not taken over."""

    def touches(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row of a sidecar changes."""
        video = row["source_clip_id"]
        return video in self.new_ids or video in self.dropped_videos or row["clip_id"] in self.dropped_clips

    def rows(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the rows that remain, with their new ids."""
        for row in rows:
            video = row["source_clip_id"]
            if video in self.dropped_videos or row["clip_id"] in self.dropped_clips:
                continue
            if video in self.new_ids:
                new_id = self.new_ids[video]
                changed = {"source_clip_id": new_id, "clip_id": new_id + row["clip_id"].removeprefix(video)}
                yield row | changed | ({"source": self.paths[new_id]} if "source" in row else {})
            else:
                yield row


def video_ids(sidecar: Sidecar) -> set[str]:
    """Return the ids of the videos with a clip, a failure or a track left out in a shard."""
    return {str(row["source_clip_id"]) for kind in _KINDS for row in sidecar.get(kind, ())}


def donor_sidecars(out: Target) -> dict[str, dict[str, Any]]:
    """Return the sidecars of the shards in `donors`, by the path of the shard without suffix."""
    sizes = out.listing(DONORS)
    names = sorted(name for name in sizes if name.endswith(".json"))
    found = {}
    for name, content in zip(names, out.read_all([f"{DONORS}/{name}" for name in names]), strict=True):
        stem = name.removesuffix(".json")
        audio_bytes = sizes.get(f"{stem}{AUDIO_SUFFIX}")
        sidecar = checked_sidecar(
            content, sizes.get(f"{stem}.safetensors"), has_sheet=False, num_audio_bytes=audio_bytes
        )
        if sidecar is not None:
            found[f"{DONORS}/{stem}"] = sidecar
    return found


def donors_of_videos(out: Target) -> dict[str, str]:
    """Return the id of each video whose clips can be taken over -> the path of the donor without suffix."""
    return {video: stem for stem, sidecar in donor_sidecars(out).items() for video in video_ids(sidecar)}


def give_up_shards(out: Target, changes: Changeset, change: RowChange, *, all_shards: bool = False) -> int:
    """Add to a set of changes: shards with rows that change become donors, with the changed rows; return their number.

    Donors that are there already change as well. `all_shards`: all shards become donors, as for another layout.
    """
    for stem, sidecar in donor_sidecars(out).items():
        if _is_touched(sidecar, change):
            changes.put(f"{stem}.json", _changed(sidecar, change))
    number_given = 0
    for number, sidecar in finished_sidecars(out).items():
        if not all_shards and not _is_touched(sidecar, change):
            continue
        name = shard_name(number)
        stem = f"{DONORS}/{sidecar['sha256'][:24]}-{name}"
        changes.move(f"{SHARDS}/{name}.safetensors", f"{stem}.safetensors")
        if "audio" in sidecar:
            changes.move(audio_name(number), f"{stem}{AUDIO_SUFFIX}")
        changes.put(f"{stem}.json", _changed(sidecar, change))
        changes.remove(sidecar_name(number), f"{PREVIEW}/{name}.jpg")
        number_given += 1
    return number_given


def _is_touched(sidecar: Sidecar, change: RowChange) -> bool:
    return any(change.touches(row) for kind in _KINDS for row in sidecar.get(kind, ()))


def _changed(sidecar: Sidecar, change: RowChange) -> bytes:
    rows = {kind: list(change.rows(sidecar[kind])) for kind in _KINDS if kind in sidecar}
    body = {**sidecar, **rows}
    return canonical_json({**body, "sidecar_sha256": sidecar_sha256(body)})


def portrait_text(portrait: Image) -> str:
    """Return a (96, 96, 3) uint8 RGB portrait as text for a sidecar: a JPEG in base64."""
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(portrait), quality=_PORTRAIT_QUALITY)
    return base64.b64encode(jpeg).decode("ascii")


def portrait_of(text: str) -> Image:
    """Return the (96, 96, 3) uint8 RGB portrait in a sidecar."""
    return np.asarray(simplejpeg.decode_jpeg(base64.b64decode(text)), np.uint8)


def take_over(
    out: Target,
    donor: str,
    video_id: str,
    stem: Path,
    *,
    config: PrepareConfig,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, tuple[str, ...]]:
    """Stage the clips of a video from a donor; return their number of frames, and status or code of each clip.

    Raises CorruptDataError for changed bytes in the donor, OSError when the disk fails.
    """
    sidecar = _donor_sidecar(out, donor)
    rows = {kind: [row for row in sidecar.get(kind, ()) if row["source_clip_id"] == video_id] for kind in _KINDS}
    if not any(rows.values()):
        raise CorruptDataError(f"{out}/{donor}.json no longer has {video_id}; run the same command again")
    reader = _donor_reader(out, donor, **_index(sidecar))
    audio = _donor_audio(out, donor, **_index(sidecar["audio"])) if config.audio else None
    clips, num_frames = [], 0
    with StagingWriter(stem, has_audio=config.audio) as staging:
        for row in rows["clips"]:
            with staging.clip():
                _stage_clip(reader, row, staging, config=config)
                if audio is not None:
                    _stage_audio(audio, row, staging)
            num_frames += reader.num_frames(int(row["row"]))
            on_progress(num_frames, 0)
            clips.append({name: value for name, value in row.items() if name not in ("row", "sha256")})
        staging.finish(clips=clips, failures=rows["failures"], left_out=rows["left_out"])
    return num_frames, (*(str(clip["status"]) for clip in clips), *(str(row["code"]) for row in rows["failures"]))


def _stage_clip(reader: ShardReader, row: Mapping[str, Any], staging: StagingWriter, *, config: PrepareConfig) -> None:
    """Stage the frames of a clip with their measurements, and the cells of the contact sheet."""
    number, clip_id = int(row["row"]), str(row["clip_id"])
    begin = int(reader.clip_offsets[number])
    shown = _shown_frames(int(row["num_frames"]), is_baked=reader.store == "clips16")
    for index in range(reader.num_frames(number)):
        payload = reader.jpeg(number, index, clip_id=clip_id).tobytes()
        place = begin + index
        record = FrameRecord(
            int(reader.tensor("frame_index")[place]),
            float(reader.tensor("pts_seconds")[place]),
            reader.tensor("box")[place],
            reader.tensor("landmarks")[place],
            float(reader.tensor("score")[place]),
            int(reader.tensor("flags")[place]),
        )
        if index in shown:
            staging.add_thumbnail(thumbnail(decode(payload, config)))
        staging.add(payload, record)
    grey = np.full((THUMBNAIL_PX, THUMBNAIL_PX, 3), 60, np.uint8)
    portraits = row.get("portraits", ())
    for position in range(len(row["rivals"])):
        staging.add_thumbnail(portrait_of(portraits[position]) if position < len(portraits) else grey)


def _stage_audio(reader: AudioReader, row: Mapping[str, Any], staging: StagingWriter) -> None:
    """Stage the sound of a clip with its numbers."""
    number = int(row["row"])
    samples = reader.samples(number, clip_id=str(row["clip_id"]))
    facts = {name: None if math.isnan(value) else value for name, value in reader.facts(number).items()}
    staging.add_audio(samples, facts | {"num_samples": len(samples)})


def _shown_frames(num_frames: int, *, is_baked: bool) -> set[int]:
    """Return the stored frames that a contact sheet shows; `is_baked`: only the 16 test frames are stored."""
    test_frames = baked_frames(num_frames).tolist()
    shown = set(test_frames[:: len(test_frames) // NUM_COLUMNS])
    return {test_frames.index(index) for index in shown} if is_baked else shown


@lru_cache(maxsize=8)
def _donor_sidecar(out: Target, donor: str) -> Sidecar:
    sizes = (out.size(f"{donor}.safetensors"), out.size(f"{donor}{AUDIO_SUFFIX}"))
    sidecar = checked_sidecar(out.read(f"{donor}.json"), sizes[0], has_sheet=False, num_audio_bytes=sizes[1])
    if sidecar is None:
        raise CorruptDataError(f"{out}/{donor}.json was changed; run `dfer prepare --force` to begin again")
    return sidecar


@lru_cache(maxsize=8)
def _donor_reader(out: Target, donor: str, index_bytes: int, index_crc32: int) -> ShardReader:
    source = out.shard_bytes(f"{donor}.safetensors")
    return ShardReader(source, index_bytes=index_bytes, index_crc32=index_crc32)


@lru_cache(maxsize=8)
def _donor_audio(out: Target, donor: str, index_bytes: int, index_crc32: int) -> AudioReader:
    source = out.shard_bytes(f"{donor}{AUDIO_SUFFIX}")
    return AudioReader(source, index_bytes=index_bytes, index_crc32=index_crc32)


def _index(facts: Mapping[str, Any]) -> dict[str, int]:
    """Return length and CRC-32 of an index."""
    return {name: int(facts[name]) for name in ("index_bytes", "index_crc32")}
