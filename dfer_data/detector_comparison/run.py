"""Detectors on one's own videos, side by side: every video is decoded once and shown to each of them.

A clip is what `prepare folder` makes of a video: a minute at most, tracked and its subject chosen as there.
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
from dfer_data.video.shot_cuts import CutDetector

CLIP_SECONDS = 60.0
"""Longer videos are compared in clips of this length."""
_WARM_UP = np.zeros((360, 640, 3), np.uint8)  # what a detector sets up with its first picture is not timed


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

    `every`: only each such frame is looked at. `limit`: so many videos, spread over the sorted list. `sheets`: a folder
    for a contact sheet of each clip. `on_video` is told how many are done. Raises UsageError for a folder without
    videos, OSError where sheets cannot be written.
    """
    if every < 1 or not contestants:
        raise UsageError(f"every {every}, {len(contestants)} detectors: 1 or more of each is needed")
    videos = videos_of(root, limit=limit)
    folder = SheetFolder(sheets, [one.name for one in contestants]) if sheets is not None else None
    bench = _Bench(contestants, Totals(contestants, every=every), every, folder)
    clips: list[ClipRow] = []
    unread: list[Unread] = []
    with _one_thread():
        for one in contestants:
            one.detector.detect([_WARM_UP])
        for number, video in enumerate(videos):
            on_video(number, len(videos))
            try:
                clips += _rows_of_video(root / video.path, video.clip_id, bench)
            except VideoError as error:
                unread.append(Unread(video.path, error.code, "; ".join(filter(None, (error.message, error.hint)))))
    on_video(len(videos), len(videos))
    return DetectorComparison(bench.totals.detector_rows(), bench.totals.pair_rows(), tuple(clips), tuple(unread))


@dataclass(frozen=True, eq=False)
class _Bench:
    """What all clips have in common."""

    contestants: Sequence[DetectorUnderTest]
    totals: Totals
    every: int
    folder: SheetFolder | None


def videos_of(root: Path, *, limit: int | None = None) -> list[SourceVideo]:
    """Return the videos below a folder, at most `limit` of them, at even distances in their sorted list.

    Raises UsageError for a folder that is not there or holds none.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}: 1 or more is needed")
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder; give a folder of videos")
    videos = list_folder(root, layout="videos").videos
    number = min(len(videos), limit or len(videos))
    return [videos[i * len(videos) // number] for i in range(number)]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let OpenCV scale pictures on one thread, as workers do: the times are those of one core."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _rows_of_video(path: Path, video_id: str, bench: _Bench) -> Iterator[ClipRow]:
    """Yield the rows of a video's clips; VideoError when no frame of it can be decoded."""
    with open_video(path) as reader:
        clip: _Clip | None = None
        number = 0
        for slot, run in runs(reader.frames(), clip_seconds=CLIP_SECONDS):
            if clip is not None and slot != clip.slot:
                yield clip.finish(f"{video_id}#{number:04d}", is_partial=False)
                clip, number = None, number + 1
            if clip is None:
                clip = _Clip(bench, run[0], slot=slot)
            clip.add(run)
        if clip is None:
            reason = reader.decode_error or "it holds no picture"
            raise VideoError("NO_FRAMES", f"{path.name}: no frame could be decoded: {reason}", hint="convert it again")
        clip_id = f"{video_id}#{number:04d}" if number else video_id
        yield clip.finish(clip_id, is_partial=reader.is_partial)


class _Clip:
    """One clip while it is decoded."""

    def __init__(self, bench: _Bench, first: Frame, *, slot: int) -> None:
        self.slot = slot
        self._bench, self._first = bench, first.index
        self._height, self._width = first.image.shape[:2]
        self._watches = {one.name: _Watch(one) for one in bench.contestants}
        self._cuts = CutDetector()
        self._glance = SheetFrame()

    def add(self, run: Sequence[Frame]) -> None:
        """Show the next frames to every detector, in turn."""
        is_cut = [self._cuts.is_cut(frame.image) for frame in run]
        wanted = [frame for frame in run if (frame.index - self._first) % self._bench.every == 0]
        for frame in wanted:
            self._glance.add(frame)
        for watch in self._watches.values():
            watch.add(run, is_cut=is_cut, wanted=wanted)

    def finish(self, clip_id: str, *, is_partial: bool) -> ClipRow:
        """Choose every detector's subject and add the clip up; draw its sheet."""
        folder = self._bench.folder
        seen = {name: watch.finish(self._width, self._height) for name, watch in self._watches.items()}
        row = self._bench.totals.add(clip_id, seen, is_partial=is_partial)
        return replace(row, sheet=folder.add(row, seen, self._glance)) if folder is not None else row


class _Watch:
    """One detector on one clip."""

    def __init__(self, contestant: DetectorUnderTest) -> None:
        config = contestant.config
        self._detector = contestant.detector
        self._rule = config.subject
        self._tracker = Tracker(iou=config.track_iou, max_gap_frames=config.max_gap_frames)
        self._found: dict[int, list[Detection]] = {}
        self._seconds = 0.0

    def add(self, run: Sequence[Frame], *, is_cut: Sequence[bool], wanted: Sequence[Frame]) -> None:
        """Detect the wanted frames, and follow the faces over the run."""
        start = time.process_time()  # not of the clock: what else runs on the machine is not the detector's fault
        found = self._detector.detect([frame.image for frame in wanted])
        self._seconds += time.process_time() - start
        for frame, faces in zip(wanted, found, strict=True):
            self._found[frame.index] = described(frame.image, faces, scheme=self._detector.scheme)
        for frame, cut in zip(run, is_cut, strict=True):
            self._tracker.add(frame.index, self._found.get(frame.index), is_cut=cut)

    def finish(self, width_px: int, height_px: int) -> FrameDetections:
        """Choose the subject."""
        self._tracker.close()
        tracks = [track.as_track() for track in self._tracker.tracks]
        subject = choose_subject(tracks, width_px=width_px, height_px=height_px, rule=self._rule)
        return FrameDetections(self._found, subject.track if subject else None, self._seconds)
