from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import pytest

from dfer_cli._support.predict_files import picture_names, videos_named
from dfer_cli.main import main
from dfer_data.errors import UsageError
from lstpnet.prediction.attention_figure import FIGURE_WIDTH_PX, FOOT_PX, HEAD_PX, ROW_PX
from tests.dfer_data.tiny import real_pictures, write_video
from tests.lstpnet.conftest import Done, synthetic_copy

Capture = pytest.CaptureFixture[str]


def test_a_folder_of_videos(plain: Done, real_videos: dict[str, Path], tmp_path: Path, capsys: Capture) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("single_face.mp4", "no_face.mp4"):
        shutil.copy(real_videos[name], videos)
    (videos / "junk.mp4").write_bytes(b"<html>")
    line = ["predict", str(videos), "--model", str(plain.folder), "--csv", str(tmp_path / "p.csv")]
    assert main([*line, "--json"]) == 3
    document = json.loads(capsys.readouterr().out)
    junk, nobody, single = document["videos"]
    assert "is not a readable video" in junk["problem"]
    assert nobody["problem"] == "no face in 8 or more frames"
    (person,) = single["persons"]
    assert person["frames"] == 72
    assert [window["start_seconds"] for window in person["windows"]] == [0.0, pytest.approx(0.4, abs=0.05)]
    assert set(person["mean"]) == set(document["class_names"])
    assert sum(person["mean"].values()) == pytest.approx(1, abs=1e-3)
    assert [(video["code"], bool(video["hint"])) for video in (junk, nobody)] == [
        ("UNREADABLE", True),
        ("NO_FACE", True),
    ]
    table = pd.read_csv(tmp_path / "p.csv")
    failed, table = table[table["code"].notna()], table[table["code"].isna()]
    assert list(failed["video"]) == [junk["video"], nobody["video"]]
    assert list(failed["problem"]) == [junk["problem"], nobody["problem"]]
    assert failed["person"].isna().all()
    assert len(table) == 2
    assert table[document["class_names"]].sum(axis=1).tolist() == pytest.approx([1, 1], abs=1e-3)
    assert main(line) == 2
    assert "p.csv already exists; choose another name or use --force" in capsys.readouterr().err
    pictures = ["--plots", str(tmp_path / "plots"), "--annotate", str(tmp_path / "plots")]
    assert main([*line[:1], str(videos / "single*.mp4"), *line[2:4], *pictures]) == 0
    assert "  person 0, 0.0 to 2.4 s, 2 windows: " in capsys.readouterr().out
    with av.open(str(tmp_path / "plots/single_face-annotated.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert sum(1 for _ in container.decode(video=0)) == 72
    picture = (tmp_path / "plots/single_face.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_a_filmstrip_of_each_person_shows_what_is_attended_to(
    plain: Done, real_videos: dict[str, Path], tmp_path: Path, capsys: Capture
) -> None:
    strips = tmp_path / "strips"
    video = write_video(tmp_path / "v.mp4", real_pictures(real_videos["single_face.mp4"], stop=20, width_px=240))
    line = ["predict", str(video), "--model", str(plain.folder), "--attention", str(strips)]
    assert main([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    (person,) = document["videos"][0]["persons"]
    for window in person["windows"]:
        assert len(window["attention"]) == 16
        assert sum(window["attention"]) == pytest.approx(1, abs=2e-3)
    (path,) = strips.iterdir()
    assert path.name == "v-person-0.png"
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture.shape == (HEAD_PX + ROW_PX + FOOT_PX, FIGURE_WIDTH_PX, 3)
    assert main(line) == 2
    assert "v-person-0.png already exists; choose another name or use --force" in capsys.readouterr().err
    (strips / "v-person-7.png").write_bytes(b"of another run")
    (strips / "mine.png").write_bytes(b"")
    assert main([*line, "--force"]) == 0
    assert sorted(each.name for each in strips.iterdir()) == ["mine.png", "v-person-0.png"]
    assert main([*line[:-1], str(video)]) == 2
    assert "v.mp4 is not a folder" in capsys.readouterr().err


def test_a_model_trained_on_rendered_heads_is_marked_everywhere(
    plain: Done, real_videos: dict[str, Path], tmp_path: Path, capsys: Capture
) -> None:
    warning = "trained on rendered heads: says nothing about real faces"
    run = synthetic_copy(plain.folder, tmp_path / "run")
    source = write_video(tmp_path / "v.mp4", real_pictures(real_videos["single_face.mp4"], stop=20, width_px=240))
    heights = {}
    for folder in (plain.folder, run):
        out = tmp_path / f"out-{folder.name}"
        options = [word for name in ("plots", "annotate", "attention") for word in (f"--{name}", str(out))]
        line = ["predict", str(source), "--model", str(folder), "--csv", str(out) + ".csv", *options]
        assert main([*line, "--json"]) == 0
        said = capsys.readouterr()
        is_marked = folder == run
        assert said.err.count(f"note: {folder} was {warning}\n") == is_marked
        assert json.loads(said.out)["synthetic_model"] is is_marked
        assert pd.read_csv(f"{out}.csv")["synthetic_model"].tolist() == [is_marked]
        assert sorted(path.name for path in out.iterdir()) == ["v-annotated.mp4", "v-person-0.png", "v.png"]
        with av.open(str(out / "v-annotated.mp4")) as container:
            heights[folder] = [container.streams.video[0].height]
        for name in ("v-person-0.png", "v.png"):
            picture = cv2.imread(str(out / name))
            assert picture is not None
            heights[folder].append(len(picture))
            yellow = np.abs(picture[-12, 20].astype(int) - (60, 200, 255)).max() < 8
            assert yellow == is_marked
    assert all(marked > other for marked, other in zip(heights[run], heights[plain.folder], strict=True))


def test_pictures_are_named_by_the_video_without_its_ending() -> None:
    paths = [Path("in/a.mp4"), Path("in/b.mp4"), Path("in/b.avi")]
    assert list(picture_names(paths).values()) == ["a", "b.mp4", "b.avi"]


def test_pictures_never_share_a_name() -> None:
    def names(*paths: str) -> list[str]:
        return list(picture_names([Path(path) for path in paths]).values())

    assert names("a/x.mp4", "b/x.mp4", "b/y.mp4") == ["a-x.mp4", "b-x.mp4", "y"]
    assert names("in/x.mp4", "in/X.mp4")[0] != "x"  # one file where capitals do not count
    assert names("x.mp4", "x-person-0.mp4") == ["x", "x-person-0.mp4"]  # whose plot would be a filmstrip of the other
    same_folder = names("1/a/x.mp4", "2/a/x.mp4", "2/a-x.mp4", "2/a-x.avi")
    assert len({name.casefold() for name in same_folder}) == 4
    long = names(f"{'é' * 120}1.mp4", f"{'é' * 120}2.mp4")
    assert len(set(long)) == 2
    assert all(200 < len(name.encode()) <= 225 for name in long)


@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_what_is_no_file_is_refused_and_never_opened(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/null")
    if kind == "a named pipe":
        path = tmp_path / "v.mp4"
        os.mkfifo(path)
        with pytest.raises(UsageError, match=f"v.mp4 is {kind}, not a video file"):
            videos_named([str(tmp_path)])
    if kind == "a socket":
        path = tmp_path / "v.mp4"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(path))
    with pytest.raises(UsageError, match=f"is {kind}, not a video file"):
        videos_named([str(path)])


def test_a_name_that_is_not_text_is_refused_before_the_work(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")
    Path(path).write_bytes(b"")
    with pytest.raises(UsageError, match="the name is not valid UTF-8"):
        videos_named([str(tmp_path)])


def test_a_model_without_attention_says_so_in_one_line_and_predicts(
    plain: Done, real_videos: dict[str, Path], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstpnet.evaluation.frame_attention.LSTformer", type(None))
    line = ["predict", str(real_videos["single_face.mp4"]), "--model", str(plain.folder)]
    assert main([*line, "--attention", str(tmp_path / "strips")]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "--attention: no filmstrips: a model with temporal 'lstformer' has no attention over time"
    assert "  person 0, " in out[2]
    assert not (tmp_path / "strips").exists()


def test_what_cannot_be_predicted_is_told_in_one_line(plain: Done, tmp_path: Path, capsys: Capture) -> None:
    model = ["--model", str(plain.folder)]
    for arguments, message in [
        ([str(tmp_path / "none.mp4"), *model], "none.mp4 does not exist"),
        ([str(tmp_path / "*.mp4"), *model], "*.mp4 matches no file"),
        ([str(tmp_path), *model], "no video in "),
        ([str(tmp_path), *model, "--stride-seconds", "0"], "--stride-seconds 0: must be a number more than 0"),
    ]:
        assert main(["predict", *arguments]) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    for name in ("v.mp4", "v-annotated.mp4", "other/v.mp4"):
        (tmp_path / name).write_bytes(b"")
    video, named = str(tmp_path / "v.mp4"), str(tmp_path / "v*.mp4")
    for arguments, message in [
        ([video, "--model", str(tmp_path / "none")], "none: this run or model does not exist"),
        ([video, *model, "--plots", video], "v.mp4 is not a folder"),
        ([video, *model, "--csv", str(tmp_path), "--force"], "is a folder; give the name of a file"),
        ([video, *model, "--csv", str(tmp_path / "no/x.csv")], "to write x.csv there"),
        ([named, *model, "--annotate", str(tmp_path)], "v-annotated.mp4 is one of the input videos; choose another"),
        ([video, *model, "--csv", video, "--force"], "v.mp4 is one of the input videos; choose another"),
        ([video, *model, "--csv", str(tmp_path / ("c" * 252 + ".csv"))], "a file name has at most 255 bytes"),
        ([video, *model, "--csv", "/dev/null", "--force"], "/dev/null is not a file that can be replaced"),
        ([video, *model, "--resume"], "--resume: nothing is kept without --csv"),
        ([video, *model, "--csv", str(tmp_path / "x.csv"), "--resume", "--force"], "use only one of the two"),
        ([video, *model, "--plots", f"{video}/p"], f"--plots {video}/p cannot be created"),
    ]:
        assert main(["predict", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert main(["predict", str(tmp_path), *model, "--detector", "none"]) == 2
    assert "--detector none: a video needs a detector, retinaface or dlib" in capsys.readouterr().err


def test_a_note_says_what_scores_are(plain: Done, tmp_path: Path, capsys: Capture) -> None:
    note = "scores are expressions as annotators label them, not felt emotion; see docs/explanation/intended-use.md"
    (tmp_path / "junk.mp4").write_bytes(b"<html>")
    line = ["predict", str(tmp_path / "junk.mp4"), "--model", str(plain.folder)]
    assert main([*line, "--json"]) == 3
    said = capsys.readouterr()
    assert said.err.count(f"note: {note}\n") == 1
    assert json.loads(said.out)["note"] == note
    assert main(line) == 3
    said = capsys.readouterr()
    assert (note in said.out, said.err.count(note)) == (False, 1)
