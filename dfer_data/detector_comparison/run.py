"""Compare detectors on your own videos: each video is decoded once and shown to every detector.

Clips are those of `prepare folder`: at most a minute long, with the same tracking and the same choice of the subject.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from dfer_data.detect.choices import DetectorUnderTest
from dfer_data.detector_comparison.sheets import SheetFolder, SheetFrame
from dfer_data.detector_comparison.totals import ClipRow, DetectorComparison, FrameDetections, Totals, Unread
from dfer_data.errors import UsageError, VideoError
from dfer_data.faces.appearance import described
from dfer_data.faces.pipeline import runs
from dfer_data.faces.subject import choose_subject
from dfer_data.faces.tracker import Tracker
from dfer_data.sources.adapters.folder import list_folder
from dfer_data.sources.base import SourceVideo
from dfer_data.types import Detection, Frame
from dfer_data.video.reader import open_video
from dfer_data.video.shot_cuts import ShotCuts, Transition
from dfer_data.wording import counted

CLIP_SECONDS = 60.0
"""Longer videos are compared in clips of this length."""
_WARM_UP = np.zeros((360, 640, 3), np.uint8)  # the setup that a detector does with its first picture is not timed


def compare_detectors(
    root: Path,
    contestants: Sequence[DetectorUnderTest],
    *,
    every: int = 1,
    limit: int | None = None,
    sheets: Path | None = None,
    on_video: Callable[[int, int], None] = lambda done, total: None,
) -> DetectorComparison:
    """Run detectors over the videos below a folder.

    `every`: detect only every n-th frame. `limit`: at most this many videos, spread over the sorted list. `sheets`: a
    folder for one contact sheet per clip. `on_video` receives the number of videos done and their total. Raises
    UsageError for a folder without videos, OSError where sheets cannot be written.
    """
    if every < 1 or not contestants:
        raise UsageError(f"every is {every} with {counted(len(contestants), 'detector')}; both must be 1 or more")
    videos = videos_of(root, limit=limit)
    folder = SheetFolder(sheets, [contestant.name for contestant in contestants]) if sheets is not None else None
    context = _Context(contestants, Totals(contestants, every=every), every, folder)
    clips: list[ClipRow] = []
    unread: list[Unread] = []
    with _one_thread():
        for contestant in contestants:
            contestant.detector.detect([_WARM_UP])
        for number, video in enumerate(videos):
            on_video(number, len(videos))
            try:
                clips += _rows_of_video(root / video.path, video.clip_id, context)
            except VideoError as error:
                unread.append(Unread(video.path, error.code, "; ".join(filter(None, (error.message, error.hint)))))
    on_video(len(videos), len(videos))
    return DetectorComparison(context.totals.detector_rows(), context.totals.pair_rows(), tuple(clips), tuple(unread))


@dataclass(frozen=True, eq=False)
class _Context:
    """What all clips share."""

    contestants: Sequence[DetectorUnderTest]
    totals: Totals
    every: int
    folder: SheetFolder | None


def videos_of(root: Path, *, limit: int | None = None) -> list[SourceVideo]:
    """Return the videos below a folder, at most `limit` of them, evenly spaced in their sorted list.

    Raises UsageError for a folder that does not exist or holds no videos.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; it must be 1 or more")
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give a folder of videos")
    videos = list_folder(root, layout="videos").videos
    num_videos = min(len(videos), limit or len(videos))
    return [videos[i * len(videos) // num_videos] for i in range(num_videos)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run OpenCV on one thread, as workers do, so that the times are those of one core."""
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(num_threads)


def _rows_of_video(path: Path, video_id: str, context: _Context) -> Iterator[ClipRow]:
    """Yield the rows of a video's clips; raise VideoError when no frame can be decoded."""
    with open_video(path) as reader:
        clip: _Clip | None = None
        number = 0
        for slot, run in runs(reader.frames(), clip_seconds=CLIP_SECONDS):
            if clip is not None and slot != clip.slot:
                yield clip.finish(f"{video_id}#{number:04d}", is_partial=False)
                clip, number = None, number + 1
            if clip is None:
                clip = _Clip(context, run[0], slot=slot)
            clip.add(run)
        if clip is None:
            reason = reader.decode_error or "it holds no frames"
            raise VideoError("NO_FRAMES", f"{path.name}: no frame could be decoded: {reason}", hint="convert it again")
        clip_id = f"{video_id}#{number:04d}" if number else video_id
        yield clip.finish(clip_id, is_partial=reader.is_partial)


class _Clip:
    """One clip while it is decoded."""

    def __init__(self, context: _Context, first: Frame, *, slot: int) -> None:
        self.slot = slot
        self._context, self._first_index = context, first.index
        self._height, self._width = first.image.shape[:2]
        self._detectors = {contestant.name: _ClipDetector(contestant) for contestant in context.contestants}
        self._cuts = ShotCuts()
        self._sheet_frames = SheetFrame()

    def add(self, run: Sequence[Frame]) -> None:
        """Show the next frames to every detector, in turn."""
        self._show(self._cuts.add(run))

    def _show(self, run: Sequence[tuple[Frame, Transition]]) -> None:
        sampled = [frame for frame, _ in run if (frame.index - self._first_index) % self._context.every == 0]
        for frame in sampled:
            self._sheet_frames.add(frame)
        for detector in self._detectors.values():
            detector.add(run, sampled=sampled)

    def finish(self, clip_id: str, *, is_partial: bool) -> ClipRow:
        """Choose every detector's subject, add the clip to the totals and draw its sheet."""
        self._show(self._cuts.finish())
        folder = self._context.folder
        results = {name: detector.finish(self._width, self._height) for name, detector in self._detectors.items()}
        row = self._context.totals.add(clip_id, results, is_partial=is_partial)
        return replace(row, sheet=folder.add(row, results, self._sheet_frames)) if folder is not None else row


class _ClipDetector:
    """One detector on one clip."""

    def __init__(self, contestant: DetectorUnderTest) -> None:
        config = contestant.config
        self._detector = contestant.detector
        self._rule = config.subject
        self._tracker = Tracker(iou=config.track_iou, max_gap_frames=config.max_gap_frames)
        self._detections: dict[int, list[Detection]] = {}
        self._seconds = 0.0

    def add(self, run: Sequence[tuple[Frame, Transition]], *, sampled: Sequence[Frame]) -> None:
        """Detect faces in the sampled frames, and track them over the run."""
        start = time.process_time()  # not wall time: other programs must not count against the detector
        detections = self._detector.detect([frame.image for frame in sampled])
        self._seconds += time.process_time() - start
        for frame, faces in zip(sampled, detections, strict=True):
            self._detections[frame.index] = described(frame.image, faces, scheme=self._detector.scheme)
        for frame, transition in run:
            found = [] if transition == Transition.ODD else self._detections.get(frame.index)
            self._tracker.add(frame.index, found, is_cut=transition == Transition.CUT)

    def finish(self, width_px: int, height_px: int) -> FrameDetections:
        """Choose the subject and return the results of the clip."""
        self._tracker.close()
        tracks = [track.as_track() for track in self._tracker.tracks]
        scheme = self._detector.scheme
        subject = choose_subject(tracks, width_px=width_px, height_px=height_px, rule=self._rule, scheme=scheme)
        return FrameDetections(self._detections, subject.track if subject else None, self._seconds)
