"""Sections on the machine, its peak rates, and the network's agreement with the CPU."""

from __future__ import annotations

import contextlib
import copy
import os
import platform
import statistics
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu.check import Check
from benchmarks.peers.plain_lstpnet import plain_lstpnet
from lstpnet.models.lstpnet import LSTPNet

_CONVOLUTIONS = (
    (3, 64, 7, 2, 224),
    (64, 64, 3, 1, 56),
    (128, 128, 3, 1, 28),
    (256, 256, 3, 1, 14),
    (512, 512, 3, 1, 7),
)


def machine(check: Check) -> dict[str, Any]:
    """Return versions, device and CPU of the machine."""
    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "device": str(check.device),
    }
    if check.is_cuda:
        properties = torch.cuda.get_device_properties(check.device)
        facts |= {
            "device": properties.name,
            "memory_gib": properties.total_memory / 2**30,
            "multiprocessors": properties.multi_processor_count,
            "cudnn": torch.backends.cudnn.version(),
            "cuda": torch.version.cuda,
        }
    with contextlib.suppress(OSError, StopIteration), open("/proc/cpuinfo", encoding="utf-8") as file:
        facts["cpu"] = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    return facts


def floor(check: Check) -> dict[str, Any]:
    """Measure peak rates: matrix products, memory, copies to the device, the network's convolutions."""
    device = check.device
    side, num_mib, num_frames = (8192, 4096, 512) if check.is_cuda else (256, 16, 2)
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(num_mib << 20, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    host = torch.empty(77 << 20, dtype=torch.uint8, pin_memory=check.is_cuda)
    copy_rate = 2 * source.numel() / check.median_seconds(lambda: target.copy_(source)) / 1e12
    upload_rate = host.numel() / check.median_seconds(lambda: host.to(device, non_blocking=True)) / 1e9
    figures: dict[str, Any] = {
        "matmul_tflops": 2 * side**3 / check.median_seconds(lambda: left @ right) / 1e12,
        "copy_tb_per_second": copy_rate,
        "pinned_to_device_gb_per_second": upload_rate,
    }
    for shape in _CONVOLUTIONS:
        figures[f"convolution {shape[0]}->{shape[1]} k{shape[2]} {shape[4]}px"] = _convolution(check, shape, num_frames)
    return figures


def _convolution(check: Check, shape: tuple[int, int, int, int, int], num_frames: int) -> dict[str, float]:
    inputs, outputs, kernel, stride, side = shape
    options: Any = {"device": check.device, "dtype": torch.bfloat16}
    x = torch.randn(num_frames, inputs, side, side, **options).to(memory_format=torch.channels_last)
    weight = torch.randn(outputs, inputs, kernel, kernel, **options).to(memory_format=torch.channels_last)
    weight.requires_grad_()
    x.requires_grad_(inputs > 3)
    differentiated = [tensor for tensor in (x, weight) if tensor.requires_grad]
    out = F.conv2d(x, weight, stride=stride, padding=kernel // 2)
    gradient = torch.randn_like(out)
    macs = num_frames * (side // stride) ** 2 * outputs * inputs * kernel**2

    def forward() -> Tensor:
        return F.conv2d(x, weight, stride=stride, padding=kernel // 2)

    forward_seconds = check.median_seconds(forward, seconds=0.3)
    all_seconds = check.median_seconds(lambda: torch.autograd.grad(forward(), differentiated, gradient), seconds=0.3)
    return {
        "forward_tflops": 2 * macs / forward_seconds / 1e12,
        "with_gradients_tflops": 2 * macs * (1 + len(differentiated)) / all_seconds / 1e12,
        "with_gradients_ms": all_seconds * 1e3,
    }


@contextlib.contextmanager
def tf32(is_on: bool) -> Iterator[None]:
    """Allow or forbid TF32 in matrix products and convolutions within the block."""
    cuda: Any = torch.backends.cuda
    previous = cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = is_on
    try:
        yield
    finally:
        cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = previous


def build(check: Check, *, is_plain: bool = False) -> LSTPNet:
    """Return LSTPNet on the device in training mode; `is_plain`: computed in the order of the paper's code."""
    torch.manual_seed(0)
    make = plain_lstpnet if is_plain else LSTPNet
    return make(7, width_multiplier=check.width_multiplier).to(check.device).train()


def parity(check: Check) -> dict[str, Any]:
    """Compare logits and gradients with float32 on the CPU, as relative Euclidean distances."""
    size_px = check.sizes_px[0]
    clips, labels = torch.rand(4, 16, 3, size_px, size_px), torch.arange(4)
    cpu = torch.device("cpu")
    torch.manual_seed(0)
    reference = LSTPNet(7, width_multiplier=check.width_multiplier)

    def outputs(device: torch.device, dtype: torch.dtype | None) -> tuple[Tensor, dict[str, Tensor]]:
        model = copy.deepcopy(reference).to(device).train()
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            logits = model(clips.to(device)).float()
        F.cross_entropy(logits, labels.to(device)).backward()
        gradients = {
            name: parameter.grad.float().cpu()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None and "bias" not in name  # biases before a batch norm have only rounding noise
        }
        return logits.detach().cpu(), gradients

    expected, expected_gradients = outputs(cpu, None)
    rows: dict[str, Any] = {}
    precisions: dict[str, tuple[torch.dtype | None, bool]] = {"f32": (None, False)}
    if check.is_cuda:
        precisions |= {"tf32": (None, True), "bf16": (torch.bfloat16, False)}
    for name, (dtype, is_tf32) in precisions.items():
        with tf32(is_tf32):
            logits, gradients = outputs(check.device, dtype)
        distances = {key: _distance(gradients[key], expected_gradients[key]) for key in expected_gradients}
        worst = max(distances, key=lambda key: distances[key])
        rows[name] = {
            "logits": _distance(logits, expected),
            "gradient_median": statistics.median(distances.values()),
            "gradient_worst": distances[worst],
            "gradient_worst_of": worst,
            "same_class": float((logits.argmax(1) == expected.argmax(1)).float().mean()),
        }
    return rows


def _distance(tensor: Tensor, expected: Tensor) -> float:
    return float((tensor - expected).norm() / expected.norm().clamp_min(1e-12))
