"""What all networks of the registry have in common: logits, features, gradients, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

import lstpnet
from dfer_data.errors import UsageError
from lstpnet.models.catalogue import NETWORKS, UNPUBLISHED
from lstpnet.models.clip_network import ClipNetwork, FrameNetwork
from lstpnet.models.drop_path import DropPath
from lstpnet.models.gca import GCA
from lstpnet.models.lgi_former import LGIBlock
from lstpnet.models.videomae import ViTBlock

NARROW: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "lstpnet": ({"width_multiplier": 0.125}, (4, 32)),
    "r3d_18": ({"width_multiplier": 0.125, "depth": 1}, (4, 32)),
    "r2plus1d_18": ({"width_multiplier": 0.125, "depth": 1}, (4, 32)),
    "mc3_18": ({"width_multiplier": 0.125, "depth": 1}, (4, 32)),
    "hara-r3d18": ({"width_multiplier": 0.125, "depth": 1}, (16, 32)),
    "c3d": ({"width_multiplier": 0.125}, (16, 112)),
    "former-dfer": ({"width_multiplier": 0.125, "depth": 1}, (16, 64)),
    "videomae-b16": ({"width_multiplier": 0.125, "depth": 2, "drop_path": 0.1, "head_scale": 0.5}, (4, 32)),
    "m3dfel": ({"width_multiplier": 0.125, "depth": 1}, (16, 32)),
    "i3d": ({"width_multiplier": 0.125}, (16, 224)),
    "p3d63": ({"width_multiplier": 0.125, "depth": 1}, (16, 160)),
    "reslstm": ({"width_multiplier": 0.125, "depth": 1}, (16, 112)),
    "gca": ({"width_multiplier": 0.25, "depth": 1}, (16, 112)),
    "nr-dfernet": ({"width_multiplier": 0.125, "depth": 1, "neutral_class": 2}, (16, 112)),
    "lgi-former": ({"width_multiplier": 0.125, "depth": 2, "drop_path": 0.1, "head_scale": 0.5}, (16, 160)),
    "frame-mean": ({"width_multiplier": 0.125}, (4, 32)),
    "clip-vit": ({"width_multiplier": 0.125, "depth": 1, "adapter_rank": 2}, (16, 32)),
}
"""Name -> narrow settings, and frames and size of small clips."""


def narrow(name: str, num_classes: int = 7) -> tuple[ClipNetwork, torch.Tensor]:
    for package in NETWORKS[name].packages:
        pytest.importorskip(package)
    settings, (num_frames, size_px) = NARROW[name]
    torch.manual_seed(0)
    return lstpnet.build_model(name, num_classes, **settings), torch.rand(3, num_frames, 3, size_px, size_px)


IN_EVAL_MODE = ("c3d", "i3d", "p3d63", "reslstm", "gca", "nr-dfernet", "clip-vit")
"""Networks whose gradients are compared in eval mode, on one clip.

