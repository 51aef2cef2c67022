"""Compare our LSTPNet with its plain form: time, memory, share of each part, and the CPU's convolution peak.

    python -m benchmarks.model [--sizes 224 64] [--batches 2 8] [--threads 2] [--rounds 7] [--bf16 auto|yes|no]
                               [--compile] [--only-times] [--json FILE]

Each picture size has one batch size. The peer is `peers/plain_lstpnet.py`, in float32. All contestants run in turn in
one process, round after round; a line gives the median, minimum and maximum of the ratios peer / contestant per round.
Memory is the peak resident size of a separate process minus its size before the step.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peers.plain_lstpnet import plain_lstpnet
from lstpnet.checkpoints.export import export_onnx, fold_batch_norms
from lstpnet.models.channel_attention import ChannelAttention
from lstpnet.models.lstpnet import LSTPNet

Run = Callable[[], object]
NUM_FRAMES = 16
_GLIBC = "MALLOC_MMAP_THRESHOLD_"
_BF16_SECONDS = 6.0  # a contestant slower than this is not repeated: bf16 is emulated on some CPUs


def has_fast_bf16() -> bool:
    """Return whether this CPU computes bf16 in hardware."""
    return any(
        getattr(torch.cpu, name, lambda: False)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def forward(model: nn.Module, clips: Tensor, *, bf16: bool = False) -> Run:
    """Return a forward pass without gradients."""

    def run() -> Tensor:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits: Tensor = model(clips)
        return logits.float()  # numpy has no bfloat16

    return run


def step(model: nn.Module, clips: Tensor, *, bf16: bool = False, optimizer: torch.optim.Optimizer | None = None) -> Run:
    """Return a forward and backward pass, followed by the optimizer's step if there is one."""
    labels = torch.arange(len(clips)) % 7

    def run() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(clips).float(), labels)
        model.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        if optimizer is not None:
            optimizer.step()

    return run


def onnx_forward(model: LSTPNet, clips: Tensor, folder: Path, *, num_threads: int) -> Run:
    """Return a forward pass by onnxruntime."""
    import onnxruntime

    path = folder / f"{clips.shape[-1]}.onnx"
    if not path.exists():
        export_onnx(model, path, size_px=clips.shape[-1])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    array = clips.numpy()
    return lambda: session.run(None, {"clips": array})[0]


