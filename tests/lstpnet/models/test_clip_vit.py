"""CLIP's tower with LoRA, on folders that transformers saves here with random weights; skipped without the extra."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from dfer_data.errors import UsageError
from lstpnet.checkpoints.export import export_onnx
from lstpnet.checkpoints.onnx_model import ExportedModel
from lstpnet.checkpoints.open_model import open_model
from lstpnet.checkpoints.start_weights import fill_from
from lstpnet.errors import CheckpointError
from lstpnet.models.clip_vit import ClipViT, tower_config
from lstpnet.runs import read_config
from lstpnet.training.events import EpochDone
from lstpnet.training.experiment import make_experiment
from lstpnet.training.run import train_run
from tests.lstpnet.conftest import quick

pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")
CPU = torch.device("cpu")
NARROW: dict[str, Any] = {"width_multiplier": 0.125, "depth": 1}
RECIPE = {"model": "clip-vit", "frame_epochs": 0, "epochs": 2, "batch_size": 8, "input_norm": "clip", **NARROW}


def save(folder: Path, *, is_whole: bool = False, **changes: Any) -> Path:
    """A folder of CLIP: the narrow tower, alone or with a text part."""
    torch.manual_seed(1)
    config = transformers.CLIPVisionConfig(**{**tower_config("b16", **NARROW), **changes})
    if is_whole:
        text = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
        whole = transformers.CLIPConfig(vision_config=config.to_dict(), text_config={**text, "vocab_size": 99})
        transformers.CLIPModel(whole).save_pretrained(folder)
    else:
        transformers.CLIPVisionModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("is_whole", [False, True])
def test_with_fresh_adapters_the_tower_is_transformers_own(is_whole: bool, tmp_path: Path) -> None:
    folder = save(tmp_path / "clip", is_whole=is_whole)
    model = ClipViT(5, **NARROW).eval()
    filled = fill_from(model, folder)
    assert filled.unused == ()
    assert filled.words.endswith("initial values (adapters, classifier, temporal part)")
    assert all(name.startswith(("temporal.", "fc.")) or ".lora_" in name for name in filled.kept)
    original = transformers.CLIPVisionModel.from_pretrained(folder, local_files_only=True).eval()
    frames = torch.rand(1, 16, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(model.frame_features(frames)[0], original(pixel_values=frames[0]).pooler_output)


def test_gradients_reach_the_adapters_the_temporal_layer_and_the_classifier_alone() -> None:
    model = ClipViT(7, **NARROW).train()
    cross_entropy(model(torch.rand(2, 16, 3, 32, 32)), torch.tensor([0, 3])).backward()
    with_gradient = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert with_gradient == {
        name for name in model.state_dict() if ".lora_" in name or name.startswith(("temporal.", "fc."))
    }
    second = [parameter for name, parameter in model.named_parameters() if ".lora_B." in name]
    assert len(second) == 6
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in second)


class Stopped(Exception):
    """Stops a training after an epoch."""


def stop(event: EpochDone) -> None:
    raise Stopped


def test_it_trains_resumes_with_the_same_bits_and_needs_no_folder_afterwards(crops: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "clip")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A tower\n")
    experiment = make_experiment(crops, quick(**RECIPE), fold=3, seed=0)
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    train_run(experiment, whole, device=CPU, init=folder)
    with pytest.raises(Stopped):
        train_run(experiment, halved, device=CPU, init=folder, on_event=stop)
    train_run(experiment, halved, device=CPU, init=folder, continues=True)
    weights = "checkpoints/last.safetensors"
    assert (whole / weights).read_bytes() == (halved / weights).read_bytes()
    config = read_config(whole)
    weights_sha256 = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert config["settings"]["init_sha256"] == weights_sha256
    assert "licence mit (README.md)" in config["start_weights"]
    assert config["start_weights"].endswith(" parameters are trained")

    original = transformers.CLIPVisionModel.from_pretrained(folder, local_files_only=True)
    shutil.rmtree(folder)
    model = open_model(whole).model
    assert isinstance(model, ClipViT)
    ours = model.tower.state_dict()
    for name, tensor in original.state_dict().items():  # all but the adapters is still CLIP's
        stem, _, kind = name.rpartition(".")
        assert torch.equal(ours[name] if name in ours else ours[f"{stem}.base_layer.{kind}"], tensor), name
    assert any(tensor.abs().max() > 0 for name, tensor in ours.items() if ".lora_B." in name)


@pytest.mark.soak
def test_it_is_exported_and_onnxruntime_gives_its_logits(tmp_path: Path) -> None:
    model, clips = ClipViT(7, **NARROW).eval(), torch.rand(2, 16, 3, 32, 32)
    export_onnx(model, tmp_path / "model.onnx", num_frames=16, size_px=32)
    with torch.no_grad():
        np.testing.assert_allclose(ExportedModel(tmp_path / "model.onnx")(clips), model(clips), atol=1e-4)


def test_fresh_weights_are_refused(crops: Path, tmp_path: Path) -> None:
    experiment = make_experiment(crops, quick(**RECIPE), fold=3, seed=0)
    with pytest.raises(UsageError, match="model clip-vit needs --init: most of its parameters keep"):
        train_run(experiment, tmp_path / "run", device=CPU)


def test_folders_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = ClipViT(7, **NARROW)
    other = save(tmp_path / "other", hidden_act="gelu", num_hidden_layers=2)
    with pytest.raises(CheckpointError, match=r"another tower .*num_hidden_layers = 2, not 1; hidden_act = 'gelu'"):
        fill_from(model, other)
    cut = save(tmp_path / "cut")
    tensors = transformers.CLIPVisionModel.from_pretrained(cut).state_dict()
    del tensors["pre_layrnorm.weight"]
    torch.save(tensors, cut / "cut.pth")
    with pytest.raises(CheckpointError, match=r"tower\.pre_layrnorm\.weight is missing"):
        fill_from(model, cut / "cut.pth")
    (cut / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"no .*config\.json; CLIP's weights need the config\.json"):
        fill_from(model, cut)
