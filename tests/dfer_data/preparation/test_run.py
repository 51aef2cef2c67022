from __future__ import annotations

import json
import os
import shutil
import socket
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import simplejpeg
from safetensors.numpy import load_file

import dfer_data
from dfer_data.config import Request
from dfer_data.detect.registry import build_detector
from dfer_data.errors import CorruptDataError, CorruptShardError, UsageError
from dfer_data.faces.aligned_faces import decode
from dfer_data.faces.clip import Clip
from dfer_data.faces.pipeline import clips_of_video
from dfer_data.frame_sampling import baked_frames
from dfer_data.inspection.verify import verify
from dfer_data.loading.kept_open import read_clip
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.estimate import estimate
from dfer_data.preparation.progress import PreparationProgress
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import PreparationEvent, PreparationStarted, run_preparation
from dfer_data.preparation.tasks import VideoDone
from dfer_data.sources.base import SourceVideo
from dfer_data.storage.files import sha256_file
from tests.dfer_data.tiny import Prepared, document, tree

COLUMNS = [
    "clip_id",
    "source_clip_id",
    "status",
    "code",
    "label",
    "group",
    "votes",
    "shard",
    "row",
    "num_frames",
    "num_source_frames",
    "source",
    "source_sha256",
    "fps",
    "duration_seconds",
    "width_px",
    "height_px",
    "detection_rate",
    "mean_score",
    "num_interpolated",
    "num_tracks",
    "track",
    "ambiguity",
    "reason",
]
STATUS = {
    "happy/passenger.mp4": "ok",
    "happy/short.mp4": "ok",
    "happy/single.mp4": "ok",
    "sad/appears.mp4": "ok",
    "sad/cut.mkv": "partial",
    "sad/junk.mp4": "failed",
    "sad/none.mp4": "failed",
}
USABLE = [clip_id for clip_id, status in STATUS.items() if status != "failed"]


def test_the_manifest_has_one_row_a_clip_failed_ones_included(prepared: Prepared) -> None:
    clips = pd.read_parquet(prepared.out / "clips.parquet")
    assert list(clips.columns) == COLUMNS
    assert dict(zip(clips["clip_id"], clips["status"], strict=True)) == STATUS
    assert clips["clip_id"].tolist() == sorted(STATUS)
    assert clips["label"].tolist() == [clip_id.partition("/")[0] for clip_id in sorted(STATUS)]
    assert clips["source"].tolist() == clips["clip_id"].tolist()
    rows = clips.set_index("clip_id")
    frames = {"happy/passenger.mp4": 18, "happy/short.mp4": 3, "happy/single.mp4": 20, "sad/appears.mp4": 20}
    assert {clip_id: rows["num_source_frames"][clip_id] for clip_id in frames} == frames
    assert rows.loc["happy/single.mp4", ["fps", "width_px", "height_px", "num_tracks"]].tolist() == [25.0, 160, 90, 1]
    assert rows["duration_seconds"]["happy/single.mp4"] == pytest.approx(0.8)
    appears = rows.loc["sad/appears.mp4"]
    assert 5 < appears["num_frames"] < 20
    assert appears["detection_rate"] == pytest.approx(appears["num_frames"] / 20)
    assert 0.7 < appears["mean_score"] <= 1
    failed = rows[rows["status"] == "failed"]
    assert failed[["shard", "row", "mean_score"]].isna().all().all()
    assert (failed["num_frames"] == 0).all()
    assert failed["code"].tolist() == ["UNREADABLE", "NO_FACE"]
    assert rows["reason"]["sad/cut.mkv"].startswith("the file ends early")
    hashes = {clip_id: sha256_file(prepared.source / clip_id) for clip_id in USABLE}
    assert {clip_id: rows["source_sha256"][clip_id] for clip_id in USABLE} == hashes


def test_the_counts_of_dataset_json_are_those_of_the_manifest(prepared: Prepared) -> None:
    clips = pd.read_parquet(prepared.out / "clips.parquet")
    found = document(prepared.out)
    assert found["format_version"] == 1
    assert found["class_names"] == ["happy", "sad"]
    assert (found["synthetic"], found["recipe"], found["dataset"]) == (False, "folder", "folder")
    assert found["config"]["weights_sha256"] == prepared.resolved.plan.config.weights_sha256 != ""
    assert found["counts"] == {
        "clips": 7,
        "frames": int(clips["num_frames"].sum()),
        "status": {"ok": 4, "partial": 1, "failed": 2},
        "failures": {"UNREADABLE": 1, "NO_FACE": 1},
        "classes": {"happy": 3, "sad": 4},
        "folds": {},
    }


