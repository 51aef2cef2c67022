"""What computes RetinaFace's graph: onnxruntime on a CPU, OpenVINO in bf16 where the CPU has it, PyTorch on a GPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime

from dfer_data.config import Device, Precision
from dfer_data.errors import UsageError
from dfer_data.types import Floats

Network = Callable[[Floats], tuple[Floats, Floats, Floats]]
"""(B, 3, H, W) float32 -> boxes (B, A, 4), scores (B, A, 2), landmarks (B, A, 10), float32."""
_MOST_SHAPES = 16  # compiled by OpenVINO at a time


def onnxruntime_network(weights: Path) -> Network:
    """Return the graph on one CPU thread in float32."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def compute(batch: Floats) -> tuple[Floats, Floats, Floats]:
        boxes, scores, landmarks = session.run(None, {name: batch})
        return boxes, scores, landmarks

    return compute


def openvino_network(weights: Path) -> Network:
    """Return the graph on one CPU thread in bf16.

    Each shape of batch is compiled once, which takes some tenths of a second.
    """
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "bf16",
        "ENABLE_CPU_PINNING": False,  # every worker process would take the first core
    }

    @lru_cache(maxsize=_MOST_SHAPES)
    def request(shape: tuple[int, ...]) -> Any:
        model = core.read_model(weights)
        model.reshape(list(shape))
        return core.compile_model(model, "CPU", settings).create_infer_request()

    def compute(batch: Floats) -> tuple[Floats, Floats, Floats]:
        found = request(batch.shape).infer({0: batch}, share_inputs=True, share_outputs=True)
        boxes, scores, landmarks = (np.array(found[i], np.float32) for i in range(3))
        return boxes, scores, landmarks

    return compute


def _torch_network(weights: Path, *, precision: Precision = "f32") -> Network:
    """Return the graph on a GPU."""
    from dfer_data.detect.torch_graph import torch_network

    return torch_network(weights, device="cuda", precision=precision)


_NETWORKS: Mapping[tuple[Device, Precision], Callable[[Path], Network]] = MappingProxyType(
    {
        ("cpu", "f32"): onnxruntime_network,
        ("cpu", "bf16"): openvino_network,
        ("cuda", "f32"): _torch_network,
        ("cuda", "bf16"): lambda weights: _torch_network(weights, precision="bf16"),
    }
)


def network(weights: Path, *, device: Device, precision: Precision) -> Network:
    """Load the graph; UsageError if `weights` is not such a graph, or package or hardware is missing."""
    check_hardware(device, precision)
    try:
        return _NETWORKS[device, precision](weights)
    except Exception as error:  # the runtimes' own classes have no common public base
        raise UsageError(f"{weights} is not a RetinaFace ONNX graph: {error}") from error


def check_hardware(device: Device, precision: Precision) -> None:
    """Raise UsageError where this machine lacks the packages or the hardware for a device and a precision."""
    modules = check_packages(device, precision)
    if device == "cuda":
        if not modules["torch"].cuda.is_available():
            raise UsageError("--device cuda: PyTorch finds no CUDA GPU here; `dfer doctor` says more")
    elif precision == "bf16" and "BF16" not in modules["openvino"].Core().get_property(
        "CPU", "OPTIMIZATION_CAPABILITIES"
    ):
        raise UsageError("--precision bf16: this CPU does not compute in bf16 (AVX-512 BF16 or AMX); take f32")


def check_packages(device: Device, precision: Precision) -> Mapping[str, Any]:
    """Return the modules for a device and a precision by name; UsageError where one is not installed."""
    if device == "cuda":
        return {name: _imported(name, "--device cuda", extra="gpu") for name in ("torch", "onnx")}
    if precision == "bf16":
        return {"openvino": _imported("openvino", "--precision bf16", extra="openvino")}
    return {}


def _imported(name: str, flag: str, *, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(f"{flag} needs a package that is not installed: pip install 'dfer[{extra}]'") from error
