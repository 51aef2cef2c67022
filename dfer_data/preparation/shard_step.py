"""The second step of `prepare`: the finished videos of a shard to its files.

A pure function of the videos and the config. A shard, its contact sheet and its sidecar appear whole (target.py); the
sidecar is written last and marks the shard as done.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from dfer_data.draw.contact_sheet import ContactSheet
from dfer_data.preparation.tasks import ShardTask, Workplace, spool_stem
from dfer_data.shards.audio_writer import write_audio
from dfer_data.shards.clip_hash import joined_hashes
from dfer_data.shards.layout import (
    AUDIO_SUFFIX,
    FORMAT_VERSION,
    PREVIEW,
    SHARDS,
    audio_name,
    shard_name,
    sidecar_name,
)
from dfer_data.shards.sidecar import read_sidecar, sidecar_sha256
from dfer_data.shards.staging import StagedVideo, read_staged
from dfer_data.shards.writer import write_shard
from dfer_data.storage.files import canonical_json
from dfer_data.wording import counted


def commit_shard(task: ShardTask, place: Workplace, *, on_progress: Callable[[], None] = lambda: None) -> None:
    """Assemble the finished videos of a shard; move shard, sheet and, last, the sidecar into place.

    Unfinished files are in `place.out.work`. Does nothing if the shard is already done. Raises OSError when the disk
    fails, LockedError when another run now holds the place, RemoteError.
    """
    place.out.confirm()
    if read_sidecar(place.out, task.number) is not None:
        return
    name, out, work = shard_name(task.number), place.out, place.out.work
    videos = [read_staged(spool_stem(place, video)) for video in task.tasks]
    sheet = _contact_sheet(videos)
    shard = work / f"{name}.safetensors"
    config = place.config
    file = write_shard(shard, videos, store=config.store, size_px=config.size_px, on_progress=on_progress)
    clips = [clip for video in videos for clip in video.clips]
    facts = asdict(file)
    hashes = facts.pop("clip_sha256")
    audio = work / f"{name}{AUDIO_SUFFIX}"
    if config.audio:
        facts["audio"] = asdict(write_audio(audio, videos, on_progress=on_progress))
        hashes = joined_hashes(hashes, facts["audio"].pop("clip_sha256"))
    sidecar: dict[str, Any] = {
        "format": "dfer-shard-sidecar",
        "format_version": FORMAT_VERSION,
        "shard": name,
        **facts,
        "preview": {"num_bytes": len(sheet), "sha256": hashlib.sha256(sheet).hexdigest()},
        "clips": [clip | {"row": row, "sha256": hashes[row]} for row, clip in enumerate(clips)],
        "failures": [failure for video in videos for failure in video.failures],
    }
    if left_out := [track for video in videos for track in video.left_out]:
        sidecar["left_out"] = left_out
    sidecar["sidecar_sha256"] = sidecar_sha256(sidecar)
    out.put_file(f"{SHARDS}/{name}.safetensors", shard, on_progress=on_progress)
    if config.audio:
        out.put_file(audio_name(task.number), audio, on_progress=on_progress)
    out.put(f"{PREVIEW}/{name}.jpg", sheet)
    out.sync(SHARDS)  # the shard's name is on disk before its sidecar
    out.put(sidecar_name(task.number), canonical_json(sidecar))
    out.sync(SHARDS)
    for path in (shard, audio):
        path.unlink(missing_ok=True)
    shutil.rmtree(place.work / name, ignore_errors=True)  # there is none for a shard without videos


def _contact_sheet(videos: list[StagedVideo]) -> bytes:
    sheet = ContactSheet()
    for video in videos:
        for clip, thumbnails in zip(video.clips, video.thumbnails(), strict=True):
            note = counted(clip["num_frames"], "frame") + (" partial" if clip["status"] == "partial" else "")
            rivals = clip["rivals"]
            note += f", track {clip['track']}" if rivals else ""
            faces = len(thumbnails) - len(rivals)
            sheet.add_clip(str(clip["clip_id"]), thumbnails[:faces], note=note)
            if rivals:
                sheet.add_rivals(dict(zip(rivals, thumbnails[faces:], strict=True)))
        for failure in video.failures:
            sheet.add_failure(str(failure["clip_id"]), str(failure["code"]))
    return sheet.encode()
