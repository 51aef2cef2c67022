from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dfer_data.config import AlignScale, PrepareConfig
from dfer_data.errors import VideoError
from dfer_data.faces import aligned_faces as faces
from dfer_data.faces import pipeline, second_pass
from dfer_data.faces.align import landmark_template, similarity, smooth, warp
from dfer_data.faces.aligned_faces import Face, decode, encoder
from dfer_data.faces.clip import ClipFacts, Failure, TracksLeftOut
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.faces.shipped_crops import clip_of_crops
from dfer_data.sources.base import SourceVideo
from dfer_data.types import Detection, FrameFlag, Image, LandmarkScheme
from dfer_data.video import reader
from dfer_data.video.planar import PlanarPicture
from dfer_data.video.reader import VideoReader, open_video
from dfer_data.video.tone_curves import ToneMap
from tests.dfer_data.tiny import CONFIG, face, pictures, write_jpegs, write_video

Script = Callable[[int], list[Detection]]


class Scripted:
    """A detector that answers by the number of the frame."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._num_frames = 0

    @property
    def scheme(self) -> LandmarkScheme:
        return "eyes-nose-mouth"

    def detect(self, images: Sequence[Image]) -> list[list[Detection]]:
        found = [self._script(self._num_frames + i) for i in range(len(images))]
        self._num_frames += len(images)
        return found


def run(path: Path, script: Script, config: PrepareConfig = CONFIG) -> list[tuple[ClipFacts, list[Face]] | Failure]:
    results, left_out = run_limited(path, script, config)
    assert not left_out
    return results


def run_limited(
    path: Path, script: Script, config: PrepareConfig
) -> tuple[list[tuple[ClipFacts, list[Face]] | Failure], list[TracksLeftOut]]:
    """Return the clips and failures of a video, and the tracks that the limits leave out."""
    video = SourceVideo("v", path.name, path.stat().st_size, None)
    results: list[tuple[ClipFacts, list[Face]] | Failure] = []
    left_out: list[TracksLeftOut] = []
    for one in clips_of_video(path, video, config=config, detector=Scripted(script)):
        if isinstance(one, TracksLeftOut):
            left_out.append(one)
        else:
            results.append(one if isinstance(one, Failure) else (one.facts, list(one.faces)))
    return results, left_out


def run_one(path: Path, script: Script, config: PrepareConfig = CONFIG) -> tuple[ClipFacts, list[Face]]:
    (result,) = run(path, script, config)
    assert not isinstance(result, Failure)
    return result


def one_scene(num_frames: int) -> list[Image]:
    """Smooth colours that jitter by a pixel, so that every frame differs from the one before."""
    return [np.roll(pictures(1)[0], i % 2, axis=0) for i in range(num_frames)]


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "forty.mp4", one_scene(40))


def middle(index: int) -> Detection:
    return face(30 + 0.2 * index, 30, side=30)


def test_faces_are_warped_by_smoothed_landmarks(forty: Path) -> None:
    facts, made = run_one(forty, lambda index: [middle(index)])
    assert (facts.num_frames, facts.num_source_frames, facts.num_tracks) == (40, 40, 1)
    assert (facts.detection_rate, facts.num_interpolated, facts.ambiguity, facts.is_partial) == (1.0, 0, 0.0, False)
    assert facts.duration_seconds == pytest.approx(1.6)
    landmarks = smooth(np.stack([middle(i).landmarks for i in range(40)]), window_frames=7, order=2)
    with open_video(forty) as reader:
        for frame, one in zip(reader.frames(), made, strict=True):
            matrix = similarity(landmarks[frame.index], landmark_template("eyes-nose-mouth", size_px=224, scale=0.8))
            assert one.payload == encoder(CONFIG)(warp(frame.image, matrix, size_px=224))
            np.testing.assert_array_equal(one.record.landmarks, landmarks[frame.index])
            np.testing.assert_array_equal(one.record.box, middle(frame.index).box)
            assert (one.record.frame_index, one.record.pts_seconds) == (frame.index, frame.pts_seconds)
            assert one.record.score == pytest.approx(0.9)


def test_faces_of_a_track_are_warped_by_one_scale(forty: Path) -> None:
    """A face that grows by half over the clip keeps doing so in its crops, whatever the mouth does."""

    def script(index: int) -> list[Detection]:
        one = face(35 - 0.15 * index, 35 - 0.15 * index, side=20 + 0.3 * index)
        speech = np.array([[0, 0]] * 3 + [[0, index % 3]] * 2, np.float32)
        return [replace(one, landmarks=one.landmarks + speech)]

    facts, made = run_one(forty, script, replace(CONFIG, align_points="rigid", align_scale="track"))
    landmarks = smooth(np.stack([script(i)[0].landmarks for i in range(40)]), window_frames=7, order=2)
    template = landmark_template("eyes-nose-mouth", size_px=224, scale=0.8)[:3]
    own = np.stack([similarity(rows, template) for rows in landmarks[:, :3]])
    scale = np.median(np.hypot(own[:, 0, 0], own[:, 1, 0]))
    assert facts.num_frames == len(made) == 40
    with open_video(forty) as reader:
        for frame, one in zip(reader.frames(), made, strict=True):
            linear = np.diag([scale, scale])  # the face does not turn
            shift = template.mean(axis=0) - linear @ landmarks[frame.index, :3].mean(axis=0)
            wanted = warp(frame.image, np.column_stack([linear, shift]), size_px=224).astype(int)
            assert np.abs(decode(one.payload, CONFIG).astype(int) - wanted).mean() < 2
            np.testing.assert_array_equal(one.record.landmarks, landmarks[frame.index])


def test_a_gap_is_filled_and_flagged(forty: Path) -> None:
    facts, made = run_one(forty, lambda index: [] if 10 <= index < 15 else [middle(index)])
    assert (facts.num_frames, facts.num_interpolated, facts.num_tracks) == (40, 5, 1)
    assert facts.detection_rate == pytest.approx(35 / 40)
    for index, one in enumerate(made):
        filled = 10 <= index < 15
        assert bool(one.record.flags & FrameFlag.GAP_FILLED) == filled
        assert bool(one.record.flags & FrameFlag.DETECTED) == (not filled)
        assert bool(np.isnan(one.record.score)) == filled
        np.testing.assert_allclose(one.record.box, middle(index).box, atol=1e-3)


def test_a_long_gap_leaves_the_longer_stretch(forty: Path) -> None:
    facts, made = run_one(forty, lambda index: [] if 8 <= index < 8 + 17 else [middle(index)])
    assert (facts.num_frames, facts.num_source_frames, facts.num_tracks) == (15, 40, 2)
    assert [one.record.frame_index for one in made] == list(range(25, 40))
    assert 0 < facts.ambiguity < 1


def test_the_border_is_flagged(forty: Path) -> None:
    _, inside = run_one(forty, lambda index: [face(38, 38, side=20)])
    _, outside = run_one(forty, lambda index: [face(0, 0, side=60)])
    assert not any(one.record.flags & FrameFlag.OUTSIDE_BORDER for one in inside)
    assert all(one.record.flags & FrameFlag.OUTSIDE_BORDER for one in outside)


def test_no_face_is_a_failure_with_a_code(forty: Path) -> None:
    (failure,) = run(forty, lambda index: [])
    assert isinstance(failure, Failure)
    assert (failure.clip_id, failure.error.code, failure.error.frame) == ("v", "NO_FACE", 39)
    assert failure.error.hint


LIMITED = replace(CONFIG, all_tracks=True, min_track_frames=16, min_face_px=12, min_brightness=8)


def three_faces(index: int) -> list[Detection]:
    """One that is seen throughout, one for nine frames, one that is small."""
    return [middle(index), *([face(2, 2, side=20)] if 10 <= index < 19 else []), face(70, 70, side=8)]


@pytest.mark.parametrize("is_second_pass", [False, True])
def test_tracks_below_the_limits_make_no_clip(
    forty: Path, monkeypatch: pytest.MonkeyPatch, is_second_pass: bool
) -> None:
    every = run(forty, three_faces, replace(CONFIG, all_tracks=True))
    if is_second_pass:
        monkeypatch.setattr(faces, "_WAITING_BYTES", 96 * 96 * 3 * 4)
    (clip,), (left_out,) = run_limited(forty, three_faces, LIMITED)
    assert left_out.clip_id == "v"
    assert [(one.track, one.reasons, one.num_frames) for one in left_out.tracks] == [
        (1, ("small",), 40),
        (2, ("short",), 9),
    ]
    assert len(every) == 3
    assert not isinstance(clip, Failure)
    assert not isinstance(every[0], Failure)
    assert clip[0].__dict__ == every[0][0].__dict__
    assert (clip[0].clip_id, clip[0].num_tracks) == ("v@0", 3)
    assert [one.payload for one in clip[1]] == [one.payload for one in every[0][1]]


def test_a_clip_without_a_track_above_the_limits_is_a_failure(forty: Path) -> None:
    (failure,), left_out = run_limited(forty, lambda index: three_faces(index)[1:], LIMITED)
    assert len(left_out) == 1
    assert isinstance(failure, Failure)
    assert (failure.clip_id, failure.error.code, failure.error.frame) == ("v", "LEFT_OUT", 39)
    assert "1 with fewer than 16 frames, 1 with a face smaller than 12 px" in failure.error.message
    assert failure.error.hint == "to keep track 0: --min-face-px 8"


@pytest.mark.parametrize(("gain", "reasons"), [(1.0, []), (0.02, [("dark",)])])
def test_black_faces_make_no_clip(tmp_path: Path, gain: float, reasons: list[tuple[str, ...]]) -> None:
    path = write_video(tmp_path / "a.mp4", [np.asarray(one * gain, np.uint8) for one in one_scene(20)])
    (result,), left_out = run_limited(path, lambda index: [middle(index)], LIMITED)
    assert [track.reasons for one in left_out for track in one.tracks] == reasons
    assert isinstance(result, Failure) == bool(reasons)
    if isinstance(result, Failure):
        assert result.error.message == "the only face track has a brightness below 8"


def test_a_long_video_becomes_several_clips(forty: Path) -> None:
    """At 25 frames/s half a second is 12.5 frames: clips hold 13, 12, 13; the last 2 stay with the third."""
    config = replace(CONFIG, clip_seconds=0.5)
    results = run(forty, lambda index: [] if 13 <= index < 25 else [middle(index)], config)
    first, second, third = results
    assert isinstance(second, Failure)
    assert (second.clip_id, second.error.code) == ("v#0001", "NO_FACE")
    for result, clip_id, frames in [
        (first, "v#0000", range(13)),
        (third, "v#0002", range(25, 40)),
    ]:
        assert not isinstance(result, Failure)
        facts, made = result
        assert facts.clip_id == clip_id
        assert [one.record.frame_index for one in made] == list(frames)
        assert facts.duration_seconds == pytest.approx(len(frames) / 25, abs=1e-3)


@pytest.mark.parametrize(("clip_seconds", "num_clips"), [(0.0, 1), (1.6, 1), (1.0, 2), (60.0, 1)])
def test_a_video_that_is_not_longer_stays_whole(forty: Path, clip_seconds: float, num_clips: int) -> None:
    results = run(forty, lambda index: [middle(index)], replace(CONFIG, clip_seconds=clip_seconds))
    assert len(results) == num_clips
    ids = [one.clip_id if isinstance(one, Failure) else one[0].clip_id for one in results]
    assert ids == (["v"] if num_clips == 1 else ["v#0000", "v#0001"])


@pytest.mark.parametrize(("num_frames", "sizes"), [(70, [70]), (74, [74]), (75, [50, 25]), (124, [50, 74])])
def test_a_rest_shorter_than_a_second_stays_with_the_clip_before_it(
    tmp_path: Path, num_frames: int, sizes: list[int]
) -> None:
    path = write_video(tmp_path / "a.mp4", pictures(1) * num_frames)
    results = run(path, lambda index: [middle(0)], replace(CONFIG, clip_seconds=2.0))
    assert [one[0].num_source_frames for one in results if not isinstance(one, Failure)] == sizes


@pytest.mark.parametrize("jump", [1, 5, 23])
def test_a_jump_of_the_time_stamps_cuts_nothing(tmp_path: Path, jump: int) -> None:
    """Recordings of browsers begin with a time of 0, and all others may be minutes later."""
    path = write_video(tmp_path / "a.mkv", pictures(1) * 24, pts=[40 * i + 100_000 * (i >= jump) for i in range(24)])
    facts, made = run_one(path, lambda index: [middle(0)])
    assert (facts.clip_id, facts.num_frames, facts.is_partial) == ("v", 24, False)
    assert facts.fps == 25
    assert facts.duration_seconds == pytest.approx(0.96, abs=1e-3)
    assert made[-1].record.pts_seconds == pytest.approx(100.92)


def test_a_long_video_with_a_jump_is_cut_by_the_time_that_it_shows(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", pictures(1) * 100, pts=[40 * i + 100_000 * (i >= 60) for i in range(100)])
    results = run(path, lambda index: [middle(0)], replace(CONFIG, clip_seconds=2.0))
    assert [one[0].num_source_frames for one in results if not isinstance(one, Failure)] == [50, 50]


@pytest.mark.parametrize("align_scale", ["frame", "track"])
def test_a_video_too_large_to_keep_gives_the_same_faces(
    forty: Path, monkeypatch: pytest.MonkeyPatch, align_scale: AlignScale
) -> None:
    def script(index: int) -> list[Detection]:
        return [] if index < 3 or 20 <= index < 23 else [middle(index), face(0, 60, side=12)]

    config = replace(CONFIG, clip_seconds=0.6, align_scale=align_scale)
    kept = run(forty, script, config)
    monkeypatch.setattr(faces, "_WAITING_BYTES", 96 * 96 * 3 * 4)
    again = run(forty, script, config)
    assert len(kept) == len(again) == 3
    for a, b in zip(kept, again, strict=True):
        assert not isinstance(a, Failure)
        assert not isinstance(b, Failure)
        assert a[0].__dict__ == b[0].__dict__
        for one, other in zip(a[1], b[1], strict=True):
            assert one.payload == other.payload
            assert one.record.frame_index == other.record.frame_index


@pytest.mark.parametrize(("deinterlace", "tone_map"), [(False, "mobius"), (True, "none")])
def test_both_passes_deinterlace_and_map_tones(
    forty: Path, monkeypatch: pytest.MonkeyPatch, deinterlace: bool, tone_map: ToneMap
) -> None:
    passes = []

    def watched(
        path: Path, *, deinterlace: bool, tone_map: ToneMap, is_lazy: bool
    ) -> AbstractContextManager[VideoReader]:
        passes.append((deinterlace, tone_map))
        return open_video(path, deinterlace=deinterlace, tone_map=tone_map, is_lazy=is_lazy)

    monkeypatch.setattr(pipeline, "open_video", watched)
    monkeypatch.setattr(second_pass, "open_video", watched)
    monkeypatch.setattr(faces, "_WAITING_BYTES", 96 * 96 * 3 * 4)
    run_one(forty, lambda index: [middle(0)], replace(CONFIG, deinterlace=deinterlace, tone_map=tone_map))
    assert passes == [(deinterlace, tone_map)] * 2


@pytest.mark.parametrize("is_second_pass", [False, True])
def test_large_pictures_converted_in_part_give_the_same_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_second_pass: bool
) -> None:
    small = pictures(6, width_px=320, height_px=180)
    path = write_video(tmp_path / "v.mp4", [image.repeat(5, axis=0).repeat(5, axis=1) for image in small])

    def script(index: int) -> list[Detection]:
        return [face(500 + 3 * index, 200, side=300), face(100, -20, side=90)]  # one averaged down, one at the border

    if is_second_pass:
        monkeypatch.setattr(faces, "_WAITING_BYTES", 1)
    config = replace(CONFIG, detect_every=4)
    facts, in_part = run_one(path, script, config)
    num_whole = 0

    def counted(self: PlanarPicture) -> Image:
        nonlocal num_whole
        num_whole += 1
        return whole(self)

    whole = PlanarPicture.whole
    monkeypatch.setattr(PlanarPicture, "whole", counted)
    assert [one.payload for one in run_one(path, script, config)[1]] == [one.payload for one in in_part]
    assert num_whole > 0
    monkeypatch.setattr(reader, "is_planar", lambda picture: False)
    again, at_once = run_one(path, script, config)
    assert again.__dict__ == facts.__dict__
    assert [one.payload for one in at_once] == [one.payload for one in in_part]


def test_a_cut_file_is_partial(forty: Path, tmp_path: Path) -> None:
    cut = write_video(tmp_path / "cut.mkv", one_scene(40))
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    facts, made = run_one(cut, lambda index: [middle(index)])
    assert facts.is_partial
    assert facts.reason == f"the file ends early: {len(made)} frames could be decoded"


def test_a_file_without_a_picture_is_a_failure(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", pictures(10))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75") + 40])  # into the first picture
    with pytest.raises(VideoError) as caught:
        run(path, lambda index: [])
    assert caught.value.code == "NO_FRAMES"
    assert caught.value.hint


def crops(folder: Path) -> tuple[ClipFacts, list[Face]]:
    clip = clip_of_crops(folder, SourceVideo("00001", folder.name, 1, "happy"), config=CONFIG)
    return clip.facts, list(clip.faces)


@pytest.mark.parametrize(
    "names",
    [
        ["1.jpg", "2.jpg", "9.jpg", "10.jpg", "100.jpg"],
        ["00001_00001.jpg", "00001_00002.jpg", "00001_00009.jpg", "00001_00010.jpg", "00001_00100.jpg"],
        ["7_1.jpg", "7_2.JPG", "7_9.jpeg", "7_10.jpg", "7_100.jpg"],
    ],
)
def test_shipped_crops_keep_their_bytes_and_come_in_order_of_their_numbers(tmp_path: Path, names: list[str]) -> None:
    jpegs = write_jpegs(tmp_path / "00001", pictures(5, width_px=64, height_px=48), names=names)
    (tmp_path / "00001" / "Thumbs.db").write_bytes(b"x")
    facts, made = crops(tmp_path / "00001")
    assert [one.payload for one in made] == jpegs
    assert [one.record.frame_index for one in made] == [0, 1, 2, 3, 4]
    assert (facts.num_frames, facts.width_px, facts.height_px, facts.mean_score) == (5, 64, 48, None)


def test_crops_that_cannot_be_read_have_codes(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_jpegs(tmp_path / "bad", pictures(2), names=["1.jpg", "2.jpg"])
    (tmp_path / "bad" / "2.jpg").write_bytes(b"GIF89a")
    write_jpegs(tmp_path / "folder", pictures(1), names=["1.jpg"])
    (tmp_path / "folder" / "2.jpg").mkdir()
    write_jpegs(tmp_path / "link", pictures(1), names=["1.jpg"])
    (tmp_path / "link" / "2.jpg").symlink_to(tmp_path / "folder" / "1.jpg")
    (tmp_path / "link" / "0.jpg").symlink_to(tmp_path / "link" / "1.jpg")
    codes = {"bad": "BAD_PICTURE", "folder": "BAD_PICTURE", "link": "BAD_PICTURE", "empty": "NO_FRAMES"}
    frames = {"bad": 1, "folder": 1, "link": 2, "empty": None}
    for name, code in codes.items():
        with pytest.raises(VideoError) as caught:
            crops(tmp_path / name)
        assert (caught.value.code, caught.value.frame) == (code, frames[name])
        assert str(tmp_path) not in caught.value.message
