"""Sections on training steps of the network alone: a ladder of changes, CUDA graphs, compiled steps, kernels."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gpu.check import Check
from benchmarks.gpu.network import build
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.models.tce import TCE

_GMAC_PER_CLIP: Mapping[int, float] = {224: 29.61, 112: 8.35, 64: 2.96}  # forward, 16 frames
_COMPILE_SECONDS = 75.0  # minimum time left to start compiling


@dataclass(frozen=True)
class Variant:
    """One rung of the ladder."""

    is_plain: bool = False
    """Compute in the order of the paper's code."""
    dtype: torch.dtype | None = torch.bfloat16
    """Autocast dtype; None: float32 with TF32 convolutions, PyTorch's default."""
    changes: frozenset[str] = frozenset()
    """Names of the changes; see `one_step`."""


_LAST = "+ gates by products of matrices"


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
        ("+ first convolution over squares", {"squares"}),
        (_LAST, {"gates"}),
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


def with_gates(model: LSTPNet, *, reduces: bool, multiplies: bool) -> None:
    """Choose how the TCEs are computed.

    `reduces`: take the maximum by a reduction over the flattened map, which stays NHWC, instead of a pooling.
    `multiplies`: the last convolution as products of matrices, as `lstpnet` has it, instead of a convolution.
    """

    def scores(self: TCE, responses: Tensor) -> Tensor:
        assert self.expand.bias is not None
        weights = torch.cat([self.expand.weight.squeeze(1), self.expand.bias[:, None]], dim=1)
        merged: Tensor = self.merge(F.relu(torch.matmul(weights, responses)))  # (2*N, 1, C)
        return merged.reshape(2, -1, self.channels).sum(dim=0)

    for module in model.modules():
        if isinstance(module, TCE):
            module.scans = reduces
            if not multiplies:
                module._scores = scores.__get__(module)  # type: ignore[method-assign]


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
    if not rung.is_plain:
        with_gates(model, reduces="max" in changes, multiplies="gates" in changes)
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
