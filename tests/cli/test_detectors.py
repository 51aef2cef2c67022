from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from dfer_cli.main import main
from tests.dfer_data.tiny import real_pictures, write_video

Capture = pytest.CaptureFixture[str]
without_resnet50 = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is not None, reason="this environment may have the ResNet-50"
)


@pytest.fixture(scope="module")
def videos(real_videos: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "single.mp4", real_pictures(real_videos["single_face.mp4"], stop=10))
    write_video(folder / "none.mp4", real_pictures(real_videos["no_face.mp4"], stop=5))
    return folder


@without_resnet50
def test_both_detectors_on_a_folder(videos: Path, tmp_path: Path, capsys: Capture) -> None:
    line = ["detectors", "compare", str(videos), "--det-size", "160", "--out", str(tmp_path / "out")]
    assert main(line) == 0
    printed = capsys.readouterr().out
    assert "note: without retinaface-resnet50: --backbone resnet50 needs torchvision" in printed
    assert "detector retinaface: mobilenet0.25, weights sha256 b7a7acab55e1; long side 160 px" in printed
    assert "detector dlib: hog-5pt, weights sha256 c4b1e9804792; long side 160 px" in printed
    assert "2 clips, 15 frames; lengths in % of the inter-ocular distance" in printed
    assert "retinaface  66.7 % (10)" in printed
    assert "jitter, shared frames  scale range  scale range, rigid points" in printed
    assert "retinaface, dlib  100.0 % (10 of 10)" in printed
    assert f"contact sheets: {tmp_path / 'out/sheets'}" in printed
    assert len(list((tmp_path / "out/sheets").glob("*.jpg"))) == 2
    assert main(line) == 2
    assert "already holds a comparison; choose another folder, or --force" in capsys.readouterr().err
    assert main([*line, "--force", "--detectors", "dlib", "--every", "5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in document["detectors"]] == ["dlib"]
    assert document["detectors"][0]["num_frames"] == 3
    assert document == json.loads((tmp_path / "out/comparison.json").read_text())


def test_videos_that_cannot_be_read_are_listed(videos: Path, tmp_path: Path, capsys: Capture) -> None:
    for name in ("single.mp4", "none.mp4"):
        (tmp_path / name).write_bytes((videos / name).read_bytes())
    (tmp_path / "junk.mp4").write_text("<html>")
    line = ["detectors", "compare", str(tmp_path), "--det-size", "160", "--detectors", "retinaface"]
    assert main([*line, "--json"]) == 3
    shown = capsys.readouterr()
    assert json.loads(shown.out)["unread"][0]["code"] == "UNREADABLE"
    assert "junk.mp4 (6 bytes) is not a readable video" in shown.err
    assert main([*line, "--limit", "1"]) == 3  # of three, the first by name is the broken one
    assert "0 clips, 0 frames" in capsys.readouterr().out


@without_resnet50
def test_what_is_wrong_is_told_in_one_line(videos: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    for line, message in [
        (f"{tmp_path / 'none'}", "none is not a folder; give a folder of videos"),
        (f"{tmp_path}", "holds no video (0 other files; known extensions: .3gp"),
        (f"{videos} --detectors mtcnn", "unknown detector 'mtcnn'; known: retinaface, retinaface-resnet50, dlib"),
        (f"{videos} --detectors dlib,dlib", "--detectors dlib,dlib: name each detector once, separated by commas"),
        (f"{videos} --detectors ,", "name each detector once"),
        (f"{videos} --detectors retinaface-resnet50", "needs torchvision, which is not installed: pip install"),
        (f"{videos} --resnet50-weights x.pth", "needs torchvision, which is not installed: pip install"),
        (f"{videos} --det-size 100", "--det-size 100: must be a multiple of 32"),
    ]:
        assert main(["detectors", "compare", *line.split(), "--out", str(out)]) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()
    out.touch()
    line = f"{videos} --det-size 160 --detectors retinaface --out {out / 'below'}"
    assert main(["detectors", "compare", *line.split()]) == 1
    assert f"cannot write {out / 'below'}: Not a directory" in capsys.readouterr().err


@without_resnet50
def test_the_list_says_what_can_run(capsys: Capture) -> None:
    assert main(["detectors", "list"]) == 0
    printed = capsys.readouterr().out
    assert "retinaface           --detector retinaface --backbone mobilenet0.25  can run" in printed
    assert "retinaface-resnet50  --detector retinaface --backbone resnet50       cannot run" in printed
    assert main(["detectors", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["detectors"]
    assert [row["problem"] is None for row in rows] == [True, False, True]