Dropout draws other places in each dtype; and the statistics that torch computes of large maps in the order
channels-last differ in float32 by 1e-4, which changes the sign of single activations.
"""


def test_every_network_is_tested_here() -> None:
    assert set(NARROW) == set(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_clips_become_logits_and_features(name: str) -> None:
    model, clips = narrow(name, 5)
    model.eval()
    with torch.no_grad():
        logits, features = model(clips), model.features(clips)
        assert logits.shape == (3, 5)
        assert torch.equal(model.classify(features), logits)
        torch.testing.assert_close(model(clips[1:2]), logits[1:2], rtol=1e-4, atol=1e-5)
        if isinstance(model, FrameNetwork):
            vectors = model.frame_features(clips)
            assert vectors.shape[:2] == clips.shape[:2]
            torch.testing.assert_close(model.features_of_frames(vectors), features)
    assert (model.name, model.num_classes) == (name, 5)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "lstpnet"])
def test_a_gradient_reaches_every_parameter_and_is_that_of_float64(name: str) -> None:
    gradients = []
    for dtype in (torch.float32, torch.float64):
        model, clips = narrow(name)
        for module in model.modules():
            if isinstance(module, ViTBlock | LGIBlock):
                module.drop_path = DropPath()
        model.to(dtype).train(name not in IN_EVAL_MODE)
        labels = torch.tensor([0, 3, 6])
        if name in IN_EVAL_MODE:
            clips, labels = clips[:1], labels[:1]
        if isinstance(model, GCA):
            model.auxiliary.requires_grad_(True)
            features, auxiliary = model.with_auxiliary(clips.to(dtype))
            loss = cross_entropy(model.classify(features), labels) + cross_entropy(auxiliary, labels)
        else:
            loss = cross_entropy(model(clips.to(dtype)), labels)
        loss.backward()
        assert all(parameter.grad is None for parameter in model.parameters() if not parameter.requires_grad)
        used = {key: parameter for key, parameter in model.named_parameters() if parameter.requires_grad}
        gradients.append({key: parameter.grad for key, parameter in used.items()})
    for key, gradient in gradients[1].items():
        single = gradients[0][key]
        assert gradient is not None, key
        assert single is not None, key
        if ".lora_A." in key:  # multiplied by lora_B, which is 0 at the start
            continue
        if "conv" in key and key.endswith(".bias"):  # before a batch norm, which subtracts it again: rounding
            continue
        assert gradient.abs().max() > 0, key
        error = (single.double() - gradient).norm() / gradient.norm()
        assert error < (1e-2 if name == "i3d" else 2e-3), (key, error)  # whose poolings have near ties in 224 px


@pytest.mark.parametrize("name", ["r3d_18", "r2plus1d_18", "hara-r3d18", "videomae-b16"])
def test_gradients_under_bf16_are_near_those_of_float32(name: str) -> None:
    gradients = []
    for is_bf16 in (False, True):
        torch.manual_seed(0)
        model = lstpnet.build_model(name, 7, width_multiplier=0.125, depth=2).train()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_bf16):
            logits = model(torch.rand(4, 16, 3, 64, 64))
        torch.nn.functional.cross_entropy(logits.float(), torch.arange(4)).backward()
        gradients.append({key: parameter.grad for key, parameter in model.named_parameters()})
    for key, gradient in gradients[0].items():
        rounded = gradients[1][key]
        assert gradient is not None, key
        assert rounded is not None, key
        assert (rounded - gradient).norm() <= 0.1 * gradient.norm(), key


@pytest.mark.parametrize(
    ("name", "shape", "words"),
    [
        ("c3d", (1, 16, 3, 64, 64), "size_px = 64: model c3d takes frames of 112 px"),
        ("c3d", (1, 8, 3, 112, 112), "num_frames = 8: model c3d takes 16 frames"),
        ("former-dfer", (1, 16, 3, 128, 112), "size_px = 128: model former-dfer takes frames of 32 to 112 px"),
        ("videomae-b16", (1, 3, 3, 32, 32), "num_frames = 3: model videomae-b16 takes an even number of frames"),
        ("videomae-b16", (1, 4, 3, 32, 40), "size_px = 40: model videomae-b16 takes frames of a multiple of 16 px"),
        ("m3dfel", (1, 8, 3, 32, 32), "num_frames = 8: model m3dfel takes 16 frames"),
        ("i3d", (1, 16, 3, 112, 112), "size_px = 112: model i3d takes frames of 224 px"),
        ("p3d63", (1, 16, 3, 112, 112), "size_px = 112: model p3d63 takes frames of 160 px"),
        ("reslstm", (1, 16, 3, 64, 64), "size_px = 64: model reslstm takes frames of 112 px"),
        ("gca", (1, 16, 3, 64, 64), "size_px = 64: model gca takes frames of 112 px"),
        ("nr-dfernet", (1, 15, 3, 112, 112), "num_frames = 15: model nr-dfernet takes 16 frames"),
        ("lgi-former", (1, 16, 3, 112, 112), "size_px = 112: model lgi-former takes frames of 160 px"),
        ("r3d_18", (1, 4, 3, 16, 16), "size_px = 16: model r3d_18 takes frames of 32 px or more"),
        ("r3d_18", (1, 3, 4, 32, 32), r"expected \(batch, frames, 3, height, width\)"),
    ],
)
def test_clips_that_a_network_does_not_take_are_refused(name: str, shape: tuple[int, ...], words: str) -> None:
    model, _ = narrow(name)
    with pytest.raises(ValueError, match=words):
        model(torch.zeros(shape))


def test_pixels_in_bytes_are_refused() -> None:
    model, clips = narrow("r3d_18")
    with pytest.raises(ValueError, match=r"clips are torch\.uint8; convert to float"):
        model(clips.to(torch.uint8))


@pytest.mark.parametrize("name", UNPUBLISHED)
def test_a_network_without_public_code_is_named_and_not_built(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be built: its authors published no code"):
        lstpnet.build_model(name)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("r3d_18", {"depth": -1}, "model r3d_18: depth = -1: must be a whole number of 0 or more"),
        ("c3d", {"width_multiplier": 0.3}, r"width_multiplier = 0\.3: must be a multiple of 0\.125 more than 0"),
        (
            "videomae-b16",
            {"head_scale": 0, "depth": 1.5},
            "depth = 1.5: .*; head_scale = 0: must be a number more than 0",
        ),
        ("former-dfer", {"num_heads": 4}, "model former-dfer has no setting num_heads; it has width_multiplier, depth"),
    ],
)
def test_wrong_settings_are_refused_together(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        lstpnet.build_model(name, **settings)
