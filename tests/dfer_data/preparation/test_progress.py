"""What is reported while a preparation runs: on a made clock, and of a long video while it is decoded."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from dfer_data.config import Request
from dfer_data.preparation.progress import PreparationProgress, ProgressCounter
from dfer_data.preparation.request import ResolvedRequest, resolve_request
from dfer_data.preparation.run import PreparationEvent, run_preparation
from dfer_data.preparation.tasks import VideoDone, VideosUnderWay, VideoUnderWay
from dfer_data.sources.base import SourceVideo
from tests.dfer_data.tiny import pictures, write_video

NUM_FRAMES = 600


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def videos(*sizes: int) -> list[SourceVideo]:
    return [SourceVideo(f"{number}.mkv", f"{number}.mkv", size, None) for number, size in enumerate(sizes)]


def under_way(*frames: tuple[str, int, int]) -> VideosUnderWay:
    return VideosUnderWay(tuple(VideoUnderWay(*video) for video in frames))


def test_one_video_of_hours_is_never_silent_for_longer_than_30_seconds() -> None:
    """Three hours at 25 frames/s, decoded at 50 frames/s: one event per second."""
    clock, reports = Clock(), []
    counter = ProgressCounter(videos(10**9), clock=clock)
    for second in range(1, 5401):
        clock.now = float(second)
        if report := counter.count(under_way(("0.mkv", 50 * second, 270_000))):
            reports.append((second, report))
    times = [second for second, _ in reports]
    assert times == list(range(30, 5401, 30))
    second, report = reports[59]
    assert (second, report.share) == (1800, 1 / 3)
    assert report.seconds_left == pytest.approx(3600)
    assert str(report) == (
        "0 of 1 video, 33 % of the work, 50 frames/s, 0 failed, about 60 min left; "
        "1 under way: 0.mkv, 90,000 of about 270,000 frames"
    )


def test_a_video_of_unknown_length_is_reported_with_its_frames() -> None:
    clock = Clock()
    counter = ProgressCounter(videos(10**9), clock=clock)
    clock.now = 30.0
    report = counter.count(under_way(("0.mkv", 41_200, 0)))
    assert str(report) == (
        "0 of 1 video, 0 % of the work, 1,373 frames/s, 0 failed, time left unknown; 1 under way: 0.mkv, 41,200 frames"
    )
    clock.now = 60.0
    beyond = under_way(("0.mkv", 82_400, 60_000))  # it declared fewer
    assert str(counter.count(beyond)).endswith(": 0.mkv, 82,400 frames")


def test_the_work_is_measured_in_bytes() -> None:
    """Nine small videos are done, the tenth is as large as the nine together, and half of it is decoded."""
    clock = Clock()
    counter = ProgressCounter(videos(*[100] * 9, 900), clock=clock)
    for number in range(9):
        clock.now += 1
        code = "NO_FACE" if number == 3 else "ok"
        assert counter.count(VideoDone(f"{number}.mkv", 10, (code,))) is None
    clock.now = 12.0
    report = counter.count(under_way(("9.mkv", 45, 90)))
    assert isinstance(report, PreparationProgress)
    assert (report.num_done, report.num_failed, report.share) == (9, 1, 0.75)
    assert report.frames_per_second == (90 + 45) / 12
    assert report.seconds_left == pytest.approx(4.0)


def test_a_finished_video_is_not_counted_as_under_way_too() -> None:
    clock = Clock()
    counter = ProgressCounter(videos(100, 100), clock=clock)
    counter.count(under_way(("0.mkv", 80, 90), ("1.mkv", 9, 90)))
    clock.now = 10.0
    report = counter.count(VideoDone("0.mkv", 90, ("ok",)))
    assert report is not None
    assert (report.frames_per_second, report.num_under_way) == (9.9, 1)
    assert report.share == pytest.approx(0.55)


def test_a_lost_worker_takes_its_frames_along() -> None:
    clock = Clock()
    counter = ProgressCounter(videos(100), clock=clock)
    counter.count(under_way(("0.mkv", 80, 100)))
    clock.now = 30.0
    report = counter.count(under_way())
    assert report is not None
    assert (report.share, report.seconds_left, report.longest) == (0, None, None)
    assert str(report) == "0 of 1 video, 0 % of the work, 0 frames/s, 0 failed, time left unknown"


def test_of_several_videos_under_way_the_longest_is_named() -> None:
    clock = Clock()
    counter = ProgressCounter(videos(100, 100, 0), clock=clock)
    clock.now = 10.0
    report = counter.count(under_way(("0.mkv", 10, 100), ("1.mkv", 2000, 4000), ("2.mkv", 5, 0)))
    assert str(report).endswith("; 3 under way, the longest: 1.mkv, 2,000 of about 4,000 frames")


def test_videos_without_bytes_count_alike() -> None:
    """As when all of them are missing."""
    clock = Clock()
    counter = ProgressCounter(videos(0, 0, 0, 0), clock=clock)
    clock.now = 10.0
    report = counter.count(VideoDone("0.mkv", 0, ("MISSING_VIDEO",)))
    assert report is not None
    assert (report.share, report.seconds_left) == (0.25, 30.0)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, retinaface_weights: Path) -> ResolvedRequest:
    """A long video in clips of two seconds, made by looping; nothing is detected in it."""
    source = tmp_path_factory.mktemp("film")
    write_video(source / "film.mkv", pictures(25) * (NUM_FRAMES // 25))
    return resolve_request(Request(dataset="folder", source=source, det_size_px=64, clip_seconds=2.0))


@pytest.fixture
def _no_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("engines", "crew"):
        monkeypatch.setattr(f"dfer_data.preparation.workers.{name}.UNDER_WAY_SECONDS", 0.0)
    for name in ("LEAST_SECONDS", "MOST_SECONDS"):
        monkeypatch.setattr(f"dfer_data.render.pace.{name}", 0.0)


@pytest.mark.usefixtures("_no_intervals")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_frames_of_a_long_video_are_reported_while_it_is_decoded(
    film: ResolvedRequest, tmp_path: Path, num_workers: int
) -> None:
    events: list[PreparationEvent] = []
    run_preparation(film, tmp_path / "out", num_workers=num_workers, on_event=events.append)
    (done,) = (event for event in events if isinstance(event, VideoDone))
    assert done.num_frames == NUM_FRAMES  # though no clip of it has a face
    before = events[: events.index(done)]
    frames = [event.videos[0].num_frames for event in before if isinstance(event, VideosUnderWay) and event.videos]
    assert len(set(frames)) > 5
    assert all(first <= second for first, second in pairwise(frames))
    reports = [event for event in before if isinstance(event, PreparationProgress)]
    reports = [report for report in reports if report.longest and report.longest.num_frames]  # before, it is hashed
    assert len(reports) > 5
    for report in reports:
        assert report.longest is not None
        assert (report.num_done, report.num_under_way, report.longest.num_expected) == (0, 1, NUM_FRAMES)
        assert report.share == pytest.approx(report.longest.num_frames / NUM_FRAMES)
    log = [json.loads(line) for line in (tmp_path / "out/prepare.log").read_bytes().splitlines()]
    logged = [line["longest"] for line in log if line["event"] == "progress" and line["longest"]]
    assert {"clip_id": "film.mkv", "num_expected": NUM_FRAMES, "num_frames": frames[-1]} in logged
