"""Run RetinaFace's networks: the MobileNet graph by onnxruntime, OpenVINO or PyTorch, the ResNet-50 by PyTorch."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import onnxruntime

from dfer_data.config import Device, Precision
from dfer_data.detect.base import Network, PictureNetwork
from dfer_data.detect.openvino_core import openvino_core
from dfer_data.errors import UsageError
from dfer_data.extras import imported_package, install_command
from dfer_data.types import Floats
from dfer_data.weights.model_bytes import read_model_file

Backbone = Literal["mobilenet0.25", "resnet50"]
RESNET50_PACKAGES: Mapping[str, str] = MappingProxyType(
    {"torch": "", "torchvision": "", "retinaface-pytorch": "0.0.7"}  # 0.0.8 requires a torch of 2021
)
"""Distributions that the ResNet-50 needs -> the only version that works; empty: any version."""
RESNET50_DOCS = "docs/how-to/detectors.md"
_DATA_FOLDER = "session.model_external_initializers_file_folder_path"
_MAX_SHAPES = 16  # compiled shapes that OpenVINO keeps


def onnxruntime_network(weights: bytes) -> Network:
    """Load the graph with onnxruntime, on one CPU thread in float32."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry(_DATA_FOLDER, os.devnull)  # no folder: tensors in other files fail, unhashed
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def compute(batch: Floats) -> tuple[Floats, Floats, Floats]:
        boxes, scores, landmarks = session.run(None, {name: batch})
        return boxes, scores, landmarks

    return compute


def openvino_network(weights: bytes, *, precision: Literal["bf16", "f32"] = "bf16") -> Network:
    """Load the graph with OpenVINO, on one CPU thread.

    `f32` is for comparison: no faster than onnxruntime (benchmarks/runtimes.py). Each batch shape is
    compiled once, which takes some tenths of a second.
    """
    onnxruntime_network(weights)  # refuses tensors in other files, which OpenVINO reads from the working folder
    core = openvino_core()
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,  # with pinning, every worker process would take the first core
    }

    @lru_cache(maxsize=_MAX_SHAPES)
    def request(shape: tuple[int, ...]) -> Any:
        model = core.read_model(weights)
        model.reshape(list(shape))
        return core.compile_model(model, "CPU", settings).create_infer_request()

    def compute(batch: Floats) -> tuple[Floats, Floats, Floats]:
        outputs = request(batch.shape).infer({0: batch}, share_inputs=True, share_outputs=True)
        boxes, scores, landmarks = (np.array(outputs[i], np.float32) for i in range(3))
        return boxes, scores, landmarks

    return compute


def _torch_network(weights: bytes, *, precision: Precision = "f32") -> PictureNetwork:
    """Load the graph with PyTorch, on a GPU."""
    from dfer_data.detect.torch_backend import torch_network

    return torch_network(weights, device="cuda", precision=precision)


def _resnet50_network(weights: Path, content: bytes, *, device: Device, precision: Precision) -> Network:
    """Load the ResNet-50; importing its packages takes more than a second."""
    from dfer_data.detect.resnet50_backend import resnet50_network

    return resnet50_network(weights, content, device=device, precision=precision)


_NETWORKS: Mapping[tuple[Device, Precision], Callable[[bytes], Network | PictureNetwork]] = MappingProxyType(
    {
        ("cpu", "f32"): onnxruntime_network,
        ("cpu", "bf16"): openvino_network,
        ("cuda", "f32"): _torch_network,
        ("cuda", "tf32"): lambda weights: _torch_network(weights, precision="tf32"),
        ("cuda", "bf16"): lambda weights: _torch_network(weights, precision="bf16"),
    }
)


def network(
    weights: Path,
    *,
    backbone: Backbone = "mobilenet0.25",
    device: Device,
    precision: Precision,
    sha256: str = "",
) -> Network | PictureNetwork:
    """Load a network from a file that is read once.

    `sha256`: hash that the file must have; empty: any. Raises UsageError if `weights` has other weights, or a package
    or hardware is missing; WeightsError for another hash.
    """
    check_hardware(device, precision, backbone=backbone)
    content = read_model_file(weights, sha256=sha256)
    if backbone == "resnet50":
        return _resnet50_network(weights, content, device=device, precision=precision)
    try:
        return _NETWORKS[device, precision](content)
    except Exception as error:  # the runtimes' exceptions have no common public base class
        raise UsageError(f"{weights} is not a RetinaFace ONNX graph: {error}") from error


def check_hardware(device: Device, precision: Precision, *, backbone: str = "mobilenet0.25") -> None:
    """Raise UsageError where this machine lacks the packages or the hardware for a network."""
    modules = check_packages(device, precision, backbone=backbone)
    if device == "cuda":
        if not modules["torch"].cuda.is_available():
            raise UsageError(
                "--device cuda: PyTorch finds no CUDA GPU; leave --device out to use the CPU, or see `dfer doctor`"
            )
    elif precision == "bf16" and "BF16" not in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise UsageError("--precision bf16: this CPU does not support bf16 (AVX-512 BF16 or AMX); use f32")


def check_packages(device: Device, precision: Precision, *, backbone: str = "mobilenet0.25") -> Mapping[str, Any]:
    """Import the packages of a network and return the modules by name; raise UsageError where one is missing."""
    if (device, precision) == ("cpu", "tf32"):
        raise UsageError("--precision tf32 is a number format of CUDA GPUs; leave it out, or add --device cuda")
    is_resnet50 = backbone == "resnet50"
    if is_resnet50:
        _check_resnet50(device, precision)
    if device == "cuda":
        package_names = ("torch",) if is_resnet50 else ("torch", "onnx")
        return {name: imported_package(name, "--device cuda", extra="gpu") for name in package_names}
    if precision == "bf16":
        return {"openvino": imported_package("openvino", "--precision bf16", extra="openvino")}
    return {}


def _check_resnet50(device: Device, precision: Precision) -> None:
    """Raise UsageError where retinaface-pytorch or a dependency is missing, has a wrong version or fails to import."""
    if (device, precision) == ("cpu", "bf16"):
        raise UsageError("--backbone resnet50 --precision bf16: on a CPU it computes only in f32")
    fix = f"{install_command('resnet50', is_here=False)} in a separate environment ({RESNET50_DOCS})"
    for name, required_version in RESNET50_PACKAGES.items():
        try:
            installed_version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise UsageError(f"--backbone resnet50 needs {name}, which is not installed: {fix}") from error
        if required_version and installed_version != required_version:
            raise UsageError(
                f"--backbone resnet50 needs {name} {required_version}, but {installed_version} is installed: {fix}"
            )
    try:
        importlib.import_module("retinaface.network")
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(
            f"--backbone resnet50: retinaface-pytorch's network cannot be imported ({reason}); torch and "
            "torchvision may be builds that do not match, one for CPUs and one for CUDA, or another package named "
            f"retinaface may hide it: {fix}"
        ) from error