def test_the_ledger_says_what_failed_and_what_to_do(prepared: Prepared) -> None:
    rows = [json.loads(line) for line in (prepared.out / "ledger.jsonl").read_text().splitlines()]
    assert [(row["clip_id"], row["code"], row["frame"]) for row in rows] == [
        ("sad/junk.mp4", "UNREADABLE", None),
        ("sad/none.mp4", "NO_FACE", 7),
    ]
    for row in rows:
        assert row["source"] == row["source_clip_id"] == row["clip_id"]
        assert row["message"]
        assert row["hint"]


@pytest.mark.parametrize("clip_id", USABLE)
def test_a_clip_is_what_decoding_by_hand_gives(prepared: Prepared, clip_id: str) -> None:
    clip = read_clip(prepared.out, clip_id)
    assert clip.shape == (16, 3, 224, 224)
    assert clip.dtype == np.uint8
    assert clip.flags.c_contiguous
    row = pd.read_parquet(prepared.out / "clips.parquet").set_index("clip_id").loc[clip_id]
    tensors = load_file(prepared.out / "shards" / f"{row['shard']:05d}.safetensors")
    first, stop = tensors["clip_offsets"][row["row"] : row["row"] + 2]
    assert stop - first == row["num_frames"]
    for picture, index in zip(clip, baked_frames(int(row["num_frames"])), strict=True):
        start, end = tensors["frame_offsets"][first + index : first + index + 2]
        by_hand = simplejpeg.decode_jpeg(tensors["jpeg"][start:end].tobytes())
        np.testing.assert_array_equal(picture, by_hand.transpose(2, 0, 1))


def test_a_short_clip_repeats_its_last_frame(prepared: Prepared) -> None:
    clip = read_clip(prepared.out, "happy/short.mp4")
    assert (clip[2:] == clip[2]).all()
    assert (clip[1] != clip[2]).any()


def test_the_package_itself_offers_the_readers(prepared: Prepared) -> None:
    clip = dfer_data.read_clip(str(prepared.out), "happy/single.mp4", size_px=112)
    assert clip.shape == (16, 3, 112, 112)
    assert dfer_data.open_dataset(prepared.out).class_names == ("happy", "sad")


@pytest.mark.parametrize("clip_id", ["happy/single.mp4", "happy/short.mp4", "sad/appears.mp4"])
def test_plain_tensors_are_the_aligned_faces_before_any_jpeg(
    prepared: Prepared, prepared_clips16: Prepared, clip_id: str
) -> None:
    config, path = prepared_clips16.resolved.plan.config, prepared.source / clip_id
    detector = build_detector(config, weights=prepared.resolved.weights)
    assert detector is not None
    (result,) = clips_of_video(path, SourceVideo(clip_id, clip_id, 1, None), config=config, detector=detector)
    assert isinstance(result, Clip)
    aligned = np.stack([decode(face.payload, config) for face in result.faces])
    wanted = aligned[baked_frames(len(aligned))].transpose(0, 3, 1, 2)
    plain = read_clip(prepared_clips16.out, clip_id)
    np.testing.assert_array_equal(plain, wanted)
    through_jpeg = read_clip(prepared.out, clip_id)
    assert 0 < np.abs(plain.astype(float) - through_jpeg).mean() < 3


def test_plain_tensors_hold_sixteen_frames_a_clip(prepared_clips16: Prepared) -> None:
    data = open_dataset(prepared_clips16.out)
    row = data.clip("happy/single.mp4")
    reader = data.shard(int(row["shard"]))
    assert load_file(prepared_clips16.out / "shards/00000.safetensors")["clips"].shape == (1, 16, 224, 224, 3)
    assert reader.tensor("frame_index").tolist() == baked_frames(20).tolist()
    assert row["num_frames"] == 20
    assert reader.tensor("crc32").shape == (16,)


