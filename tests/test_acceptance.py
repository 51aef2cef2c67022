"""From videos to face clips on real faces and on the demo dataset: what a user is promised."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import dfer_data
from dfer_cli.main import main
from dfer_data.detect.dlib import Dlib
from dfer_data.detect.retinaface import RetinaFace
from dfer_data.faces.align import eye_centres, landmark_template
from dfer_data.video.reader import open_video
from dfer_data.weights.fetch import weights_file


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, real_videos: dict[str, Path]) -> tuple[Path, int]:
    """The real videos, prepared; the folder and the exit code."""
    root = tmp_path_factory.mktemp("real")
    (root / "videos").mkdir()
    for path in real_videos.values():
        shutil.copy(path, root / "videos")
    place = ["--source", str(root / "videos"), "--out", str(root / "faces")]
    return root / "faces", main(["prepare", "folder", *place, "--engine", "inline"])


@pytest.mark.parametrize(
    ("name", "num_faces", "num_frames"),
    [
        ("single_face.mp4", 72, 72),
        ("face_noface.mov", 72, 169),
        ("noface_face.mov", 72, 169),
        ("carphone_pristine.mp4", 120, 120),
    ],
)
def test_faces_are_found_in_the_frames_that_show_one(
    real: tuple[Path, int], name: str, num_faces: int, num_frames: int
) -> None:
    clip = dfer_data.open_dataset(real[0]).clip(name)
    assert (clip["num_frames"], clip["num_source_frames"]) == (num_faces, num_frames)
    assert clip["detection_rate"] == pytest.approx(num_faces / num_frames)


def test_a_video_without_a_face_is_in_the_ledger_and_exit_is_3(real: tuple[Path, int]) -> None:
    folder, code = real
    rows = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    assert [(row["clip_id"], row["code"]) for row in rows] == [("no_face.mp4", "NO_FACE")]
    assert code == 3


@pytest.mark.parametrize("name", ["single_face.mp4", "noface_face.mov", "carphone_pristine.mp4"])
def test_aligned_faces_are_upright_with_level_eyes_in_their_place(real: tuple[Path, int], name: str) -> None:
    clip = dfer_data.read_clip(real[0], name)
    detector = RetinaFace(weights_file("retinaface-mobilenet0.25"))
    eyes = np.stack([found[0].landmarks[:2] for found in detector.detect(list(clip.transpose(0, 2, 3, 1)))])
    wanted = landmark_template("eyes-nose-mouth", size_px=224, scale=0.8)[:2]
    across = eyes[:, 1] - eyes[:, 0]
    assert np.abs(np.degrees(np.arctan2(across[:, 1], across[:, 0]))).max() < 8
    assert np.linalg.norm(eyes.mean(axis=1) - wanted.mean(axis=0), axis=1).max() < 12


def landmark_errors(work: Path) -> npt.NDArray[np.float32]:
    """Return (F,) mean errors of the stored landmarks of every frame over its inter-ocular distance."""
    dataset = dfer_data.open_dataset(work / "prepared/dfew-retinaface")
    assert dataset.clips["detection_rate"].mean() >= 0.99
    errors = []
    for number in range(len(dataset.document["shards"])):
        reader = dataset.shard(number)
        landmarks, frames = reader.tensor("landmarks"), reader.tensor("frame_index")
        clips = dataset.clips[dataset.clips["shard"] == number].sort_values("row")
        for row, clip_id in zip(clips["row"], clips["clip_id"], strict=True):
            mine = slice(int(reader.clip_offsets[row]), int(reader.clip_offsets[row + 1]))
            truth = np.load(work / "data/dfew/ground_truth/landmarks" / f"{clip_id}.npy")[frames[mine]]
            iod = np.linalg.norm(truth[:, 1] - truth[:, 0], axis=1)
            errors.append(np.linalg.norm(landmarks[mine] - truth, axis=2).mean(axis=1) / iod)
    return np.concatenate(errors)


def test_retinaface_finds_the_demo_heads_where_they_are(workspace: Path) -> None:
    """The ten heads of the small demo are a little harder than all twenty, which the soak test holds to 0.10."""
    assert np.percentile(landmark_errors(workspace), 95) <= 0.11


def test_dlib_finds_the_demo_heads_where_they_are(workspace: Path) -> None:
    detector = Dlib(weights_file("dlib-5-landmarks"))
    num_frames, errors = 0, []
    for path in sorted((workspace / "data/dfew/Clip/original").glob("*.mp4"))[::8]:
        with open_video(path) as reader:
            frame = list(reader.frames())[12]
        num_frames += 1
        for face in detector.detect([frame.image])[0][:1]:
            truth = np.load(workspace / "data/dfew/ground_truth/landmarks" / f"{path.stem}.npy")[12, :2]
            distance = np.linalg.norm(eye_centres(face.landmarks, detector.scheme) - truth, axis=1).mean()
            errors.append(distance / np.linalg.norm(truth[1] - truth[0]))
    assert len(errors) >= 0.98 * num_frames
    assert np.percentile(errors, 95) <= 0.10


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("prepare", "dfew", "--source", "nowhere"), ("dfew-dataset.github.io", "set_1..5.csv", "dfer synth dfew")),
        (("prepare", "dfew", "--detector", "mtcnn"), ("unknown detector 'mtcnn'", "retinaface, dlib")),
        (("prepare", "imagenet"), ("unknown dataset 'imagenet'", "dfew, ferv39k, afew")),
        (("prepare", "dfew", "--det-size", "320"), ("det_size_px: 640 there, 320 now", "--out")),
        (("prepare", "dfew", "--align", "given"), ("--detector none --align given",)),
        (
            ("prepare", "dfew", "--jpeg-quality", "0", "--store", "tar", "--det-size", "1"),
            ("--jpeg", "--store", "--det-size"),
        ),
        (("verify", "nowhere"), ("nowhere is not a prepared dataset",)),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_2(
    workspace: Path,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workspace)
    assert main(arguments) == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def test_five_planted_faults_are_named_at_once(
    workspace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(workspace / "data/dfew", tmp_path / "dfew", ignore=shutil.ignore_patterns("*.npy"))
    folder = tmp_path / "dfew/EmoLabel_DataSplit"
    train = folder / "train(single-labeled)/set_1.csv"
    test = folder / "test(single-labeled)/set_1.csv"
    lines = train.read_text().splitlines()
    lines[2] = "58,9"
    lines[3] = lines[1]
    lines[4] = "clip,1"
    lines[5] = test.read_text().splitlines()[1]
    train.write_text("\n".join(lines) + "\n")
    (folder / "test(single-labeled)/set_4.csv").unlink()
    assert main(["prepare", "dfew", "--source", str(tmp_path / "dfew"), "--out", str(tmp_path / "faulty")]) == 2
    said = capfd.readouterr().err
    for words in (
        "set_1.csv:3: label '9'",
        "set_1.csv:4: clip",
        "set_1.csv:5: 'clip,1'",
        ":2: clip 00001 of test",
        "set_4.csv: missing",
    ):
        assert words in said
    assert not (tmp_path / "faulty").exists()
