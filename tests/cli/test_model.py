"""`dfer model` as its users meet it."""

from __future__ import annotations

import functools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import dfer_data
from dfer_cli.main import main
from lstpnet.checkpoints import export
from lstpnet.checkpoints.checkpoint import load_checkpoint
from lstpnet.checkpoints.reference import export_reference
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.models import variants
from lstpnet.models.catalogue import NETWORKS
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.registry import build_model
from lstpnet.predictions_table import read_predictions
from lstpnet.runs import read_run
from tests.lstpnet.conftest import Done

Capture = pytest.CaptureFixture[str]


def test_the_list_has_parameters_and_multiplications(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: variants.VARIANTS[name] for name in ("lstpnet", "attention=cbam")}
    monkeypatch.setattr(variants, "VARIANTS", few)
    assert main(["model", "variants", "--no-time"]) == 0
    header, first, *others = capsys.readouterr().out.splitlines()
    assert header.split("  ")[0] == "--set"
    assert re.fullmatch(r"lstpnet +24\.62 M +29\.57 +8\.31 +2\.92", first)
    assert any(line.startswith("attention=cbam ") for line in others)
    assert len(others) == 1
    monkeypatch.setattr(variants, "VARIANTS", {"lstpnet": {}})
    assert main(["model", "variants", "--no-time", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[0]["num_parameters"] == 24_619_686


def test_the_list_names_every_network_with_its_costs_and_licences(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variants, "network_cost", functools.cache(variants.network_cost))  # listed twice, counted once
    assert main(["model", "list"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == [
        *("--model", "parameters", "GMAC", "px", "frames"),
        *("start", "weights", "source", "licence"),
    ]
    assert re.match(r"lstpnet +24\.62 M +29\.57 +224 +any ", lines[0])
    (videomae,) = (line for line in lines if line.startswith("videomae-b16 "))
    assert re.match(r"videomae-b16 +86\.23 M +80\.69 +160 +even +VideoMAE's; CC BY-NC 4\.0", videomae)
    line_of_clip = r"clip-vit +90\.30 M +285\.25 +224 +16 "
    if NETWORKS["clip-vit"].missing_packages:
        line_of_clip = "clip-vit: CLIP ViT with LoRA, needs .*frontier"
    assert any(re.match(line_of_clip, line) for line in lines)
    assert "stt: not reproducible, no public code" in "\n".join(lines)
    assert "this project's stand-in, another network: lstpnet attention=none temporal=gru" in lines[-1]
    assert main(["model", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert (rows["c3d"]["num_parameters"], rows["c3d"]["takes_sizes"]) == (78_029_959, "112 px")
    assert rows["c3d"]["gmac"]["112"] == pytest.approx(38.547, rel=1e-4)
    assert [name for name, row in rows.items() if not row["is_reproducible"]] == [
        "stt",
        "resnet18-lstm",
        "resnet18-gru",
    ]


def test_the_authors_file_is_converted(tmp_path: Path, capsys: Capture) -> None:
    torch.manual_seed(0)
    source = LSTPNet(7).eval()
    exported = {f"module.{name}": tensor for name, tensor in export_reference(source).items()}
    torch.save({"model_state_dict": exported, "epoch": 32}, tmp_path / "authors.pth")
    line = ["model", "convert", str(tmp_path / "authors.pth"), str(tmp_path / "ours.safetensors")]
    assert main(line) == 0
    assert "LSTPNet for 7 classes, every tensor of authors.pth" in capsys.readouterr().out
    model = LSTPNet(7)
    load_checkpoint(model, tmp_path / "ours.safetensors")
    assert all(torch.equal(tensor, source.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert main(line) == 2
    assert "already exists" in capsys.readouterr().err
    del exported["module.fc.bias"]
    torch.save(exported, tmp_path / "less.pth")
    assert main(["model", "convert", str(tmp_path / "less.pth"), str(tmp_path / "b.safetensors")]) == 1
    assert "fc.bias is missing" in capsys.readouterr().err
    assert not (tmp_path / "b.safetensors").exists()


def test_another_networks_file_is_converted(tmp_path: Path, capsys: Capture) -> None:
    source = build_model("videomae-b16", 5, width_multiplier=0.125, depth=1)
    torch.save({"model": source.state_dict()}, tmp_path / "finetuned.pth")
    line = ["model", "convert", str(tmp_path / "finetuned.pth"), str(tmp_path / "ours.safetensors")]
    assert main([*line, "--model", "videomae-b16"]) == 0
    output = capsys.readouterr().out
    assert "VideoMAE ViT-B/16 for 5 classes, every tensor of finetuned.pth" in output
    assert "CC BY-NC 4.0, not for commercial use" in output
    facts = json.loads((tmp_path / "ours.json").read_bytes())
    assert (facts["model"], facts["settings"]["width_multiplier"], facts["settings"]["depth"]) == (
        "videomae-b16",
        0.125,
        1,
    )
    model = build_model("videomae-b16", 5, width_multiplier=0.125, depth=1)
    load_checkpoint(model, tmp_path / "ours.safetensors")
    assert main([*line, "--model", "stt", "--force"]) == 2
    assert "--model: stt cannot be built" in capsys.readouterr().err


def test_a_runs_model_is_exported_and_predicts_what_the_run_predicted(
    exported_run: Path, plain: Done, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    folder = exported_run
    said = (folder.parent / "export.txt").read_text()
    assert re.match(r"(/\S+)/last\.onnx: last of \1; inputs and outputs: \1/last\.json\n", said)
    facts = json.loads((folder / "last.json").read_text())
    info = read_run(folder)
    assert facts["class_names"] == list(info.class_names)
    assert (facts["size_px"], facts["sampler"], facts["protocol"]) == (40, "segments-8x2", info.protocol)
    session = onnxruntime.InferenceSession(folder / "last.onnx", providers=["CPUExecutionProvider"])
    (part,) = read_predictions(folder, info)
    number = next(i for i, seen in enumerate(part.has_face) if seen)
    clip = dfer_data.read_clip(crops, part.clip_ids[number], size_px=facts["size_px"])
    (logits,) = session.run(None, {"clips": clip[None].astype(np.float32) / 255})
    np.testing.assert_allclose(logits[0], part.logits[number], atol=1e-4)
    assert {path.name for path in folder.iterdir()} - {path.name for path in plain.folder.iterdir()} == {
        "last.onnx",
        "last.json",
    }
    (clips,) = session.get_inputs()
    assert (clips.name, clips.shape) == ("clips", ["batch", "frames", 3, "height", "width"])
    model = load_trained(folder).model
    for shape in ((1, 16, 3, 64, 64), (2, 5, 3, 40, 48), (3, 2, 3, 33, 33)):
        x = torch.rand(shape)
        (logits,) = session.run(["logits"], {"clips": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(logits, model(x).numpy(), rtol=0, atol=1e-4)
    assert main(["model", "export", str(folder)]) == 2
    assert "last.onnx already exists" in capsys.readouterr().err
    monkeypatch.setattr(export, "export_onnx", lambda model, path, **size: shutil.copy(folder / "last.onnx", path))
    other = tmp_path / "model.onnx"
    assert main(["model", "export", str(folder), "--out", str(other)]) == 0
    assert f"{other}: last of {folder}" in capsys.readouterr().out
    assert json.loads(other.with_suffix(".json").read_text()) == facts


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "tflite"], "--format tflite: expected onnx"),
        (["--checkpoint", "best"], "has no checkpoint 'best'; it has: last"),
        (["--out", "model.json"], "model.json must end in .onnx"),
        (["--out", "nowhere/model.onnx"], "folder nowhere does not exist; create it to write model.onnx there"),
    ],
)
def test_what_cannot_be_exported_is_one_line_and_2(
    plain: Done, capsys: Capture, arguments: list[str], words: str
) -> None:
    assert main(["model", "export", str(plain.folder), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_an_export_does_not_write_over_the_settings_of_its_run(plain: Done, capsys: Capture) -> None:
    before = (plain.folder / "config.json").read_bytes()
    assert main(["model", "export", str(plain.folder), "--out", str(plain.folder / "config.onnx")]) == 2
    assert "config.json already exists" in capsys.readouterr().err
    assert (plain.folder / "config.json").read_bytes() == before


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    assert main(["model", "export", str(tmp_path)]) == 2
    assert "is not a run" in capsys.readouterr().err
