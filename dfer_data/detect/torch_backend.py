"""Run an ONNX graph as PyTorch operations; only the operations of RetinaFace are supported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import Tensor

from dfer_data.config import Device, Precision
from dfer_data.detect.base import Candidates, InputFormat, PictureNetwork
from dfer_data.detect.cuda_float32 import float32_products
from dfer_data.types import Floats, Image

Attributes = Mapping[str, Any]


class TorchGraph:
    """Runs the nodes of an ONNX file in order; shapes are computed on the CPU, pictures on `device`."""

    def __init__(self, content: bytes, *, device: str, dtype: torch.dtype) -> None:
        """Read the bytes of an ONNX file; raise ValueError for an unsupported operation."""
        graph = onnx.load_from_string(content).graph
        if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in graph.initializer):
            raise ValueError("it holds tensors in other files, which its hash does not cover")
        unknown = sorted({node.op_type for node in graph.node} - _OPERATIONS.keys())
        if unknown:
            raise ValueError(f"unsupported operations: {', '.join(unknown)}")
        self._dtype = dtype
        self._input = graph.input[0].name
        self._outputs = [output.name for output in graph.output]
        self._weights = {
            tensor.name: self._tensor(numpy_helper.to_array(tensor), device) for tensor in graph.initializer
        }
        self._nodes = [
            (_OPERATIONS[node.op_type], list(node.input), node.output[0], _attributes(node)) for node in graph.node
        ]

    def __call__(self, batch: Tensor) -> list[Tensor]:
        """Map (B, 3, H, W) to the graph's outputs."""
        values: dict[str, Any] = {**self._weights, "": None}
        values[self._input] = batch.to(self._dtype).contiguous(memory_format=torch.channels_last)
        for operation, inputs, output, attributes in self._nodes:
            values[output] = operation([values[name] for name in inputs], attributes)
        return [values[name] for name in self._outputs]

    def _tensor(self, array: np.ndarray, device: str) -> Tensor:
        tensor = torch.from_numpy(array.copy())
        if not tensor.is_floating_point():
            return tensor
        layout = torch.channels_last if tensor.ndim == 4 else torch.contiguous_format
        return tensor.to(device, self._dtype).contiguous(memory_format=layout)


def torch_network(weights: bytes, *, device: Device, precision: Precision = "f32") -> PictureNetwork:
    """Load RetinaFace's graph as PyTorch operations on a GPU or, for comparison, on the CPU."""
    return _TorchNetwork(weights, device=device, precision=precision)


class _TorchNetwork(PictureNetwork):
    """The graph, with the pictures' scaling before it and the choice by score after it on the same device."""

    def __init__(self, weights: bytes, *, device: Device, precision: Precision) -> None:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._graph = TorchGraph(weights, device=device, dtype=dtype)
        self._device, self._is_tf32 = device, precision == "tf32"

    def __call__(
        self, pictures: Image, shape: tuple[int, int, int, int], wanted: InputFormat, *, least_score: float
    ) -> list[Candidates]:
        """See PictureNetwork."""
        with torch.inference_mode(), float32_products(self._device, is_tf32=self._is_tf32):
            boxes, scores, landmarks = self._graph(_network_input(self._sent(pictures), shape, wanted))
            scores = scores[: len(pictures), :, 1].float()
            rows = torch.nonzero(scores >= least_score)  # (K, 2): picture, anchor; sorted
            picture, anchor = rows.unbind(1)
            found = (boxes[picture, anchor], scores[picture, anchor], landmarks[picture, anchor])
            numbers, kept = (column.cpu().numpy() for column in (picture, anchor))
            arrays = [_array(tensor) for tensor in found]
        bounds = np.searchsorted(numbers, np.arange(1, len(pictures)))
        parts = (np.split(array, bounds) for array in (kept, *arrays))
        return [Candidates(*part) for part in zip(*parts, strict=True)]

    def _sent(self, pictures: Image) -> Tensor:
        tensor = torch.from_numpy(pictures)
        return tensor.pin_memory().to(self._device, non_blocking=True) if self._device == "cuda" else tensor


def _network_input(pictures: Tensor, shape: tuple[int, int, int, int], wanted: InputFormat) -> Tensor:
    """Return (B, 3, H, W) float32 of (N, h, w, 3) uint8 RGB pictures, scaled, on their device."""
    batch = torch.zeros(shape, device=pictures.device).contiguous(memory_format=torch.channels_last)
    number, height, width = pictures.shape[:3]
    for channel, mean in enumerate(wanted.mean_rgb):
        plane = batch[:number, 2 - channel if wanted.is_bgr else channel, :height, :width]
        plane.copy_(pictures[:, :, :, channel])
        plane.sub_(mean)
        if wanted.scale_rgb is not None:
            plane.mul_(wanted.scale_rgb[channel])
    return batch


def _array(tensor: Tensor) -> Floats:
    return np.asarray(tensor.float().cpu().numpy(), np.float32)


def _attributes(node: Any) -> Attributes:
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if "value" in attributes:
        attributes["value"] = torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy())
    return attributes


def _conv(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    x, weight, *bias = inputs
    top, left, bottom, right = attributes["pads"]
    if (top, left) != (bottom, right):
        raise ValueError("uneven padding is not supported")
    return F.conv2d(
        x,
        weight,
        bias[0] if bias else None,
        stride=attributes["strides"],
        padding=(top, left),
        dilation=attributes["dilations"],
        groups=attributes["group"],
    )


def _resize(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    if attributes["mode"] != b"nearest":
        raise ValueError(f"resize mode {attributes['mode']!r} is not supported")
    height, width = inputs[3][2:].tolist()
    return F.interpolate(inputs[0], size=(height, width), mode="nearest")


def _slice(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    data, start, stop, axis = inputs
    return torch.narrow(data, int(axis), int(start), min(int(stop), data.shape[int(axis)]) - int(start))


def _gather(inputs: Sequence[Any], attributes: Attributes) -> Tensor:
    return torch.select(inputs[0], attributes.get("axis", 0), int(inputs[1]))


_OPERATIONS: Mapping[str, Callable[[Sequence[Any], Attributes], Tensor]] = MappingProxyType(
    {
        "Add": lambda x, _: x[0] + x[1],
        "Cast": lambda x, _: x[0].to(torch.int64),  # only shapes are cast
        "Concat": lambda x, a: torch.cat(list(x), dim=a["axis"]),
        "Constant": lambda _, a: a["value"],
        "Conv": _conv,
        "Gather": _gather,
        "Identity": lambda x, _: x[0],
        "LeakyRelu": lambda x, a: F.leaky_relu(x[0], a.get("alpha", 0.01)),
        "Relu": lambda x, _: F.relu(x[0]),
        "Reshape": lambda x, _: x[0].reshape(x[1].tolist()),
        "Resize": _resize,
        "Shape": lambda x, _: torch.tensor(x[0].shape),
        "Slice": _slice,
        "Softmax": lambda x, a: F.softmax(x[0].float(), dim=a["axis"]),
        "Transpose": lambda x, a: x[0].permute(a["perm"]),
        "Unsqueeze": lambda x, a: x[0].reshape([1, *x[0].shape]),  # only numbers of a shape
    }
)
