from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from dfer_data.detect.base import Detector
from dfer_data.detect.choices import DetectorUnderTest, choice, ready
from dfer_data.detector_comparison import files
from dfer_data.detector_comparison import run as module
from dfer_data.detector_comparison.run import compare_detectors, videos_of
from dfer_data.detector_comparison.sheets import SheetFolder, SheetFrame
from dfer_data.detector_comparison.totals import ClipRow, FrameDetections
from dfer_data.errors import UsageError
from dfer_data.types import Detection, Frame, Image, LandmarkScheme
from tests.dfer_data.tiny import face, write_video
from tests.scenes import HEIGHT_PX, WIDTH_PX, rendered


class Only:
    """A detector that keeps some of another's faces, by the number of the picture and the face."""

    def __init__(self, inner: Detector, keeps: Callable[[int, Detection], bool]) -> None:
        self._inner, self._keeps, self._number = inner, keeps, -1

    @property
    def scheme(self) -> LandmarkScheme:
        return self._inner.scheme

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        found = []
        for faces in self._inner.detect(images):
            found.append([one for one in faces if self._keeps(self._number, one)])
            self._number += 1  # the picture before the first is the one to warm up with
        return found


def contestant(name: str, inner: DetectorUnderTest, keeps: Callable[[int, Detection], bool]) -> DetectorUnderTest:
    return DetectorUnderTest(replace(inner.choice, name=name), inner.config, Only(inner.detector, keeps))


@pytest.fixture(scope="module")
def retinaface() -> DetectorUnderTest:
    return ready(choice("retinaface"), det_size_px=160)