def test_readers_refuse_what_is_not_there(prepared: Prepared, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no clip 'happy/other'"):
        read_clip(prepared.out, "happy/other")
    with pytest.raises(UsageError, match=r"clip sad/none\.mp4 has no faces: NO_FACE: no face in 8 frames"):
        read_clip(prepared.out, "sad/none.mp4")
    with pytest.raises(UsageError, match="has no fold '1'; it has: none"):
        open_dataset(prepared.out).fold("1")
    with pytest.raises(UsageError, match=r"is not a prepared dataset .* make it with `dfer prepare`"):
        open_dataset(tmp_path)


def test_damage_is_met_at_the_clip_and_not_as_a_wrong_picture(prepared_copy: Path) -> None:
    row = open_dataset(prepared_copy).clip("happy/single.mp4")
    path = prepared_copy / "shards" / f"{row['shard']:05d}.safetensors"
    tensors = load_file(path)
    data = bytearray(path.read_bytes())
    data[len(data) - tensors["jpeg"].size + int(tensors["frame_offsets"][4]) + 700] ^= 4
    path.write_bytes(data)
    with pytest.raises(CorruptShardError, match=r"frame 4 of clip happy/single\.mp4 does not match its CRC-32"):
        read_clip(prepared_copy, "happy/single.mp4")
    read_clip(prepared_copy, "happy/passenger.mp4")


@pytest.mark.parametrize("name", ["clips.parquet", "dataset.json"])
def test_opening_checks_the_small_files(prepared_copy: Path, name: str) -> None:
    data = bytearray((prepared_copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (prepared_copy / name).write_bytes(data)
    with pytest.raises(CorruptDataError, match=name):
        open_dataset(prepared_copy)


def test_contact_sheets_show_the_faces(prepared: Prepared) -> None:
    sheets = sorted((prepared.out / "preview").iterdir())
    assert [sheet.name for sheet in sheets] == [f"{number:05d}.jpg" for number in range(7)]
    pictures_of_clips = [simplejpeg.decode_jpeg(sheet.read_bytes()) for sheet in sheets]
    assert {picture.shape[0] for picture in pictures_of_clips[:5]} == {96}
    assert pictures_of_clips[2][:, 150:].std() > 20  # eight thumbnails of single.mp4


def test_every_video_is_one_event(prepared: Prepared, tmp_path: Path) -> None:
    events: list[PreparationEvent] = []
    summary = run_preparation(prepared.resolved, tmp_path / "out", num_workers=0, on_event=events.append)
    assert events[0] == PreparationStarted(num_videos=7, num_shards=7)
    done = [event for event in events[1:] if isinstance(event, VideoDone)]
    assert [event.clip_id for event in done] == sorted(STATUS)
    codes = {"ok": 4, "partial": 1, "UNREADABLE": 1, "NO_FACE": 1}
    assert Counter(code for event in done for code in event.codes) == codes == summary.num_clips
    assert (summary.num_shards_made, summary.num_failed) == (7, 2)
    assert tree(tmp_path / "out") == tree(prepared.out)


def test_progress_is_reported_at_a_pace_and_logged(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each video takes 12 seconds of a made clock."""
    now = 0.0
    monkeypatch.setattr("dfer_data.render.pace.time.monotonic", lambda: now)
    events: list[PreparationEvent] = []

    def note(event: PreparationEvent) -> None:
        nonlocal now
        now += 12 * isinstance(event, VideoDone)
        events.append(event)

    run_preparation(prepared.resolved, tmp_path / "out", num_workers=0, on_event=note)
    found = [event for event in events if isinstance(event, PreparationProgress)]
    num_bytes = [video.num_bytes for task in prepared.resolved.plan.shards for video in task]
    reported = [(event.num_done, round(event.share, 6)) for event in found]
    shares = [sum(num_bytes[:number]) / sum(num_bytes) for number in range(8)]
    due = [number for number in range(1, 8) if shares[number] - shares[number - 1] >= 0.01]
    assert len(due) >= 5  # the file of junk is less than a hundredth of the work
    assert reported == [(number, round(shares[number], 6)) for number in due]
    num_frames = [event.num_frames for event in videos(events)]
    for event in found:
        assert event.frames_per_second == pytest.approx(sum(num_frames[: event.num_done]) / (12 * event.num_done))
        assert event.seconds_left == pytest.approx(12 * event.num_done * (1 / event.share - 1))
    assert str(found[-1]).startswith("7 of 7 videos, 100 % of the work, ")
    assert str(found[-1]).endswith(" failed, about 0 s left")
    log = [json.loads(line) for line in (tmp_path / "out/prepare.log").read_bytes().splitlines()]
    logged = [("begun", None), *(("progress", event.num_done) for event in found)]
    assert [(line["event"], line.get("num_done")) for line in log] == logged


def test_clips_that_show_little_of_their_video_are_counted_by_later_runs_and_by_verify(
    prepared: Prepared, prepared_copy: Path
) -> None:
    clips = pd.read_parquet(prepared.out / "clips.parquet")
    made = clips[clips["status"] != "failed"]
    summary = run_preparation(prepared.resolved, prepared_copy, num_workers=0)
    assert summary.num_shards_made == 0
    coverage = summary.coverage
    assert set(coverage.seldom_detected) == set(made["clip_id"][made["detection_rate"] < 0.5])
    assert set(coverage.shortened) == set(made["clip_id"][3 * made["num_frames"] < 2 * made["num_source_frames"]])
    assert "sad/appears.mp4" in coverage.shortened
    assert coverage.notes == summary.notes == verify(prepared_copy).notes
    assert f"{len(coverage.shortened)} clip" in coverage.notes[-1]


def videos(events: Sequence[PreparationEvent]) -> list[VideoDone]:
    return [event for event in events if isinstance(event, VideoDone)]


def test_nothing_of_this_machine_stands_in_the_files(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "place-of-the-videos"
    shutil.copytree(prepared.source, source)
    monkeypatch.setattr(socket, "gethostname", lambda: "host-of-nobody")
    monkeypatch.setattr(os, "getpid", lambda: 987654321)
    out = tmp_path / "place-of-the-output"
    run_preparation(resolve_request(Request(dataset="folder", source=source, det_size_px=160)), out, num_workers=0)
    for path in out.rglob("*"):
        if path.is_file() and path.suffix != ".log" and not path.name.startswith(".lock"):
            data = path.read_bytes()
            for secret in (b"host-of-nobody", b"987654321", b"place-of-the", bytes(tmp_path)):
                assert secret not in data, path
    log = (out / "prepare.log").read_bytes()
    assert b"host-of-nobody" not in log
    assert os.fsencode(tmp_path) not in log
    assert json.loads(log)["source"] == "../place-of-the-videos"
    assert tree(out) == tree(prepared.out)  # nor does it matter where the videos lie


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"det_size_px": 100}, "--det-size 100: must be a multiple of 32"),
        ({"jpeg_quality": 101}, "--jpeg-quality 101"),
        ({"store": "zip"}, "--store zip"),
        ({"partial": "mend"}, "--partial mend: must be keep or drop"),
        ({"align": "affine"}, "--align affine"),
        ({"align": "given"}, "--detector retinaface --align given"),
        ({"detector": "none", "align": "template"}, "--detector none --align template"),
        ({"clip_seconds": -1.0}, "--clip-seconds -1"),
    ],
)
def test_faults_of_the_settings_come_before_the_dataset_is_read(
    tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(UsageError) as caught:
        resolve_request(Request(**{"dataset": "folder", "source": tmp_path / "none", **changes}))
    assert fault in str(caught.value)


def test_an_estimate_is_near_the_truth(prepared: Prepared) -> None:
    found = estimate(prepared.resolved)
    assert found.num_sampled == 6
    truth = 18 + 3 + 20 + 20 + 24 + 8  # the cut file still declares its 24
    assert truth / 2 < found.num_frames < truth * 2
    assert found.cpu_seconds > 0
    assert found.output_bytes == found.num_frames * 12_000


def test_an_exception_in_a_run_lets_the_lock_go(prepared: Prepared, tmp_path: Path) -> None:
    def stop(event: PreparationEvent) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run_preparation(prepared.resolved, out, num_workers=0, on_event=stop)
    assert not (out / "dataset.json").exists()
    with pytest.raises(UsageError, match="prepare has not finished here: run it again to resume"):
        open_dataset(out)
    run_preparation(prepared.resolved, out, num_workers=0)
    assert tree(out) == tree(prepared.out)
