"""The first step of `prepare`: one video to finished faces in the spool; pure in the video and the config."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from dfer_data.config import PrepareConfig
from dfer_data.detect.base import Detector
from dfer_data.draw.contact_sheet import NUM_COLUMNS, thumbnail
from dfer_data.errors import VideoError
from dfer_data.faces.aligned_faces import decode
from dfer_data.faces.clip import Clip, Failure, TracksLeftOut
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.faces.shipped_crops import clip_of_crops
from dfer_data.frame_sampling import baked_frames
from dfer_data.locking.locked_clips import clips_of_lock, locked_sources, right_file, told_by_lock
from dfer_data.preparation.clip_audio import cut_audio
from dfer_data.preparation.clip_remarks import clip_remarks
from dfer_data.preparation.donors import portrait_of, portrait_text, take_over
from dfer_data.preparation.source_file import (
    exists_in_source,
    pictures_sha256,
    reading,
    refuse_lost_source,
    refuse_new_bytes,
    source_file_sha256,
    stamp_of,
)
from dfer_data.preparation.tasks import OnFrames, VideoDone, VideoTask, Workplace, spool_stem
from dfer_data.shards.staging import StagingWriter
from dfer_data.sources.base import SourceVideo
from dfer_data.video.audio_track import AudioTrack


def make_video(
    task: VideoTask,
    place: Workplace,
    *,
    detector: Detector | None,
    on_progress: OnFrames = lambda num_frames, num_expected: None,
) -> VideoDone:
    """Make the faces of one video and leave them in the spool; its faults become ledger rows there.

    Raises OSError when the disk fails, MemoryError.
    """
    cv2.setNumThreads(1)
    if task.donor:
        place.out.confirm()
        stem = spool_stem(place, task)
        taken = take_over(place.out, task.donor, task.video.clip_id, stem, config=place.config, on_progress=on_progress)
        return VideoDone(task.video.clip_id, *taken)
    video, codes, num_stored, num_decoded, num_expected = task.video, [], 0, 0, 0
    clips: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []

    def advance(frames_so_far: int, frames_expected: int) -> None:
        nonlocal num_decoded, num_expected
        num_decoded, num_expected = frames_so_far, frames_expected
        try:
            on_progress(frames_so_far, frames_expected)
        except OSError as error:  # a fault of the output, which must not pass for one of the source
            raise _ReportError(error) from error

    def beat() -> None:
        advance(num_decoded, num_expected)

    stem, config = spool_stem(place, task), place.config
    with contextlib.ExitStack() as stack:
        stack.enter_context(_reports_raised())
        spool = stack.enter_context(StagingWriter(stem, has_audio=config.audio))
        sound = None
        if config.audio and config.detector != "none":
            sound = stack.enter_context(AudioTrack(place.source / video.path, folder=stem.parent, on_progress=beat))
        for result in _results(task, place, detector=detector, on_progress=advance):
            if _id_of(result) in place.excluded:
                continue
            if isinstance(result, TracksLeftOut):
                left_out += _left_out_rows(result, video)
                continue
            if isinstance(result, Failure) and result.error.code == "CHANGED_SOURCE":
                spool.discard()  # its clips may be of two files
                clips, left_out, num_stored = [], [], 0
                failures = [row for row in failures if row["message"] == result.error.message]
                codes = [row["code"] for row in failures]
            row = result if isinstance(result, Failure) else _store(result, video, spool, sound, config=config)
            if isinstance(row, Failure):
                failures.append(_failure_row(row, video))
                codes.append(row.error.code)
            else:
                clips.append(row)
                codes.append(str(row["status"]))
                num_stored += int(row["num_source_frames"])
        spool.finish(clips=clips, failures=failures, left_out=left_out)
    return VideoDone(video.clip_id, num_decoded or num_stored, tuple(codes))  # shipped crops report none


def give_up_video(task: VideoTask, place: Workplace, error: VideoError) -> VideoDone:
    """Leave a ledger row in the spool for a video that could not be processed."""
    with StagingWriter(spool_stem(place, task), has_audio=place.config.audio) as spool:
        failure = _failure_row(Failure(task.video.clip_id, error), task.video)
        spool.finish(clips=[], failures=[failure])
    return VideoDone(task.video.clip_id, 0, (error.code,))


def _results(
    task: VideoTask, place: Workplace, *, detector: Detector | None, on_progress: OnFrames
) -> Iterator[tuple[Clip, str] | Failure | TracksLeftOut]:
    """Yield the clips of a video with the hash of its file; a fault of the video becomes a Failure."""
    video, path = task.video, place.source / task.video.path
    clip_ids, sources, locked = [video.clip_id], None, None
    if place.lock is not None:
        sources = locked_sources(place.lock)
        locked = sources.video(task.shard, task.position)
        yield from told_by_lock(locked, video)
        clip_ids = [video.clip_id + clip.suffix for clip in locked.clips]
        if not clip_ids:
            return
    try:
        if not video.path or not exists_in_source(path):
            if video.path:
                refuse_lost_source(place.source)
            raise VideoError(
                "MISSING_VIDEO",
                f"no file for clip {video.clip_id}",
                hint="restore the file, or unzip the part it is in"
                + (f"; it has {right_file(locked)}" if locked is not None else ""),
            )
        stamp = stamp_of(path)
        hashed = partial(source_file_sha256, path, video, on_progress=on_progress)
        sha256 = pictures_sha256(path) if place.config.detector == "none" else hashed()
        if sources is not None and locked is not None:
            frames = sources.frames(locked)
            results = clips_of_lock(path, video, locked, frames, config=place.config, on_progress=on_progress)
        else:
            results = _made(path, video, place, detector=detector, on_progress=on_progress)
        for result in reading(results, path):
            if isinstance(result, Clip):
                yield replace(result, faces=reading(result.faces, path)), sha256
            else:
                yield result
        refuse_new_bytes(path, before=stamp, sha256=sha256)
    except VideoError as error:
        yield from (Failure(clip_id, error) for clip_id in clip_ids)


def _id_of(result: tuple[Clip, str] | Failure | TracksLeftOut) -> str:
    return result[0].facts.clip_id if isinstance(result, tuple) else result.clip_id


def _made(
    path: Path, video: SourceVideo, place: Workplace, *, detector: Detector | None, on_progress: OnFrames
) -> Iterator[Clip | Failure | TracksLeftOut]:
    if detector is None:
        yield clip_of_crops(path, video, config=place.config)
    else:
        yield from clips_of_video(path, video, config=place.config, detector=detector, on_progress=on_progress)


class _ReportError(Exception):
    """A report of progress failed; its argument is the OSError."""


@contextlib.contextmanager
def _reports_raised() -> Iterator[None]:
    """Raise the OSError of a report of progress again."""
    try:
        yield
    except _ReportError as error:
        raise error.args[0] from error


def _store(
    hashed_clip: tuple[Clip, str],
    video: SourceVideo,
    spool: StagingWriter,
    sound: AudioTrack | None,
    *,
    config: PrepareConfig,
) -> dict[str, Any] | Failure:
    """Write a clip's faces and sound; return its sidecar row, or the failure if the source breaks on the second read.

    A fault of the sound is noted in the row: it costs no clip.
    """
    clip, sha256 = hashed_clip
    facts, times = clip.facts, []
    sound_columns: dict[str, str] = {}
    test_frames = baked_frames(facts.num_frames).tolist()
    try:
        with spool.clip():
            for index, face in enumerate(clip.faces):
                times.append(face.record.pts_seconds)
                if index in test_frames[:: len(test_frames) // NUM_COLUMNS]:
                    spool.add_thumbnail(thumbnail(decode(face.payload, config)))
                repeats = (
                    1 if config.store == "frames" else test_frames.count(index)
                )  # a short clip repeats its last frame
                for _ in range(repeats):
                    spool.add(face.payload, face.record)
            portraits = [portrait_text(rival.portrait) for rival in clip.rivals]
            for portrait in portraits:
                spool.add_thumbnail(portrait_of(portrait))
            if config.audio:
                audio = cut_audio(
                    sound,
                    times,
                    fps=facts.fps,
                    duration_seconds=facts.duration_seconds,
                    times_fall=clip.times_fall,
                )
                spool.add_audio(audio.samples, audio.facts)
                sound_columns = audio.columns
    except VideoError as error:
        return Failure(facts.clip_id, error)
    columns = asdict(facts)
    del columns["is_partial"]
    remarks = clip_remarks(hdr=clip.hdr, tone_map=config.tone_map, turn_degrees=clip.turn_degrees)
    columns["reason"] = "; ".join(filter(None, (facts.reason, *remarks)))
    status = "partial" if facts.is_partial else "ok"
    origin = {"source_clip_id": video.clip_id, "source": video.path, "source_sha256": sha256}
    doubts = {"rivals": [rival.track for rival in clip.rivals], "drift": clip.drift}
    columns |= origin | {"status": status} | doubts | sound_columns
    columns |= {} if clip.scale is None else {"scale": clip.scale}
    if portraits:
        columns |= {"portraits": portraits}
        places = [[rival.frame_index, *rival.landmarks.ravel().tolist()] for rival in clip.rivals]
        columns |= {} if any(place[0] is None for place in places) else {"portrait_places": places}
    return columns


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
        "retryable": error.is_retryable,
    }


def _left_out_rows(left_out: TracksLeftOut, video: SourceVideo) -> list[dict[str, Any]]:
    """Return a row per track that makes no clip."""
    return [
        {"clip_id": left_out.clip_id, "source_clip_id": video.clip_id, **asdict(track)} for track in left_out.tracks
    ]
