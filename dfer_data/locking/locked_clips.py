"""Make the clips of a source again from what a lock says of them: decode, warp, encode, and check every picture.

The lock takes the place of detection and tracking. Warping and encoding are those of `prepare`, so the same source and
the same packages give the same bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np

from dfer_data.config import PrepareConfig
from dfer_data.detect.registry import detector_spec
from dfer_data.draw.contact_sheet import THUMBNAIL_PX
from dfer_data.errors import VideoError
from dfer_data.faces.aligned_faces import Face, FaceMaker
from dfer_data.faces.clip import Clip, ClipFacts, Failure, Rival, TracksLeftOut
from dfer_data.faces.pipeline import portrait_template, rival_in
from dfer_data.faces.second_pass import SecondPass
from dfer_data.faces.shipped_crops import clip_of_crops
from dfer_data.faces.track_filter import LeftOutTrack
from dfer_data.frame_sampling import baked_frames
from dfer_data.locking.lock_file import Lock, LockedFrames, read_lock
from dfer_data.locking.lock_header import LockedClip, LockedFailure, LockedVideo
from dfer_data.locking.name_mask import unmasked
from dfer_data.locking.picture_hash import SAME_BITS, num_different_bits, picture_hash
from dfer_data.sources.base import SourceVideo
from dfer_data.types import Frame, FrameFlag, FrameRecord

DIFFERENT = "DIFFERENT"
"""Ledger code of a clip whose source does not show the pictures of the lock."""
_GREY = 60
_FOUND = int(FrameFlag.DETECTED | FrameFlag.BETWEEN_KEYFRAMES | FrameFlag.GAP_FILLED)
_Result = Clip | Failure | TracksLeftOut


class LockedSources:
    """The videos of a lock by their place in the shards, for the workers of a rebuild."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._first: list[int] = np.cumsum([0, *lock.header.shards]).tolist()
        self._frames: dict[str, list[range]] = {}
        for video, _, frames in lock.clips():
            self._frames.setdefault(video.key, []).append(frames)

    def video(self, shard: int, position: int) -> LockedVideo:
        """Return the video at a position of a shard."""
        return self._lock.header.videos[self._first[shard] + position]

    def frames(self, locked: LockedVideo) -> list[LockedFrames]:
        """Return the frames of each clip of a video."""
        return [self._lock.frames(part.start, part.stop) for part in self._frames.get(locked.key, ())]


@lru_cache(maxsize=1)
def locked_sources(path: Path) -> LockedSources:
    """Open the lock of a run; a process opens it once."""
    return LockedSources(read_lock(path))


def told_by_lock(locked: LockedVideo, video: SourceVideo) -> Iterator[Failure | TracksLeftOut]:
    """Yield what needs no pictures: clips that failed, and tracks that make no clip."""
    for failure in locked.failures:
        yield Failure(video.clip_id + failure.suffix, _error(failure, video))
    for suffix, tracks in groupby(locked.left_out, key=lambda track: track.suffix):
        rows = (track.model_dump(exclude={"suffix"}) for track in tracks)
        left_out = tuple(LeftOutTrack(**{**row, "reasons": tuple(row["reasons"])}) for row in rows)
        yield TracksLeftOut(video.clip_id + suffix, left_out)


def clips_of_lock(
    path: Path,
    video: SourceVideo,
    locked: LockedVideo,
    frames: Sequence[LockedFrames],
    *,
    config: PrepareConfig,
    on_progress: Callable[[int, int], None] = lambda num_frames, num_expected: None,
) -> Iterator[_Result]:
    """Yield each clip of a video as the lock has it; consume the faces of a clip before you take the next clip.

    `frames`: those of each clip. Taking a face raises VideoError DIFFERENT where the source shows another picture, and
    what decoding raises. Raises VideoError when nothing of the source can be used, OSError, MemoryError.
    """
    hint = f"get the file with {right_file(locked)}, then `--retry-code {DIFFERENT}`"
    if config.detector == "none":
        for clip, rows in zip(locked.clips, frames, strict=True):
            yield _of_crops(path, video, clip, rows, config=config, hint=hint)
        return
    maker = FaceMaker(config, scheme=detector_spec(config.detector).scheme)
    num_expected = max((int(rows["frame_index"][-1]) + 1 for rows in frames), default=0)
    num_decoded = 0

    def advance() -> None:
        on_progress(num_decoded, num_expected)

    def counted(decoded: Iterator[Frame]) -> Iterator[Frame]:
        nonlocal num_decoded
        for frame in decoded:
            num_decoded = max(num_decoded, frame.index + 1)
            yield frame

    with SecondPass(path, config, on_progress=advance) as decoder:
        for clip, rows in zip(locked.clips, frames, strict=True):
            try:
                rivals = _rivals(clip, decoder, maker, config, hint=hint)
            except VideoError as error:
                yield Failure(video.clip_id + clip.suffix, error)
                continue
            decoded = counted(decoder.frames(_first_frame(clip, rows, config)))
            faces = _checked(_faces(clip, rows, decoded, maker, config, hint=hint), rows, config, hint=hint)
            yield Clip(_facts(clip, video), faces, rivals, clip.drift, scale=clip.scale)
        advance()


def right_file(locked: LockedVideo) -> str:
    """Return the hash and size by which a user recognises the file of a video."""
    return f"sha256 {locked.sha256} ({locked.num_bytes} bytes)"


