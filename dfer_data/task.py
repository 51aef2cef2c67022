"""One shard from its videos to its files: a pure function of the videos and the config.

The shard, its contact sheet and its sidecar are written aside, synced and renamed; the sidecar comes last and is the
mark that the shard is done.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import simplejpeg

from dfer_data.config import PrepareConfig, canonical_json
from dfer_data.detect.base import Detector
from dfer_data.errors import VideoError
from dfer_data.pipeline import Clip, Failure, clip_of_crops, clips_of_video, resized
from dfer_data.preview import NUM_COLUMNS, ContactSheet, thumbnail
from dfer_data.sample import segments_test
from dfer_data.shard import FORMAT_VERSION, ShardFile, ShardWriter
from dfer_data.sources.base import SourceVideo
from dfer_data.types import Image

SHARDS, PREVIEW, WORK = "shards", "preview", ".work"


@dataclass(frozen=True)
class ShardTask:
    """What a worker is told about one shard."""

    number: int
    """Its number; the files are called by its five digits."""
    videos: tuple[SourceVideo, ...]
    """In order."""


@dataclass(frozen=True)
class VideoDone:
    """Event: a video has been worked on."""

    clip_id: str
    """Id of the video."""
    num_frames: int
    """Frames decoded."""
    codes: tuple[str, ...]
    """`ok`, `partial` or a ledger code for each of its clips."""


def shard_name(number: int) -> str:
    """Return the stem of a shard's files."""
    return f"{number:05d}"


def sidecar_path(out: Path, number: int) -> Path:
    """Return where the sidecar of a shard lies."""
    return out / SHARDS / f"{shard_name(number)}.json"


def is_done(out: Path, number: int) -> bool:
    """Whether the shard's sidecar is there as it was written, and shard and sheet have the sizes that it gives."""
    name = shard_name(number)
    try:
        sidecar = json.loads(sidecar_path(out, number).read_bytes())
        return bool(
            sidecar["sidecar_sha256"] == _sidecar_sha256(sidecar)
            and (out / SHARDS / f"{name}.safetensors").stat().st_size == sidecar["num_bytes"]
            and (out / PREVIEW / f"{name}.jpg").stat().st_size == sidecar["preview"]["num_bytes"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _sidecar_sha256(sidecar: Mapping[str, Any]) -> str:
    """Hash a sidecar without its own hash: a damaged one must not be taken over into a new dataset.json."""
    body = {key: value for key, value in sidecar.items() if key != "sidecar_sha256"}
    return hashlib.sha256(canonical_json(body)).hexdigest()


def run_task(
    task: ShardTask,
    *,
    source: Path,
    out: Path,
    config: PrepareConfig,
    detector: Detector | None,
    on_event: Callable[[VideoDone], None],
) -> None:
    """Make one shard and commit it. Raises OSError when the disk fails; faults of videos go into the ledger."""
    cv2.setNumThreads(1)
    name = shard_name(task.number)
    sheet, clips, failures = ContactSheet(), [], []
    writer = ShardWriter(out / WORK / f"{name}.spool", store=config.store, size_px=config.size_px)
    with contextlib.closing(writer):
        for video in task.videos:
            codes, num_frames = [], 0
            for result in _results(video, source=source, config=config, detector=detector):
                row = result if isinstance(result, Failure) else _store(result, video, writer, sheet, config=config)
                if isinstance(row, Failure):
                    failures.append(_failure_row(row, video))
                    sheet.add_failure(row.clip_id, row.error.code)
                    codes.append(row.error.code)
                else:
                    clips.append(row)
                    codes.append(str(row["status"]))
                    num_frames += int(row["num_source_frames"])
            on_event(VideoDone(video.clip_id, num_frames, tuple(codes)))
        file = writer.finish(out / WORK / f"{name}.safetensors")
    _commit(out, name, file, sheet.encode(), clips=clips, failures=failures)


def _results(
    video: SourceVideo, *, source: Path, config: PrepareConfig, detector: Detector | None
) -> Iterator[Clip | Failure]:
    """Yield the clips of a video; a fault of the video becomes a Failure."""
    path = source / video.path
    try:
        if not video.path or not path.exists():
            raise VideoError(
                "MISSING_VIDEO",
                f"no file for clip {video.clip_id}",
                hint="restore the file, or unzip the part it is in",
            )
        if detector is None:
            yield clip_of_crops(path, video)
        else:
            yield from clips_of_video(path, video, config=config, detector=detector)
    except VideoError as error:
        yield Failure(video.clip_id, error)


def _store(
    clip: Clip, video: SourceVideo, writer: ShardWriter, sheet: ContactSheet, *, config: PrepareConfig
) -> dict[str, Any] | Failure:
    """Write a clip's faces; return its sidecar row, or the failure if the source breaks on the second look."""
    facts, faces = clip
    test_frames = segments_test(facts.num_frames).tolist()
    thumbnails, row = [], writer.num_clips
    try:
        with writer.clip():
            for index, face in enumerate(faces):
                if index in test_frames[:: len(test_frames) // NUM_COLUMNS]:
                    thumbnails.append(thumbnail(face.image))
                if config.store == "frames":
                    writer.add(face.jpeg or _jpeg(face.image, quality=config.jpeg_quality), face.record)
                    continue
                for _ in range(test_frames.count(index)):  # a short clip repeats its last frame
                    writer.add(resized(face.image, size_px=config.size_px).tobytes(), face.record)
    except VideoError as error:
        return Failure(facts.clip_id, error)
    status = "partial" if facts.is_partial else "ok"
    sheet.add_clip(facts.clip_id, thumbnails, note=f"{facts.num_frames} frames" + (" partial" * facts.is_partial))
    columns = asdict(facts)
    del columns["is_partial"]
    return columns | {"row": row, "source_clip_id": video.clip_id, "source": video.path, "status": status}


def _jpeg(image: Image, *, quality: int) -> bytes:
    return bytes(simplejpeg.encode_jpeg(image, quality=quality, colorsubsampling="420"))


def _failure_row(failure: Failure, video: SourceVideo) -> dict[str, Any]:
    error = failure.error
    return {
        "clip_id": failure.clip_id,
        "source_clip_id": video.clip_id,
        "source": video.path,
        "code": error.code,
        "message": error.message,
        "frame": error.frame,
        "hint": error.hint,
    }


def _commit(
    out: Path, name: str, file: ShardFile, sheet: bytes, *, clips: list[dict[str, Any]], failures: list[dict[str, Any]]
) -> None:
    """Move the shard, the sheet and last the sidecar into place."""
    sidecar: dict[str, Any] = {
        "format": "dfer-shard-sidecar",
        "format_version": FORMAT_VERSION,
        "shard": name,
        **asdict(file),
        "preview": {"num_bytes": len(sheet), "sha256": hashlib.sha256(sheet).hexdigest()},
        "clips": clips,
        "failures": failures,
    }
    sidecar["sidecar_sha256"] = _sidecar_sha256(sidecar)
    (out / WORK / f"{name}.safetensors").replace(out / SHARDS / f"{name}.safetensors")
    write_atomically(out / PREVIEW / f"{name}.jpg", sheet, work=out / WORK)
    sync_folder(out / SHARDS)  # the shard's name is on disk before its mark
    write_atomically(out / SHARDS / f"{name}.json", canonical_json(sidecar), work=out / WORK)
    sync_folder(out / SHARDS)


def write_atomically(path: Path, data: bytes, *, work: Path) -> None:
    """Write a file that appears under its name whole and synced, or not at all; `work` is on the same disk."""
    temporary = work / (path.name + ".part")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
