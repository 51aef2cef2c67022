"""Sections on the network alone: machine, its peak rates, agreement with the CPU, a ladder of training steps."""

from __future__ import annotations

import contextlib
import copy
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu.check import Check
from benchmarks.peers.plain_lstpnet import plain_lstpnet
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.tce import TCE

_GMAC_PER_CLIP: Mapping[int, float] = {224: 29.61, 112: 8.35, 64: 2.96}  # forward, 16 frames
_CONVOLUTIONS = (
    (3, 64, 7, 2, 224),
    (64, 64, 3, 1, 56),
    (128, 128, 3, 1, 28),
    (256, 256, 3, 1, 14),
    (512, 512, 3, 1, 7),
)
_COMPILE_SECONDS = 75.0  # minimum time left to start compiling


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


@dataclass(frozen=True)
class Variant:
    """One rung of the ladder."""

    is_plain: bool = False
    """Compute in the order of the paper's code."""
    dtype: torch.dtype | None = torch.bfloat16
    """Autocast dtype; None: float32 with TF32 convolutions, PyTorch's default."""
    changes: frozenset[str] = frozenset()
    """Names of the changes; see `one_step`."""


_LAST = "+ first convolution over squares"


def _ladder() -> dict[str, Variant]:
    rungs = {
        "plain f32 (tf32 convolutions)": Variant(is_plain=True, dtype=None, changes=frozenset({"nchw"})),
        "plain bf16": Variant(is_plain=True, changes=frozenset({"nchw"})),
        "ours f32 (tf32 convolutions)": Variant(dtype=None, changes=frozenset({"nchw"})),
        "ours bf16, NCHW frames, two waits per step": Variant(changes=frozenset({"nchw", "waits"})),
        "+ no wait": Variant(changes=frozenset({"nchw"})),
        "+ frames stay NHWC": Variant(),
    }
    changes: frozenset[str] = frozenset()
    for name, change in (
        ("+ weights NHWC, fused AdamW", {"weights", "fused"}),
        ("+ maximum by reduction", {"max"}),
        ("+ no dead biases", {"bias"}),
        ("+ cudnn.benchmark", {"benchmark"}),
        ("+ one pass to bf16", {"cast"}),
        (_LAST, {"squares"}),
    ):
        changes |= change
        rungs[name] = Variant(changes=changes)
    rungs["+ f16 in place of bf16"] = Variant(dtype=torch.float16, changes=changes)  # its batch norms are cuDNN's
    rungs["+ whole step as a CUDA graph"] = Variant(changes=changes | {"captured"})
    rungs["+ compiled blocks"] = Variant(changes=changes | {"blocks"})
    rungs["+ compiled"] = Variant(changes=changes | {"compile"})
    rungs["+ compiled, CUDA graphs"] = Variant(changes=changes | {"graphs"})
    return rungs


LADDER = _ladder()
_COMPILED = frozenset({"blocks", "compile", "graphs"})
_CAPTURED = "+ whole step as a CUDA graph"


def with_reduced_maximum(model: LSTPNet) -> None:
    """Compute the TCE's maximum by a reduction over the flattened map, which stays NHWC on CUDA."""

    def gate(self: TCE, x: Tensor, num_frames: int) -> Tensor:
        largest = x.flatten(2).max(dim=2).values[:, :, None, None]
        pooled = torch.cat([largest, x.mean((2, 3), keepdim=True)]).reshape(-1, num_frames, self.channels)
        scores = self.merge(F.relu(self._maps(pooled))).reshape(2, -1, self.channels)
        return 2 * torch.sigmoid(scores[0] + scores[1])

    for module in model.modules():
        if isinstance(module, TCE):
            module.gate = gate.__get__(module)  # type: ignore[method-assign]


def without_dead_biases(model: LSTPNet) -> None:
    """Remove the biases before batch norms, which have no effect in training."""
    for module in model.backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.bias = None


def one_step(check: Check, *, size_px: int, batch: int, variant: str) -> dict[str, Any]:
    """Time one training step on uint8 frames that are already on the device."""
    rung = LADDER[variant]
    changes, device = rung.changes, check.device
    if check.is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    torch.backends.cudnn.benchmark = "benchmark" in changes
    model = build(check, is_plain=rung.is_plain)
    model.backbone.conv1.folds = "squares" in changes
    if "max" in changes:
        with_reduced_maximum(model)
    if "bias" in changes:
        without_dead_biases(model)
    if "weights" in changes:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, fused=True if "fused" in changes else None, capturable="captured" in changes
    )
    forward: Callable[[Tensor], Tensor] = model
    if "blocks" in changes:
        for stage in (model.backbone.layer1, model.backbone.layer2, model.backbone.layer3, model.backbone.layer4):
            for block in stage:
                block.compile(dynamic=False)
    if {"compile", "graphs"} & changes:
        forward = torch.compile(model, mode="reduce-overhead" if "graphs" in changes else None, dynamic=False)
    stored = torch.randint(0, 256, (batch, 16, size_px, size_px, 3), dtype=torch.uint8, device=device)
    labels = torch.arange(batch, device=device) % 7

    def run() -> None:
        frames = stored.permute(0, 1, 4, 2, 3)
        if "nchw" in changes:
            frames = frames.contiguous()
        dtype = rung.dtype if "cast" in changes and rung.dtype is not None else torch.float32
        pixels = frames.to(dtype).mul_(1 / 255) if "cast" in changes else frames.float().div_(255)
        with torch.autocast(device.type, dtype=rung.dtype, enabled=rung.dtype is not None):
            logits = forward(pixels)
        loss = F.cross_entropy(logits.float(), labels)
        if "waits" in changes:
            loss.item()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if "waits" in changes:
            int((logits.argmax(1) == labels).sum())

    start = time.perf_counter()
    run = _capture(run, check) if "captured" in changes else run
    run()
    check.synchronize()
    first = time.perf_counter() - start
    seconds = check.median_seconds(run, seconds=1.0)
    start = time.perf_counter()
    for _ in range(5):
        run()
    check.synchronize()
    wall = (time.perf_counter() - start) / 5
    return {
        "size_px": size_px,
        "batch": batch,
        "variant": variant,
        "ms_per_step": seconds * 1e3,
        "clips_per_second": batch / seconds,
        "wall_clips_per_second": batch / wall,
        "first_step_seconds": first,
        "tflops": batch * _GMAC_PER_CLIP.get(size_px, 0) * 6e9 / seconds / 1e12,
        "peak_mib": torch.cuda.max_memory_allocated(device) / 2**20 if check.is_cuda else 0,
    }