def _of_crops(
    path: Path, video: SourceVideo, clip: LockedClip, rows: LockedFrames, *, config: PrepareConfig, hint: str
) -> Clip | Failure:
    """Return the clip of shipped crops."""
    try:
        crops = clip_of_crops(path, video, config=config)
        if crops.facts.num_frames != clip.num_frames:
            number = crops.facts.num_frames
            raise VideoError(DIFFERENT, f"it has {number} pictures, the lock has {clip.num_frames}", hint=hint)
    except VideoError as error:
        return Failure(video.clip_id + clip.suffix, error)
    return Clip(_facts(clip, video), _checked(crops.faces, rows, config, hint=hint))


def _checked(faces: Iterator[Face], rows: LockedFrames, config: PrepareConfig, *, hint: str) -> Iterator[Face]:
    """Yield faces; VideoError DIFFERENT for one that is neither the picture of the lock nor the same to the eye."""
    row_of = {int(number): row for row, number in reversed(list(enumerate(rows["frame_index"])))}
    for face in faces:
        number = face.record.frame_index
        row = row_of.get(number)
        if row is not None and zlib.crc32(face.payload) != int(rows["crc32"][row]):
            bits = num_different_bits(picture_hash(face.payload, config), int(rows["picture_hash"][row]))
            if bits > SAME_BITS:
                message = (
                    f"frame {number} shows another picture than the lock has ({bits} of 64 bits of its hash differ)"
                )
                raise VideoError(DIFFERENT, message, frame=number, hint=hint)
        yield face


def _error(failure: LockedFailure, video: SourceVideo) -> VideoError:
    message, hint = (unmasked(text, clip_id=video.clip_id, path=video.path) for text in (failure.message, failure.hint))
    return VideoError(failure.code, message, frame=failure.frame, hint=hint)


def _facts(clip: LockedClip, video: SourceVideo) -> ClipFacts:
    kept = {"suffix", "status", "reason", "drift", "rivals", "scale", "portrait_places"}
    return ClipFacts(
        clip_id=video.clip_id + clip.suffix,
        is_partial=clip.status == "partial",
        reason=unmasked(clip.reason, clip_id=video.clip_id, path=video.path),
        **clip.model_dump(exclude=kept),
    )


def _first_frame(clip: LockedClip, rows: LockedFrames, config: PrepareConfig) -> int:
    """Return the first frame of a clip, of which `clips16` stores only those that are tested."""
    first = int(rows["frame_index"][0])
    return first - int(baked_frames(clip.num_frames)[0]) if config.store == "clips16" else first


def _rivals(
    clip: LockedClip, decoder: SecondPass, maker: FaceMaker, config: PrepareConfig, *, hint: str
) -> tuple[Rival, ...]:
    """Return the other faces that a clip could be about; grey where the lock does not say where they are."""
    places = clip.portrait_places
    if places is None:
        grey = np.full((THUMBNAIL_PX, THUMBNAIL_PX, 3), _GREY, np.uint8)
        return tuple(Rival(track, grey, None, np.zeros((5, 2), np.float32)) for track in clip.rivals)
    template = portrait_template(maker.scheme, config)
    rivals = {}
    for position, place in sorted(enumerate(places), key=lambda item: item[1][0]):
        frame = next(decoder.frames(int(place[0])), None)
        if frame is None or frame.index != int(place[0]):
            raise VideoError(DIFFERENT, f"frame {int(place[0])} is missing, which shows another face", hint=hint)
        landmarks = np.array(place[1:], np.float32).reshape(5, 2)
        rivals[position] = rival_in(frame, clip.rivals[position], landmarks, template)
    return tuple(rivals[position] for position in sorted(rivals))


def _faces(
    clip: LockedClip,
    rows: LockedFrames,
    frames: Iterator[Frame],
    maker: FaceMaker,
    config: PrepareConfig,
    *,
    hint: str,
) -> Iterator[Face]:
    """Yield the faces of a clip, warped as in the lock; with `clips16`, frames that are not stored have no payload."""
    corners = maker.smoothed(rows["box"], rows["landmarks"])[:, 5:]
    points = np.concatenate([rows["landmarks"], corners], axis=1)
    matrices = maker.matrices(points, scale=clip.scale)
    decoded = -1
    for number, row in _frame_numbers(clip, rows, config):
        for frame in frames:
            decoded = frame.index
            if frame.index >= number:
                break
        if decoded != number:
            raise VideoError(DIFFERENT, f"frame {number} is missing: the video ends earlier", frame=number, hint=hint)
        if row is None:
            yield Face(b"", FrameRecord(number, frame.pts_seconds, np.zeros(4, np.float32), points[0, :5], 0.0, 0))
            continue
        values = rows[row]
        yield maker.face(
            frame,
            matrices[row],
            points[row, :5],
            box=values["box"],
            score=float(values["score"]),
            flag=int(values["flags"]) & _FOUND,
        )


def _frame_numbers(clip: LockedClip, rows: LockedFrames, config: PrepareConfig) -> Iterator[tuple[int, int | None]]:
    """Yield each frame of a clip in the source with its row; None for a frame that `clips16` does not store."""
    if config.store == "frames":
        yield from ((int(number), row) for row, number in enumerate(rows["frame_index"]))
        return
    row_of = {index: row for row, index in reversed(list(enumerate(baked_frames(clip.num_frames).tolist())))}
    first = _first_frame(clip, rows, config)
    yield from ((first + index, row_of.get(index)) for index in range(clip.num_frames))
