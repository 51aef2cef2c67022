from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dfer_cli.main import main
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.recipe import Recipe
from tests.dfer_data.tiny import write_video
from tests.lstpnet.prediction.test_video import Brightness
from tests.scenes import rendered

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def folder(heads_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a rendered head and one of a wall."""
    folder = tmp_path_factory.mktemp("videos")
    head = rendered(heads_wheel, {1: lambda t: (320.0, 180.0, 90.0)}, num_frames=1)
    write_video(folder / "head.mp4", head.pictures * 10)
    write_video(folder / "wall.mp4", [np.full((90, 160, 3), 120, np.uint8)] * 3)
    return folder


def test_a_page_and_its_facts(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "look.html"
    line = ["look", str(folder / "head.mp4"), "--out", str(out), "--detect-every", "8"]
    assert main(line) == 0
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "head.mp4: the whole video, 10 frames, 1 shot, 1 person",
        "  Person 0 is the only one. Hit rate 100 %.",
        f"{out}: open it in a browser",
    ]
    assert 'id="person-0"' in out.read_text()
    assert main(line) == 2
    assert "look.html already exists; choose another name or use --force" in capsys.readouterr().err
    assert main([*line, "--force", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["subject"], document["frames"], document["page"]) == (0, 10, str(out))


def test_a_video_without_a_face_has_a_page_that_says_so(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "wall.html"
    assert main(["look", str(folder / "wall.mp4"), "--out", str(out)]) == 3
    assert "  No face was found in 3 frames.\n" in capsys.readouterr().out
    page = out.read_text()
    assert "No face in 3 frames (100 %)" in page
    assert 'id="persons"' not in page


def test_wrong_input_is_reported_in_one_line(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"<html>")
    head, out = str(folder / "head.mp4"), ["--out", str(tmp_path / "x.html")]
    for arguments, code, message in [
        (["none.mp4", *out], 2, "none.mp4 does not exist"),
        ([str(tmp_path / "junk.mp4"), *out], 3, "junk.mp4 (6 bytes) is not a readable video"),
        ([str(folder), *out], 2, "names 2 videos; name one"),
        ([head, "--out", head, "--force"], 2, "is the video itself; choose another name"),
        ([head, "--out", str(tmp_path / "no/x.html")], 2, "does not exist; create it to write x.html there"),
        ([head, *out, "--detector", "none"], 2, "--detector none: a video needs a detector, retinaface or dlib"),
        ([head, *out, "--seconds", "-1"], 2, "--seconds -1"),
        ([head, *out, "--model", "nowhere"], 2, "nowhere: this run or model does not exist"),
        ([head, *out, "--checkpoint", "best"], 2, "--checkpoint is for a model: name one with --model"),
    ]:
        assert main(["look", *arguments]) == code
        said = capsys.readouterr()
        assert message in said.err
        assert said.err.count("\n") == 1
    assert not (tmp_path / "x.html").exists()


def test_a_model_adds_expressions(
    folder: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(name="own", size_px=48, input_norm="none", precision="f32")
    opened = OpenedModel(Brightness(), ("dark", "bright"), recipe, is_synthetic=True)
    monkeypatch.setattr("lstpnet.checkpoints.open_model.open_model", lambda source: opened)
    model, out = tmp_path / "m.onnx", tmp_path / "look.html"
    model.touch()
    line = ["look", str(folder / "head.mp4"), "--out", str(out), "--detect-every", "8", "--device", "cpu"]
    assert main([*line, "--model", str(model), "--json"]) == 0
    said = capsys.readouterr()
    expressions = json.loads(said.out)["expressions"]
    (person,) = expressions["persons"]
    assert (person["person"], set(person["mean"])) == (0, {"dark", "bright"})
    assert person["windows"][0]["class"] in ("dark", "bright")
    assert expressions["synthetic_model"] is True
    assert f"note: {model} was trained on rendered heads: says nothing about real faces\n" in said.err
    assert "trained on rendered heads: says nothing about real faces" in out.read_text()