def _capture(run: Callable[[], None], check: Check) -> Callable[[], None]:
    """Record the kernels of a step as a CUDA graph; return its replay, a single launch."""
    stream = torch.cuda.Stream(check.device)
    stream.wait_stream(torch.cuda.current_stream(check.device))
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream(check.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def _rows(check: Check, plan: list[tuple[int, int, str]], *, reserve_seconds: float) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for size_px, batch, variant in plan:
        if not check.is_cuda and LADDER[variant].dtype is not None and variant != _LAST:
            continue  # one bf16 rung tests the code on a CPU, where bf16 may be emulated
        if check.seconds_left < reserve_seconds:
            rows.append({"size_px": size_px, "batch": batch, "variant": variant, "skipped": "no time left"})
            continue
        try:
            rows.append(one_step(check, size_px=size_px, batch=batch, variant=variant))
        except RuntimeError as error:
            rows.append({"size_px": size_px, "batch": batch, "variant": variant, "error": repr(error)[:300]})
        print(rows[-1], flush=True)
    return rows


def steps(check: Check) -> list[dict[str, Any]]:
    """Time training steps: the whole ladder at one size, then other sizes and batches; none compiled."""
    eager = [name for name, rung in LADDER.items() if not rung.changes & _COMPILED and name != _CAPTURED]
    main_rungs = ("plain bf16", "ours bf16, NCHW frames, two waits per step", _LAST)
    size, batch = check.sizes_px[0], check.batches[0]
    plan = [(size, batch, name) for name in eager]
    plan += [(size_px, batch, name) for size_px in check.sizes_px[1:] for name in main_rungs]
    plan += [(px, clips, name) for px in check.sizes_px for clips in check.batches[1:] for name in main_rungs[1:]]
    return _rows(check, plan, reserve_seconds=60)


def captured(check: Check) -> list[dict[str, Any]] | str:
    """Time training steps recorded as one CUDA graph, without a compiler."""
    if not check.is_cuda:
        return "CUDA only"
    plan = [(size_px, batch, _CAPTURED) for size_px in check.sizes_px for batch in check.batches]
    return _rows(check, plan, reserve_seconds=30)


def compiled(check: Check) -> list[dict[str, Any]] | str:
    """Time compiled training steps; the first step of each includes the time to compile."""
    if not check.is_cuda:
        return "CUDA only"
    batch = check.batches[0]
    first, second, third = check.sizes_px
    plan = [
        (first, batch, "+ compiled blocks"),
        (first, batch, "+ compiled"),
        (third, batch, "+ compiled, CUDA graphs"),
    ]
    plan += [(second, batch, "+ compiled"), (first, batch, "+ compiled, CUDA graphs")]
    return _rows(check, plan, reserve_seconds=_COMPILE_SECONDS)


def kernels(check: Check) -> dict[str, Any] | str:
    """Profile one step of the current network and one of the last eager rung; return their kernels by time."""
    if not check.is_cuda:
        return "CUDA only"
    return {"present": _profile(check, is_last=False), "last eager rung": _profile(check, is_last=True)}


def _profile(check: Check, *, is_last: bool) -> dict[str, Any]:
    from torch.profiler import ProfilerActivity, profile

    model = build(check)
    if is_last:
        with_reduced_maximum(model)
        without_dead_biases(model)
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        torch.backends.cudnn.benchmark = True
    optimizer = torch.optim.AdamW(model.parameters(), fused=is_last or None)
    size_px = check.sizes_px[0]
    clips = torch.rand(check.batches[0], 16, 3, size_px, size_px, device=check.device)
    labels = torch.arange(len(clips), device=check.device) % 7

    def run() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            logits = model(clips)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    run()
    run()
    check.synchronize()
    with profile(activities=[ProfilerActivity.CUDA, ProfilerActivity.CPU]) as profiler:
        run()
        check.synchronize()
    rows = [
        (row.key[:90], row.self_device_time_total / 1e3, row.count)
        for row in profiler.key_averages()
        if not row.key.startswith("aten::")  # an operator counts the time of its kernels again
    ]
    rows = sorted((row for row in rows if row[1]), key=lambda row: -row[1])
    return {"launches": sum(row[2] for row in rows), "ms": sum(row[1] for row in rows), "top": rows[:30]}
