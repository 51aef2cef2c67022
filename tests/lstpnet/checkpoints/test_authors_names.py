"""Files of other networks than LSTPNet, by their authors' names: strictly loaded, and as start weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import lstpnet
from dfer_data.errors import UsageError
from lstpnet.checkpoints.authors_names import AUTHORS_FILES
from lstpnet.checkpoints.start_weights import fill_from
from lstpnet.errors import CheckpointError
from lstpnet.models.catalogue import NETWORKS
from lstpnet.models.clip_network import ClipNetwork

SETTINGS: dict[str, dict[str, Any]] = {
    "r3d_18": {"width_multiplier": 0.125, "depth": 1},
    "r2plus1d_18": {"width_multiplier": 0.25, "depth": 1},
    "mc3_18": {"width_multiplier": 0.125, "depth": 3},
    "hara-r3d18": {"width_multiplier": 0.125, "depth": 1},
    "c3d": {"width_multiplier": 0.125},
    "former-dfer": {"width_multiplier": 0.125, "depth": 2},
    "videomae-b16": {"width_multiplier": 0.25, "depth": 2},
    "m3dfel": {"width_multiplier": 0.25, "depth": 1},
    "i3d": {"width_multiplier": 0.25},
    "p3d63": {"width_multiplier": 0.125, "depth": 2},
    "reslstm": {"width_multiplier": 0.125, "depth": 1},
    "gca": {"width_multiplier": 0.125, "depth": 1},
    "nr-dfernet": {"width_multiplier": 0.25, "depth": 3},
    "lgi-former": {"width_multiplier": 0.125, "depth": 2},
    "frame-mean": {"width_multiplier": 0.25},
}

NEEDED = {"m3dfel": "backbone.", "lgi-former": "blocks."}
"""Prefix of tensors that start weights must have, where others may be missing."""


def network(name: str, num_classes: int = 5, *, seed: int = 0) -> ClipNetwork:
    torch.manual_seed(seed)
    return lstpnet.build_model(name, num_classes, **SETTINGS[name])


def authors(model: ClipNetwork) -> dict[str, Tensor]:
    """The tensors by the authors' names."""
    return {AUTHORS_FILES[model.name].authors_name(name): tensor for name, tensor in model.state_dict().items()}


def transformers(model: ClipNetwork, *, version: int) -> dict[str, Tensor]:
    """The tensors of VideoMAE by the names of transformers 4 or 5."""
    named: dict[str, Tensor] = {}
    biases = {4: ("q_bias", "v_bias"), 5: ("query.bias", "value.bias")}[version]
    for name, tensor in model.state_dict().items():
        place = name.replace("patch_embed.proj", "videomae.embeddings.patch_embeddings.projection")
        place = place.replace("blocks.", "videomae.encoder.layer.").replace("head.", "classifier.")
        place = place.replace("norm1", "layernorm_before").replace("norm2", "layernorm_after")
        place = place.replace("mlp.fc1", "intermediate.dense").replace("mlp.fc2", "output.dense")
        place = place.replace("attn.proj", "attention.output.dense")
        place = place.replace("attn.q_bias", f"attention.attention.{biases[0]}")
        place = place.replace("attn.v_bias", f"attention.attention.{biases[1]}")
        if place.endswith("attn.qkv.weight"):
            base = place.replace("attn.qkv.weight", "attention.attention")
            parts = zip(("query", "key", "value"), tensor.chunk(3), strict=True)
            named |= {f"{base}.{part}.weight": chunk.clone() for part, chunk in parts}
        else:
            named[place] = tensor
    return named


@pytest.mark.parametrize("name", SETTINGS)
def test_classes_width_and_depth_are_read_from_the_shapes(name: str) -> None:
    source = network(name)
    wrapped = {"state_dict": {f"module.{key}": tensor for key, tensor in authors(source).items()}, "epoch": 3}
    model = lstpnet.load_reference(name, wrapped)
    assert not model.training
    assert model.num_classes == 5
    assert {key: model.settings[key] for key in SETTINGS[name]} == SETTINGS[name]
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("version", [4, 5])
def test_videomae_is_read_by_the_names_of_transformers(version: int) -> None:
    source = network("videomae-b16")
    model = lstpnet.load_reference("videomae-b16", transformers(source, version=version))
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", SETTINGS)
def test_every_fault_of_a_file_is_named(name: str) -> None:
    tensors = authors(network(name))
    files = AUTHORS_FILES[name]
    missing, misshapen = next(iter(tensors)), files.authors_name(f"{files.classifier}.bias")
    removed = tensors.pop(missing)
    tensors |= {misshapen: torch.zeros(9), "extra": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        lstpnet.load_reference(name, tensors)
    # without VideoMAE's first tensor its width is unknown, and every shape differs from that of the published one
    assert f"{missing} is missing" in caught.value.faults
    assert "extra is unexpected" in caught.value.faults
    assert f"{misshapen} has shape (9,), not (5,)" in caught.value.faults
    assert removed.numel() > 0


def test_a_lost_part_of_an_attention_is_named() -> None:
    tensors = transformers(network("videomae-b16"), version=5)
    del tensors["videomae.encoder.layer.1.attention.attention.key.weight"]
    with pytest.raises(CheckpointError, match=r"blocks\.1\.attn\.qkv\.weight is missing"):
        lstpnet.load_reference("videomae-b16", tensors)


def test_an_unknown_network_is_a_wrong_argument() -> None:
    with pytest.raises(UsageError, match="unknown model 'resnet'; known: lstpnet, r3d_18"):
        lstpnet.load_reference("resnet", {})


@pytest.mark.parametrize("name", SETTINGS)
def test_start_weights_with_other_classes_fill_all_but_the_classifier(name: str, tmp_path: Path) -> None:
    source, model = network(name, 11, seed=1), network(name, 5, seed=2)
    torch.save(authors(source), tmp_path / "published.pth")
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    filled = fill_from(model, tmp_path / "published.pth")
    files = AUTHORS_FILES[name]
    of_classes = (f"{files.classifier}.", *files.of_classes)
    assert filled.kept == tuple(key for key in model.state_dict() if key.startswith(of_classes))
    assert filled.words.endswith(f"{len(filled.kept)} keep their initial values (classifier)")
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key] if key in filled.kept else source.state_dict()[key])
    lost = authors(source)
    del lost[files.authors_name(next(key for key in model.state_dict() if key.startswith(NEEDED.get(name, ""))))]
    torch.save(lost, tmp_path / "lost.pth")
    with pytest.raises(CheckpointError, match=rf"\({name}\) does not fit this network .* is missing"):
        fill_from(model, tmp_path / "lost.pth")