def contest(runs: Mapping[str, Run], *, rounds: int) -> dict[str, list[float]]:
    """Run all in turn, `rounds` times after a warm-up round; return the seconds of each run."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    slow: set[str] = set()
    for number in range(rounds + 1):
        for name, run in runs.items():
            if name in slow:
                continue
            start = time.perf_counter()
            run()
            elapsed = time.perf_counter() - start
            if number or elapsed > _BF16_SECONDS:
                seconds[name].append(elapsed)
            if "bf16" in name and elapsed > _BF16_SECONDS:
                slow.add(name)
    return seconds


def models() -> tuple[LSTPNet, LSTPNet]:
    """Return our network and its plain form with equal weights."""
    torch.manual_seed(0)
    ours, plain = LSTPNet(7), plain_lstpnet(7)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def inference(clips: Tensor, folder: Path, *, num_threads: int, bf16: bool, compiled: bool) -> dict[str, Run]:
    """Return the contestants of a forward pass, the peer first."""
    ours, plain = models()
    folded = fold_batch_norms(ours)
    runs = {
        "plain f32": forward(plain.eval(), clips),
        "ours f32": forward(ours.eval(), clips),
        "ours f32 folded": forward(folded, clips),
        "onnxruntime f32 folded": onnx_forward(folded, clips, folder, num_threads=num_threads),
    }
    if bf16:
        runs["plain bf16"] = forward(plain.eval(), clips, bf16=True)
        runs["ours bf16 folded"] = forward(folded, clips, bf16=True)
    if compiled:
        compiled_model: nn.Module = torch.compile(folded)  # type: ignore[assignment]
        runs["ours f32 folded compiled"] = forward(compiled_model, clips)
    return runs


def training(clips: Tensor, *, bf16: bool, with_optimizer: bool) -> dict[str, Run]:
    """Return the contestants of a training step, the peer first."""

    def training_step(model: LSTPNet, **options: Any) -> Run:
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5) if with_optimizer else None
        return step(model.train(), clips, optimizer=optimizer, **options)

    ours, plain = models()
    recomputed = models()[0]
    recomputed.backbone.recomputes = True
    runs = {
        "plain f32": training_step(plain),
        "ours f32": training_step(ours),
        "ours f32 recomputed": training_step(recomputed),
    }
    if bf16:
        runs["plain bf16"] = training_step(models()[1], bf16=True)
        runs["ours bf16"] = training_step(models()[0], bf16=True)
    return runs


def lines(what: str, seconds: Mapping[str, list[float]], *, num_clips: int) -> list[dict[str, Any]]:
    """Print one line per contestant and return the rows."""
    peer_times = seconds["plain f32"]
    rows = []
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(peer_times, times, strict=False)]
        row = {
            "what": what,
            "name": name,
            "ms_per_clip": 1000 * statistics.median(times) / num_clips,
            "ratio": statistics.median(ratios),
            "least": min(ratios),
            "greatest": max(ratios),
        }
        rows.append(row)
        print(
            f"{what:34} {name:40} {row['ms_per_clip']:9.1f} ms per clip   "
            f"{row['ratio']:5.2f}x  ({row['least']:.2f} to {row['greatest']:.2f})",
            flush=True,
        )
    return rows


def shares(clips: Tensor) -> dict[str, float]:
    """Return the share of a forward pass that each part takes."""
    model = models()[0].eval()
    net = model.backbone
    parts: dict[str, nn.Module] = {f"layer{i}": getattr(net, f"layer{i}") for i in (1, 2, 3, 4)}
    parts |= {"stem": nn.Identity(), "head": model.head}
    spent: dict[str, float] = dict.fromkeys([*parts, "TCE"], 0.0)
    starts: dict[int, float] = {}

    def before(module: nn.Module, inputs: object) -> None:
        starts[id(module)] = time.perf_counter()

    def after(name: str) -> Callable[..., None]:
        def add(module: nn.Module, inputs: object, out: object) -> None:
            spent[name] += time.perf_counter() - starts[id(module)]

        return add

    for name, module in parts.items():
        module.register_forward_pre_hook(before)
        module.register_forward_hook(after(name))
    for module in net.modules():
        if isinstance(module, ChannelAttention):
            original = module.gate

            def gate(x: Tensor, num_frames: int, original: Callable[..., Tensor] = original) -> Tensor:
                start = time.perf_counter()
                out: Tensor = original(x, num_frames)
                spent["TCE"] += time.perf_counter() - start
                return out

            module.gate = gate  # type: ignore[method-assign]
    run = forward(model, clips)
    run()
    for name in spent:
        spent[name] = 0.0
    start = time.perf_counter()
    for _ in range(3):
        run()
    total = time.perf_counter() - start
    part_shares = {name: value / total for name, value in spent.items()}
    part_shares["stem"] = 1 - sum(value for name, value in part_shares.items() if name not in ("TCE", "stem"))
    return part_shares


def convolution_peak() -> float:
    """Return the billions of multiply-adds per second of a large convolution on this CPU."""
    conv = nn.Conv2d(256, 256, 3, padding=1).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(16, 256, 28, 28).to(memory_format=torch.channels_last)
    gmac = 16 * 28 * 28 * 256 * 256 * 9 / 1e9
    seconds = []
    with torch.inference_mode():
        for _ in range(6):
            start = time.perf_counter()
            conv(x)
            seconds.append(time.perf_counter() - start)
    return gmac / min(seconds[1:])


def _peak_mib() -> float:
    """Return the peak resident size so far (Linux; `ru_maxrss` would include the parent's)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 2**10


def _peak_of_step(kind: str, size_px: int, batch: int, queue: Any) -> None:
    torch.set_num_threads(2)
    model = plain_lstpnet(7) if kind == "plain" else LSTPNet(7)
    model.backbone.recomputes = kind == "ours, recomputed"
    run = step(model.train(), torch.rand(batch, NUM_FRAMES, 3, size_px, size_px))
    before = _peak_mib()
    run()
    queue.put(_peak_mib() - before)


def memory(size_px: int, batch: int, *, gives_back: bool) -> dict[str, float]:
    """Return the MiB that a training step takes, each kind in its own process.

    `gives_back`: freed blocks return to the system at once, so that the figure is what the step needs and not the size
    to which glibc's heap has grown.
    """
    context = multiprocessing.get_context("spawn")
    os.environ.pop(_GLIBC, None)
    if gives_back:
        os.environ[_GLIBC] = "1000000"
    mib_by_kind = {}
    for kind in ("plain", "ours", "ours, recomputed"):
        queue = context.Queue()
        process = context.Process(target=_peak_of_step, args=(kind, size_px, batch, queue))
        process.start()
        mib_by_kind[kind] = float(queue.get())
        process.join()
    return mib_by_kind


def details(*, threads: int) -> dict[str, Any]:
    """Print and return the shares of the parts, the convolution peak and the memory."""
    torch.set_num_threads(threads)
    peak, parts = convolution_peak(), shares(torch.rand(1, NUM_FRAMES, 3, 224, 224))
    print("share of a forward pass at 224 px: " + ", ".join(f"{name} {value:.1%}" for name, value in parts.items()))
    print(f"a large 3 x 3 convolution: {peak:.0f} GMAC/s with {threads} threads")
    used = {
        name: memory(224, 4, gives_back=gives_back) for name, gives_back in (("needed", True), ("glibc's heap", False))
    }
    for name, mib_by_kind in used.items():
        figures = ", ".join(
            f"{kind} {mib:.0f} ({mib / mib_by_kind['plain']:.3f}x)" for kind, mib in mib_by_kind.items()
        )
        print(f"training step, 224 px x 4, additional MiB, {name}: {figures}")
    return {"shares": parts, "conv_gmac_per_second": peak, "memory_mib": used}


def main() -> None:
    """Run the benchmarks that the options select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 64])
    parser.add_argument("--batches", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--bf16", choices=("auto", "yes", "no"), default="auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--only-times", action="store_true", help="skip shares, peak and memory")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    bf16 = has_fast_bf16() if options.bf16 == "auto" else options.bf16 == "yes"
    print(
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}; bf16 in hardware: {has_fast_bf16()}"
    )
    if not bf16:
        print("skipped: every row in bf16 (--bf16 yes runs them where bf16 is emulated, which takes long)")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for num_threads in options.threads:
            torch.set_num_threads(num_threads)
            for size_px, batch in zip(options.sizes, options.batches, strict=True):
                clips = torch.rand(batch, NUM_FRAMES, 3, size_px, size_px)
                condition = f"{size_px} px x {batch}, {num_threads} threads"
                runs = inference(clips, Path(folder), num_threads=num_threads, bf16=bf16, compiled=options.compile)
                expected = runs["plain f32"]()
                assert isinstance(expected, Tensor)
                for name, run in runs.items():
                    difference = np.abs(np.asarray(run()) - expected.numpy()).max()
                    assert difference < (0.5 if "bf16" in name else 1e-4), (name, difference)
                    rows.append({"what": f"forward {condition}", "name": name, "difference": float(difference)})
                rows += lines(f"forward {condition}", contest(runs, rounds=options.rounds), num_clips=batch)
                for with_optimizer in (False, True):
                    what = f"{'step' if with_optimizer else 'fwd+bwd'} {condition}"
                    runs = training(clips, bf16=bf16, with_optimizer=with_optimizer)
                    rows += lines(what, contest(runs, rounds=options.rounds), num_clips=batch)
    document: dict[str, Any] = {"rows": rows}
    if not options.only_times:
        document |= details(threads=options.threads[-1])
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