@pytest.fixture(scope="module")
def two_heads(heads_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a video of two rendered heads side by side."""
    places = {1: lambda t: (160.0, 150.0 + t / 4, 90.0), 2: lambda t: (470.0, 150.0, 90.0)}
    scene = rendered(heads_wheel, places, num_frames=12)
    folder = tmp_path_factory.mktemp("heads")
    write_video(folder / "two.mp4", scene.pictures)
    return folder


def test_real_videos_by_both_detectors(face_folder: Path, retinaface: DetectorUnderTest, tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    dlib = ready(choice("dlib"), det_size_px=160)
    result = compare_detectors(
        face_folder, [retinaface, dlib], sheets=tmp_path / "sheets", on_video=lambda *each: counts.append(each)
    )
    assert counts == [(i, 7) for i in range(8)]
    assert [(one.video, one.code) for one in result.unread] == [("sad/junk.mp4", "UNREADABLE")]
    clips = {clip.clip_id: clip for clip in result.clips}
    names = (
        "happy/passenger.mp4",
        "happy/short.mp4",
        "happy/single.mp4",
        "sad/appears.mp4",
        "sad/cut.mkv",
        "sad/none.mp4",
    )
    assert tuple(clips) == names
    assert clips["happy/single.mp4"].hits == {"retinaface": 20, "dlib": 20}
    assert clips["happy/single.mp4"].subject_frames == {"retinaface": 20, "dlib": 20}
    assert clips["sad/none.mp4"].hits == {"retinaface": 0, "dlib": 0}
    assert clips["sad/none.mp4"].subject_frames == {"retinaface": 0, "dlib": 0}
    assert clips["sad/cut.mkv"].is_partial
    assert not clips["happy/single.mp4"].is_partial
    assert not result.suspects
    ours, other = result.detectors
    assert ours.num_frames == other.num_frames == sum(clip.num_frames for clip in result.clips)
    assert ours.num_hits == sum(clip.hits["retinaface"] for clip in result.clips)
    assert ours.hit_rate == ours.num_hits / ours.num_frames
    assert ours.frames_per_second == pytest.approx(ours.num_frames / ours.cpu_seconds)
    assert min(ours.cpu_seconds, other.cpu_seconds) > 0
    assert ours.num_shared_jitter_frames == other.num_shared_jitter_frames
    assert ours.num_shared_jitter_frames <= min(ours.num_jitter_frames, other.num_jitter_frames)
    assert ours.jitter is not None
    assert 0 < ours.jitter < 0.3
    for row in result.detectors:
        assert row.scale_range is not None
        assert row.rigid_scale_range is not None
        assert 0 < row.scale_range < 0.3
    assert other.scale_range == other.rigid_scale_range  # all of dlib's points are rigid
    assert ours.scale_range != ours.rigid_scale_range
    (pair,) = result.pairs
    assert (pair.points, pair.num_suspects) == ("the two eyes", 0)
    assert pair.num_same <= pair.num_both <= pair.num_either <= ours.num_frames
    assert pair.agreement == pair.num_same / pair.num_either
    assert pair.distance_median is not None
    assert pair.distance_p95 is not None
    assert 0 < pair.distance_median <= pair.distance_p95 < 0.3
    sheets = sorted(path.name for path in (tmp_path / "sheets").iterdir())
    assert sheets == sorted(clip.sheet for clip in result.clips)
    assert clips["happy/single.mp4"].sheet == "0003-single.mp4.jpg"


def test_a_detector_beside_itself_agrees_in_everything(two_heads: Path, retinaface: DetectorUnderTest) -> None:
    twin = contestant("twin", retinaface, lambda number, one: True)
    result = compare_detectors(two_heads, [retinaface, twin])
    (pair,) = result.pairs
    assert (pair.agreement, pair.distance_median, pair.distance_p95, pair.points) == (1.0, 0.0, 0.0, "all five")
    ours, other = result.detectors
    assert ours.hit_rate == 1
    assert ours.jitter == other.jitter == ours.shared_jitter
    assert ours.num_jitter_frames == 10


def test_detectors_that_follow_different_people_are_named(
    two_heads: Path, retinaface: DetectorUnderTest, tmp_path: Path
) -> None:
    left = contestant("left", retinaface, lambda number, one: one.box[2] < WIDTH_PX / 2)
    right = contestant("right", retinaface, lambda number, one: one.box[0] > WIDTH_PX / 2)
    early = contestant("early", left, lambda number, one: number < 5)
    late = contestant("late", left, lambda number, one: number >= 6)
    result = compare_detectors(two_heads, [left, right], sheets=tmp_path)
    (suspect,) = result.suspects
    assert (suspect.clip_id, suspect.one, suspect.other, suspect.overlap) == ("two.mp4", "left", "right", 0.0)
    (pair,) = result.pairs
    assert (pair.num_both, pair.num_same, pair.num_suspects, pair.distance_median) == (12, 0, 1, None)
    assert [row.num_shared_jitter_frames for row in result.detectors] == [0, 0]  # of different people
    assert [row.shared_jitter for row in result.detectors] == [None, None]
    sheet = simplejpeg.decode_jpeg((tmp_path / "0001-two.mp4.jpg").read_bytes()).astype(int)
    cell_px = HEIGHT_PX // 2  # 320 px wide
    assert sheet.shape == (3 * 20 + 2 * cell_px, 4 * 320 + 3 * 4, 3)
    blue, orange = (np.abs(sheet - colour).max(axis=2) < 60 for colour in ((86, 180, 233), (230, 159, 0)))
    assert blue[40 : 40 + cell_px, :160].sum() > orange[40 : 40 + cell_px, :160].sum() + 50
    assert orange[-cell_px:, 160:320].sum() > blue[-cell_px:, 160:320].sum() + 50
    (never,) = compare_detectors(two_heads, [early, late]).suspects
    assert never.overlap is None


def test_frames_and_videos_are_thinned_out(face_folder: Path, retinaface: DetectorUnderTest) -> None:
    names = [video.clip_id for video in videos_of(face_folder)]
    assert len(names) == 7
    assert [video.clip_id for video in videos_of(face_folder, limit=3)] == [names[0], names[2], names[4]]
    assert len(videos_of(face_folder, limit=100)) == 7
    result = compare_detectors(face_folder, [retinaface], every=5, limit=1)
    assert [(clip.clip_id, clip.num_frames) for clip in result.clips] == [("happy/passenger.mp4", 4)]
    assert result.pairs == ()
    (ours,) = result.detectors
    assert (ours.num_jitter_frames, ours.jitter, ours.shared_jitter) == (0, None, None)  # it would be the head's motion


def test_a_long_video_is_compared_in_clips(
    two_heads: Path, retinaface: DetectorUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLIP_SECONDS", 0.2)
    clips = compare_detectors(two_heads, [retinaface], every=2).clips
    assert [(clip.clip_id, clip.num_frames) for clip in clips] == [
        ("two.mp4#0000", 3),
        ("two.mp4#0001", 4),
    ]


def test_what_cannot_be_compared_is_counts(tmp_path: Path, retinaface: DetectorUnderTest) -> None:
    for folder, settings, message in [
        (tmp_path / "none", {}, "none is not a folder; give a folder of videos"),
        (tmp_path, {}, "holds no video"),
        (tmp_path, {"every": 0}, "every is 0 with 1 detector; both must be 1 or more"),
        (tmp_path, {"limit": 0}, "limit is 0; it must be 1 or more"),
    ]:
        with pytest.raises(UsageError, match=message):
            compare_detectors(folder, [retinaface], **settings)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown detector 'mtcnn'; known: retinaface, retinaface-resnet50, dlib"):
        choice("mtcnn")


def test_a_sheet_takes_frames_of_several_sizes_evenly(tmp_path: Path) -> None:
    glance = SheetFrame()
    for index in range(100):
        side = 40 if index < 50 else 80
        glance.add(Frame(index, index / 25, np.full((side, 2 * side if index < 50 else side, 3), 90, np.uint8)))
    frames = [index for index, _, _ in glance.frames()]
    assert len(frames) == 4
    np.testing.assert_allclose(frames, [12.5, 37.5, 62.5, 87.5], atol=8)  # the middles of four parts
    seen = {"one": FrameDetections({index: [face(5, 5)] for index in range(100)}, None, 0.0)}
    row = ClipRow("a/b c.mp4", 100, False, {"one": 100}, {"one": 0}, ())
    name = SheetFolder(tmp_path, ["one"]).add(row, seen, glance)
    assert name == "0001-b_c.mp4.jpg"
    assert simplejpeg.decode_jpeg((tmp_path / name).read_bytes()).shape == (2 * 20 + 320, 4 * 320 + 3 * 4, 3)


def test_the_folder_holds_tables_and_a_document(two_heads: Path, retinaface: DetectorUnderTest, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for force in (False, True):
        twin = contestant("twin", retinaface, lambda number, one: number != 3)
        files.claim(out, force=force)
        assert not list(out.rglob("*.*"))
        result = compare_detectors(two_heads, [retinaface, twin], sheets=out / files.COMPARISON_SHEETS)
        files.write(out, result, files.document(result, root=two_heads, every=1, det_size_px=160))
    document = json.loads((out / "comparison.json").read_text())
    assert document["format"] == "dfer-detector-comparison"
    assert [row["num_hits"] for row in document["detectors"]] == [12, 11]
    with (out / "clips.csv").open(encoding="utf-8") as file:
        (clip,) = csv.DictReader(file)
    assert (clip["hits twin"], clip["subject frames twin"], clip["sheet"]) == ("11", "11", "0001-two.mp4.jpg")
    with (out / "pairs.csv").open(encoding="utf-8") as file:
        (pair,) = csv.DictReader(file)
    assert float(pair["agreement"]) == pytest.approx(11 / 12)
    with pytest.raises(UsageError, match="already holds a comparison; choose another folder, or --force"):
        files.claim(out, force=False)
    (out / "thesis.tex").touch()
    for force in (False, True):
        with pytest.raises(
            UsageError, match=r"holds thesis\.tex, which is not part of a comparison; choose another folder$"
        ):
            files.claim(out, force=force)
    with pytest.raises(UsageError, match="is not a folder"):
        files.claim(out / "thesis.tex", force=True)
    assert (out / "comparison.json").exists()
