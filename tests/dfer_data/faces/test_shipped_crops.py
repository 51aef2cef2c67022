"""Crops that datasets ship: which are taken, what is warned of, what is refused, what a detector makes of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dfer_cli.main import main
from dfer_data import open_dataset, read_clip
from dfer_data.config import Request
from dfer_data.errors import ConfigMismatchError, UsageError
from dfer_data.faces.crop_check import crop_notes
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import run_preparation
from dfer_data.sources.registry import SOURCES
from dfer_data.types import Image
from dfer_data.video.image_folder import hash_of_pictures
from tests.crops import write_crops
from tests.dfer_data.tiny import Prepared, pictures, real_pictures, write_jpegs

Capture = pytest.CaptureFixture[str]


def write_clips(root: Path, images: list[Image], *, num_clips: int = 3) -> Path:
    for number in range(num_clips):
        names = [f"{index}.jpg" for index in range(len(images))]
        write_jpegs(root / "happy" / f"clip{number}", images, names=names)
    return root


def notes(root: Path, detector: str = "none") -> tuple[str, ...]:
    return crop_notes(root, SOURCES["folder"].list(root, layout="frames"), detector=detector)


@pytest.fixture
def faces(prepared: Prepared) -> list[Image]:
    """Aligned faces of a person, as a dataset would ship them."""
    clip = read_clip(prepared.out, "happy/single.mp4").transpose(0, 2, 3, 1)
    return [np.ascontiguousarray(image) for image in clip[:6]]


def test_face_crops_pass_without_a_word(faces: list[Image], tmp_path: Path) -> None:
    assert notes(write_clips(tmp_path, faces)) == ()


def test_whole_frames_are_warned_of(real_videos: dict[str, Path], tmp_path: Path) -> None:
    frames = real_pictures(real_videos["single_face.mp4"], stop=3, width_px=320)
    (note,) = notes(write_clips(tmp_path / "wide", frames))
    assert note.startswith("3 of 3 sample pictures unlike face crops")
    canvas = np.full((320, 320, 3), 128, np.uint8)
    canvas[:90, :160] = np.asarray(cv2.resize(frames[0], (160, 90)), np.uint8)
    (note,) = notes(write_clips(tmp_path / "small", [canvas]))
    assert note.startswith("3 of 3 sample pictures unlike face crops")
    (note,) = notes(write_clips(tmp_path / "no face", pictures(3)))
    assert "whole frames need a detector" in note


def test_pictures_of_several_sizes_are_warned_of(faces: list[Image], tmp_path: Path) -> None:
    write_clips(tmp_path, faces)
    write_jpegs(tmp_path / "sad/small", [np.asarray(cv2.resize(faces[0], (112, 112)), np.uint8)], names=["1.jpg"])
    assert notes(tmp_path) == (
        "pictures have several sizes (112 x 112, 224 x 224); check that they are crops of one kind",
    )


def test_a_detector_on_crops_aligns_them_anew_and_says_so(faces: list[Image], tmp_path: Path) -> None:
    source = write_clips(tmp_path / "source", faces, num_clips=1)
    resolved = resolve_request(Request(dataset="folder", source=source, crops="happy", det_size_px=160))
    assert resolved.plan.listing.layout == "frames"
    assert resolved.plan.listing.notes[0].startswith("retinaface realigns pictures that are already cropped and scaled")
    run_preparation(resolved, tmp_path / "out", num_workers=0)
    clip = open_dataset(tmp_path / "out").clip("happy/clip0")
    assert (clip["status"], clip["num_frames"], clip["width_px"], clip["fps"]) == ("ok", 6, 224, 0.0)
    assert clip["detection_rate"] == 1
    assert clip["source_sha256"] == hash_of_pictures(source / "happy/clip0")[1]
    assert not (read_clip(tmp_path / "out", "happy/clip0")[0].transpose(1, 2, 0) == faces[0]).all()


def test_a_picture_of_another_size_ends_a_clip_that_is_aligned(faces: list[Image], tmp_path: Path) -> None:
    source = write_clips(tmp_path / "source", faces, num_clips=1)
    smaller = np.asarray(cv2.resize(faces[0], (112, 112)), np.uint8)
    (source / "happy/clip0/4.jpg").write_bytes(cv2.imencode(".jpg", smaller)[1].tobytes())
    run_preparation(
        resolve_request(Request(dataset="folder", source=source, crops="happy", det_size_px=160)),
        tmp_path / "o",
        num_workers=0,
    )
    clip = open_dataset(tmp_path / "o").clip("happy/clip0")
    assert (clip["status"], clip["num_frames"]) == ("partial", 4)
    assert clip["reason"].endswith("4.jpg differs in size from the pictures before it")


def test_png_crops_are_stored_as_jpeg_with_their_size(faces: list[Image], tmp_path: Path) -> None:
    folder = tmp_path / "source/happy/1"
    folder.mkdir(parents=True)
    for number in (10, 9):
        (folder / f"{number}.png").write_bytes(cv2.imencode(".png", faces[number - 9][..., ::-1])[1].tobytes())
    resolved = resolve_request(Request(dataset="folder", source=tmp_path / "source", detector="none"))
    assert resolved.plan.listing.notes == (
        "pictures in other formats than JPEG, or turned by EXIF, are stored as JPEG with --jpeg-quality; the bytes of "
        "others are kept as they are",
    )
    run_preparation(resolved, tmp_path / "out", num_workers=0)
    clip = open_dataset(tmp_path / "out").clip("happy/1")
    assert (clip["num_frames"], clip["width_px"]) == (2, 224)
    first = read_clip(tmp_path / "out", "happy/1")[0].transpose(1, 2, 0).astype(int)
    assert np.abs(first - faces[0]).mean() < 3
    (folder / "9.png").write_bytes(b"\x89PNG and no more")
    run_preparation(resolved, tmp_path / "again", num_workers=0)
    assert open_dataset(tmp_path / "again").clip("happy/1")["code"] == "BAD_PICTURE"


def test_two_kinds_of_crops_are_not_mixed(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "source", num_clips=35, num_frames=lambda number: 2)
    for path in sorted((source / "Clip/clip_224x224").glob("*/1.jpg")):
        target = source / "Clip/clip_224x224_16f" / path.parent.name / "1.jpg"
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())
    with pytest.raises(
        UsageError, match=r"kinds, which are not mixed: clip_224x224 \(35 clips\), clip_224x224_16f \(35"
    ):
        resolve_request(Request(dataset="dfew", source=source, detector="none"))
    chosen = [
        resolve_request(Request(dataset="dfew", source=source, detector="none", crops=f"clip_224x224{k}"))
        for k in ("", "_16f")
    ]
    folders = [{video.path.split("/")[1] for video in one.plan.listing.videos} for one in chosen]
    assert folders == [{"clip_224x224"}, {"clip_224x224_16f"}]
    run_preparation(chosen[0], tmp_path / "out", num_workers=0)
    with pytest.raises(ConfigMismatchError, match="source videos: 35 new or changed"):
        run_preparation(chosen[1], tmp_path / "out", num_workers=0)


def test_one_kind_inside_the_other_is_still_of_its_own_kind(tmp_path: Path) -> None:
    source = write_crops(tmp_path / "source", num_clips=35, num_frames=lambda number: 2)
    inner = source / "Clip/clip_224x224/clip_224x224_16f/00001"
    inner.mkdir(parents=True)
    (inner / "1.jpg").write_bytes((source / "Clip/clip_224x224/00001/1.jpg").read_bytes())
    found = SOURCES["dfew"].list(source, layout="frames", crops="clip_224x224")
    assert found.videos[0].path == "Clip/clip_224x224/00001"
    assert len(SOURCES["dfew"].list(source, layout="frames", crops="clip_224x224_16f").missing) == 34


def test_the_command_line_takes_crops_where_there_is_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    write_crops(Path("data/dfew"), num_clips=35, num_frames=lambda number: 2)
    assert main(["prepare", "dfew", "--crops", "clip_224x224", "--engine", "inline"]) == 0
    assert Path("prepared/dfew-none-clip_224x224/dataset.json").is_file()
    assert "detector none: the dataset's own crops" in capsys.readouterr().out
    assert main(["prepare", "dfew", "--dry-run", "--crops", "nothing"]) == 2
    assert (
        "holds no Clip/nothing/*/*.jpg (there are clip_224x224: choose one with --crops NAME) of DFEW"
        in capsys.readouterr().err
    )


def test_folds_are_made_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.chdir(tmp_path)
    for label in ("happy", "sad"):
        for number in range(4):
            write_jpegs(tmp_path / f"source/{label}/{number}", pictures(2), names=["1.jpg", "2.jpg"])
    line = ["prepare", "folder", "--source", "source", "--detector", "none", "--engine", "inline"]
    assert main([*line, "--folds", "2", "--group-by", "clip", "--stratify", "--seed", "3"]) == 0
    data = open_dataset(tmp_path / "prepared/folder-none")
    assert data.document["fold_rule"] == "2 folds by clip, stratified, seed 3"
    for fold in ("1", "2"):
        test = [data.clip(clip_id)["label"] for clip_id, split in data.fold(fold).items() if split == "test"]
        assert sorted(test) == ["happy", "happy", "sad", "sad"]
    capsys.readouterr()
    assert main([*line, "--folds", "2"]) == 2
    assert "the person in happy/0 is unknown" in capsys.readouterr().err
    assert main([*line, "--stratify", "--seed", "3"]) == 2
    assert "--stratify, --seed need --folds" in capsys.readouterr().err
    assert main([*line, "--folds", "2", "--group-by", "clip"]) == 2
    assert "fold_rule" in capsys.readouterr().err