@pytest.mark.parametrize(("name", "key"), [("videomae-b16", "attn.qkv"), ("lgi-former", "third_attn.kv")])
def test_the_encoder_of_a_pre_training_fills_the_network(name: str, key: str, tmp_path: Path) -> None:
    source, model = network(name, seed=1), network(name, seed=2)
    tensors = {
        f"encoder.{key}": tensor
        for key, tensor in source.state_dict().items()
        if not key.startswith(("head", "fc_norm"))
    }
    tensors |= {"encoder.norm.weight": torch.ones(1), "decoder.head.weight": torch.ones(1), "mask_token": torch.ones(1)}
    torch.save({"model": tensors}, tmp_path / "pretrained.pth")
    filled = fill_from(model, tmp_path / "pretrained.pth")
    assert filled.kept == ("fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias")
    assert filled.unused == ("norm.weight", "decoder.head.weight", "mask_token")
    place = f"blocks.1.{key}.weight"
    assert torch.equal(model.state_dict()[place], source.state_dict()[place])


def test_torchvisions_r3d_18_fills_the_trunk_of_m3dfel(tmp_path: Path) -> None:
    source, model = lstpnet.build_model("r3d_18", 400, width_multiplier=0.25, depth=1), network("m3dfel")
    torch.save(source.state_dict(), tmp_path / "kinetics.pth")
    filled = fill_from(model, tmp_path / "kinetics.pth")
    assert filled.unused == ()
    assert {name.partition(".")[0] for name in filled.kept} == {"lstm", "to_qkv", "norm", "pwconv", "fc"}
    last = "0.conv2.1.bias"
    for ours, theirs in (("backbone.0.0.weight", "stem.0.weight"), (f"backbone.4.{last}", f"layer4.{last}")):
        assert torch.equal(model.state_dict()[ours], source.state_dict()[theirs])


def test_every_network_has_its_files() -> None:
    assert set(AUTHORS_FILES) == set(NETWORKS)


@pytest.mark.parametrize(
    ("name", "other"), [("mc3_18", "r3d_18"), ("former-dfer", "c3d"), ("lstpnet", "former-dfer"), ("c3d", "nr-dfernet")]
)
def test_a_file_of_another_network_is_refused_in_one_line_that_names_the_other(name: str, other: str) -> None:
    with pytest.raises(CheckpointError, match=f"; its tensors are those of {other}$") as caught:
        lstpnet.load_reference(name, authors(network(other)))
    assert len(str(caught.value)) < 600


def test_start_weights_of_another_network_are_refused_by_its_name(tmp_path: Path) -> None:
    torch.save(authors(network("former-dfer")), tmp_path / "former.pth")
    with pytest.raises(CheckpointError, match=r"stem\.0\.weight is missing; .* its tensors are those of former-dfer$"):
        fill_from(network("r3d_18"), tmp_path / "former.pth")


def test_a_huge_number_in_a_name_costs_nothing() -> None:
    name = f"layer1.{10**12}.conv1.0.weight"
    with pytest.raises(CheckpointError) as caught:
        lstpnet.load_reference("r3d_18", authors(network("r3d_18")) | {name: torch.ones(1)})
    assert caught.value.faults == (f"{name} is unexpected",)


def test_parts_of_an_attention_that_do_not_fit_together_are_named() -> None:
    tensors = transformers(network("videomae-b16"), version=5)
    key = "videomae.encoder.layer.1.attention.attention.key.weight"
    for odd in (tensors[key].half(), torch.tensor(1.0)):
        with pytest.raises(CheckpointError, match=r"blocks\.1\.attn\.qkv\.weight is missing"):
            lstpnet.load_reference("videomae-b16", tensors | {key: odd})
