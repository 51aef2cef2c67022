"""What a user may choose about persons and alignment, end to end on a video of two people side by side."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dfer_cli.main import main
from dfer_data.config import Request
from dfer_data.errors import ConfigMismatchError, UsageError
from dfer_data.faces.align import box_corners, square
from dfer_data.faces.clip import Clip
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.inspection.verify import verify
from dfer_data.loading.kept_open import read_clip
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.preparation.summary import Summary
from dfer_data.sources.base import SourceVideo
from dfer_data.types import Detection, FrameFlag
from tests.dfer_data.faces.test_pipeline import Scripted, forty, middle  # noqa: F401  # forty is a fixture
from tests.dfer_data.tiny import CONFIG, tree, write_video
from tests.scenes import pasted, people

CLIP = "v.mp4"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> Path:
    """A folder with one video of two people of the same size, as far from the middle as each other, and another."""
    folder = tmp_path_factory.mktemp("two")
    who = people(real_videos, num_frames=20)
    scene = pasted([("ann", who["ann"], lambda t: (98, 30)), ("carl", who["carl"], lambda t: (320, 30))], num_frames=20)
    small = [np.asarray(cv2.resize(one, (320, 180), interpolation=cv2.INTER_AREA), np.uint8) for one in scene.pictures]
    write_video(folder / CLIP, small)
    write_video(folder / "alone.mp4", [one[:, :160].copy() for one in small])
    return folder


def made(two: Path, out: Path, **choices: Any) -> Summary:
    request = replace(Request(dataset="folder", source=two, det_size_px=320), **choices)
    return run_preparation(resolve_request(request), out, num_workers=0)


def test_an_ambiguous_clip_is_listed_shown_and_chosen_by_hand(two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(two, out)
    row = open_dataset(out).clip(CLIP)
    assert row["num_tracks"] == 2
    assert row["ambiguity"] > 0.5
    rows = list(csv.DictReader((out / "ambiguous.csv").read_text().splitlines()))
    assert rows == [
        {
            "clip_id": CLIP,
            "track": str(row["track"]),
            "runner_up": str(1 - row["track"]),
            "ambiguity": rows[0]["ambiguity"],
            "drift": rows[0]["drift"],
        }
    ]
    sheets = [np.asarray(cv2.imread(str(path))) for path in sorted((out / "preview").glob("*.jpg"))]
    assert sorted(sheet.shape[0] for sheet in sheets) == [96, 192]  # the other person in a row of its own
    before, first, others = tree(out), read_clip(out, CLIP), read_clip(out, "alone.mp4")

    choice = tmp_path / "mine.csv"
    choice.write_text(f"clip_id,track\n{CLIP},{1 - row['track']}\n")
    assert made(two, out, subjects=choice).num_shards_made == 1  # the other shard stands
    chosen = open_dataset(out).clip(CLIP)
    assert chosen["track"] == 1 - row["track"]
    assert chosen["ambiguity"] == pytest.approx(1 / row["ambiguity"])
    assert (read_clip(out, CLIP) != first).any()
    np.testing.assert_array_equal(read_clip(out, "alone.mp4"), others)

    assert made(two, out).num_shards_made == 0  # a run without --subjects keeps the choice
    assert open_dataset(out).clip(CLIP)["track"] == chosen["track"]
    again = tmp_path / "again"
    request = Request(dataset="folder", source=two, det_size_px=320, subjects=choice)
    run_preparation(resolve_request(request), again, num_workers=2)
    assert tree(again) == tree(out)

    choice.write_text("clip_id,track\n")
    assert made(two, out, subjects=choice).num_shards_made == 1
    assert tree(out) == before


def test_a_track_that_is_not_there_is_a_ledger_row(two: Path, tmp_path: Path) -> None:
    choice = tmp_path / "mine.csv"
    choice.write_text(f"clip_id,track\n{CLIP},9\n")
    summary = made(two, tmp_path / "out", subjects=choice)
    assert summary.num_clips["NO_TRACK"] == 1
    choice.write_text("clip_id,track\nnobody.mp4,0\n")
    with pytest.raises(UsageError, match=r"--subjects names 1 clip not in the dataset: nobody\.mp4"):
        made(two, tmp_path / "out", subjects=choice)


def test_every_person_can_be_a_clip(two: Path, tmp_path: Path) -> None:
    made(two, tmp_path / "out", all_tracks=True)
    clips = open_dataset(tmp_path / "out").clips
    assert clips["clip_id"].tolist() == ["alone.mp4@0", f"{CLIP}@0", f"{CLIP}@1"]
    assert clips["track"].tolist() == [0, 0, 1]
    assert (clips["ambiguity"] == 0).all()
    with pytest.raises(ConfigMismatchError, match="all_tracks: True there, False now"):
        made(two, tmp_path / "out")


def test_tracks_below_the_limits_are_counted_and_listed(two: Path, tmp_path: Path) -> None:
    """All faces are seen for twenty frames."""
    out = tmp_path / "out"
    summary = made(two, out, all_tracks=True, min_track_frames=21)
    assert (dict(summary.num_clips), dict(summary.num_left_out)) == ({"LEFT_OUT": 2}, {"short": 3})
    assert summary.document is not None
    assert summary.document["counts"]["left_out"] == {"short": 3}
    rows = list(csv.DictReader((out / "left_out.csv").read_text().splitlines()))
    assert [(row["clip_id"], row["track"], row["reasons"], row["num_frames"]) for row in rows] == [
        ("alone.mp4", "0", "short", "20"),
        (CLIP, "0", "short", "20"),
        (CLIP, "1", "short", "20"),
    ]
    assert verify(out, deep=True).damages == ()
    assert open_dataset(out).clips["code"].tolist() == ["LEFT_OUT"] * 2
    with pytest.raises(ConfigMismatchError, match="min_track_frames: 21 there, 20 now"):
        made(two, out, all_tracks=True, min_track_frames=20)


def test_without_limits_every_track_is_a_clip_as_before_them(two: Path, tmp_path: Path) -> None:
    off = {"min_track_frames": 1, "min_face_px": 0.0, "min_track_score": 0.0, "min_brightness": 0.0}
    summary = made(two, tmp_path / "out", all_tracks=True, **off)
    assert dict(summary.num_clips) == {"ok": 3}
    assert summary.document is not None
    assert not summary.document["config"].keys() & off.keys()
    assert "left_out" not in summary.document["counts"]
    assert not (tmp_path / "out/left_out.csv").exists()


def test_frames_of_a_gap_can_be_left_out(forty: Path) -> None:  # noqa: F811
    detector = Scripted(lambda index: [] if 10 <= index < 15 else [middle(index)])
    config = replace(CONFIG, undetected="drop")
    (clip,) = clips_of_video(forty, SourceVideo("v", forty.name, 1, None), config=config, detector=detector)
    assert isinstance(clip, Clip)
    records = [face.record for face in clip.faces]
    assert [record.frame_index for record in records] == [*range(10), *range(15, 40)]
    assert (clip.facts.num_frames, clip.facts.num_interpolated) == (35, 0)
    assert all(record.flags & FrameFlag.DETECTED for record in records)


def test_between_keyframes_is_flagged_and_counts_as_seen(forty: Path) -> None:  # noqa: F811
    asked: list[int] = []

    def script(index: int) -> list[Detection]:
        asked.append(index)
        return [middle(0)]

    config = replace(CONFIG, detect_every=4)
    (clip,) = clips_of_video(forty, SourceVideo("v", forty.name, 1, None), config=config, detector=Scripted(script))
    assert isinstance(clip, Clip)
    flags = [face.record.flags for face in clip.faces]
    keys = {*range(0, 40, 4), 39}
    assert len(asked) == len(keys)
    assert all(bool(flag & FrameFlag.DETECTED) == (i in keys) for i, flag in enumerate(flags))
    assert all(bool(flag & FrameFlag.BETWEEN_KEYFRAMES) == (i not in keys) for i, flag in enumerate(flags))
    assert clip.facts.detection_rate == 1.0
    assert clip.facts.num_interpolated == 0


def test_a_box_is_made_square_padded_and_not_turned() -> None:
    corners = box_corners(np.array([[10, 20, 50, 100]], np.float32))[0]
    matrix = square(corners, size_px=100, padding=0.25)
    np.testing.assert_allclose(matrix[:, :2], np.eye(2) * 100 / 120)
    np.testing.assert_allclose(matrix @ [30, 60, 1], [49.5, 49.5])


def test_box_alignment_and_size(two: Path, tmp_path: Path) -> None:
    made(two, tmp_path / "out", align="box", size_px=96, smoothing_window_frames=1)
    assert json.loads((tmp_path / "out/dataset.json").read_text())["config"]["align"] == "box"
    assert read_clip(tmp_path / "out", "alone.mp4", size_px=96).shape == (16, 3, 96, 96)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detect-every", "9"], "--detect-every 9: must be a whole number from 1 to 8"),
        (["--fast", "--detect-every", "2"], "--fast means --detect-every 5; use only one of the two"),
        (["--subject", "tallest"], "--subject tallest: must be balanced, largest, central, longest or score"),
        (
            ["--align", "tight", "--size", "8"],
            "--align tight: must be template, box or given; --size 8: must be a whole number from 32",
        ),
        (["--smoothing-window", "4"], "--smoothing-window 4: must be an odd number of frames; 1 switches it off"),
        (["--undetected", "keep"], "--undetected keep: must be interpolate or drop"),
        (["--min-face-px", "20", "--set", "min_brightness=3"], "--min-face-px and --min-brightness: only with --all"),
        (["--all-tracks", "--subjects", "x.csv"], "--subjects cannot be combined with --all-tracks"),
        (
            ["--detector", "dlib", "--precision", "bf16"],
            "--detector dlib supports only --device cpu with --precision f32",
        ),
    ],
)
def test_wrong_choices_are_told_in_one_line(
    two: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["prepare", "folder", "--source", str(two), *arguments]) == 2
    assert message in capsys.readouterr().err
