"""Export a trained model: fold its batch norms, write ONNX and a description for the JSON file next to it."""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from dfer_data.errors import UsageError
from dfer_data.extras import install_command
from dfer_data.frame_sampling import CLIP_FRAMES
from dfer_data.settings import with_absent
from dfer_data.storage.files import atomic_file
from lstpnet.models.catalogue import CHANNEL_NORMS
from lstpnet.models.clip_network import ClipNetwork
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.resnet import BasicBlock
from lstpnet.recipe import Recipe
from lstpnet.run_files import facts_of, with_own_sha256

OPSET = 18
MIN_EXPORT_PX = 33
"""At 32 px the last feature map is a single pixel, and a graph that supports this cannot be traced."""
_MAX_SIDE_PX = 4096
_MAX_FRAMES = 4096


def fold_batch_norms(model: LSTPNet) -> LSTPNet:
    """Return a copy in eval mode whose backbone's batch norms are folded into the convolutions before them.

    The copy gives the same outputs up to rounding, with fewer passes over the feature maps. It can no longer be trained
    like the original.
    """
    folded = copy.deepcopy(model).eval()
    _fold(folded.backbone, "conv1", "bn1")
    for block in folded.backbone.modules():
        if isinstance(block, BasicBlock):
            _fold(block, "conv1", "bn1")
            _fold(block, "conv2", "bn2")
            if block.downsample is not None:
                _fold(block.downsample, "0", "1")
    return folded


def _fold(module: nn.Module, conv: str, norm: str) -> None:
    """Fold the batch norm `norm` of `module` into its convolution `conv`; both are names of submodules."""
    conv_layer, norm_layer = module.get_submodule(conv), module.get_submodule(norm)
    assert isinstance(conv_layer, nn.Conv2d)
    assert isinstance(norm_layer, nn.BatchNorm2d)
    setattr(module, conv, fuse_conv_bn_eval(conv_layer, norm_layer))
    setattr(module, norm, nn.Identity())


class _Logits(nn.Module):
    """The model as one function of clips, without the checks that an exported graph cannot contain."""

    def __init__(self, model: ClipNetwork) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor) -> Tensor:
        """Map (B, T, 3, H, W) float to logits (B, num_classes)."""
        return self.model.logits(clips)


def logits_module(model: ClipNetwork) -> nn.Module:
    """Return the model in eval mode as a module (B, T, 3, H, W) -> logits that can be traced."""
    return _Logits(model).eval()


def exported_program(
    model: ClipNetwork, *, num_frames: int = CLIP_FRAMES, size_px: int = 224
) -> torch.export.ExportedProgram:
    """Return the model as a torch.export program for any number of clips.

    LSTPNet takes 2 or more frames of any size; of another network, frames and size are those of the example.
    `num_frames`, `size_px`: shape of the example that traces it.
    """
    dims = {0: torch.export.Dim("batch", min=1, max=4096)}
    if isinstance(model, LSTPNet):
        dims |= _lstpnet_axes()
    example = torch.zeros(2, num_frames, 3, size_px, size_px)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*_flat_weights")  # an LSTM's second list of its parameters
        return torch.export.export(logits_module(model), (example,), dynamic_shapes=(dims,))


def _lstpnet_axes() -> dict[int, Any]:
    return {
        1: torch.export.Dim("frames", min=2, max=_MAX_FRAMES),
        3: torch.export.Dim("height", min=MIN_EXPORT_PX, max=_MAX_SIDE_PX),
        4: torch.export.Dim("width", min=MIN_EXPORT_PX, max=_MAX_SIDE_PX),
    }


def export_onnx(model: ClipNetwork, path: Path, *, num_frames: int = CLIP_FRAMES, size_px: int = 224) -> None:
    """Write the model as ONNX: input `clips` (batch, frames, 3, height, width) float32, output `logits`.

    Raises UsageError if the packages for it are not installed, or if `size_px` is below MIN_EXPORT_PX.
    """
    if isinstance(model, LSTPNet) and size_px < MIN_EXPORT_PX:
        raise UsageError(f"a model for {size_px} px cannot be exported; the minimum is {MIN_EXPORT_PX} px")
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"ONNX export needs {error.name}, which is not installed: {install_command('export')}"
        ) from error
    program = exported_program(model, num_frames=num_frames, size_px=size_px)
    with _quiet("torch.onnx"), warnings.catch_warnings():  # it warns about every missing torchvision operator
        warnings.simplefilter("ignore")
        onnx_program = torch.onnx.export(
            program, input_names=["clips"], output_names=["logits"], opset_version=OPSET, dynamo=True, verbose=False
        )
    assert onnx_program is not None
    proto = onnx_program.model_proto
    _name_axes(proto, ("batch", "frames", "", "height", "width"))
    with atomic_file(path) as file:
        onnx.save_model(proto, file)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    previous_level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(previous_level)


def _name_axes(proto: Any, names: Sequence[str]) -> None:
    """Give the dynamic axes readable names, in the input and wherever else they occur."""
    axes = proto.graph.input[0].type.tensor_type.shape.dim
    readable = {axis.dim_param: name for axis, name in zip(axes, names, strict=True) if axis.dim_param}
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in readable:
                axis.dim_param = readable[axis.dim_param]


def _pixel_words(norm: str) -> str:
    """Return what the pixels of a clip are, by the recipe's `input_norm`."""
    words = "RGB divided by 255"
    if norm in CHANNEL_NORMS:
        means, deviations = CHANNEL_NORMS[norm]
        return f"{words}; minus {list(means)}, divided by {list(deviations)}"
    return words + ("; each frame to mean 0 and deviation 1" if norm == "per-frame" else "")


def description(
    model: ClipNetwork,
    path: Path,
    *,
    recipe: Mapping[str, Any],
    class_names: Sequence[str],
    protocol: str,
    is_synthetic: bool,
) -> dict[str, Any]:
    """Return the content of the JSON next to an exported model: classes, frames, size, input, protocol, hashes.

    `path`: the exported file. `is_synthetic`: whether it was trained on rendered heads.
    """
    settings = with_absent(Recipe, recipe)
    document = {
        "format": "dfer-model",
        "format_version": 2,
        "model": asdict(facts_of(path.read_bytes())),
        "class_names": list(class_names),
        "network_name": model.name,
        "network": dict(model.settings),
        "sampler": recipe["sampler"],
        "short": recipe["short"],
        "num_frames": settings["num_frames"],
        "size_px": recipe["size_px"],
        "sample_by": settings["sample_by"],
        "reference_fps": settings["reference_fps"],
        "resize": settings["resize"],
        "decode": settings["decode"],
        "test_size_px": settings["test_size_px"],
        "test_crops": settings["test_crops"],
        "min_frames": settings["min_frames"],
        "targets": settings["targets"],
        "input": f"clips: (batch, frames, 3, height, width) float32, {_pixel_words(recipe['input_norm'])}",
        "input_norm": recipe["input_norm"],
        "output": "logits: (batch, classes) float32, in the order of class_names",
        "protocol": protocol,
        "synthetic": is_synthetic,
    }
    return with_own_sha256(document)
