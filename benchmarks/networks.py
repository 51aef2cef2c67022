"""Compare the networks of the registry with their plain form: forward pass and training step, in float32.

    python -m benchmarks.networks [--models r3d_18 former-dfer ...] [--batch 1] [--rounds 3] [--minutes 7]
                                  [--threads 2] [--json FILE]

The peer is `peers/plain_networks.py`, with the same weights. Both run in turn in one process, round after round; a line
gives the median, minimum and maximum of the ratios peer / ours per round, and the file the largest difference of the
logits, relative to logits above 1.
The table of docs/benchmarks.md is printed at the end. All networks together take `--minutes`: each has a share by its
cost, and at least one round. The file has the load of the machine before and after, because other programs spread the
ratios.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.model import Run, forward, step
from benchmarks.peers.plain_networks import plain_network
from lstpnet.models.catalogue import NETWORKS, NUM_FRAMES
from lstpnet.models.registry import build_model
from lstpnet.models.variants import network_cost

MODELS = tuple(name for name in NETWORKS if name not in ("lstpnet", "clip-vit"))  # the last one is transformers' own
_TOLERANCE = 1e-4


@functools.cache
def cost(name: str) -> float:
    """Return the GMAC of a clip."""
    (gmac,) = network_cost(name).gmac.values()
    return gmac


def timed(runs: Mapping[str, Run], *, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Run all in turn, `rounds` times after a warm-up round, or as often as `seconds` allow; return their seconds."""
    start = time.perf_counter()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            before = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - before)
        mean_round = (time.perf_counter() - start) / (number + 1)
        if number and time.perf_counter() - start + mean_round > seconds:
            break
    return {name: all_times[1:] for name, all_times in times.items()}


def compared(name: str, *, batch: int, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Time one network and its plain form; print and return a row for the forward pass and one for the step."""
    torch.manual_seed(0)
    size_px = NETWORKS[name].size_px
    ours = build_model(name)
    plain = plain_network(ours)
    clips = torch.rand(batch, NUM_FRAMES, 3, size_px, size_px)
    with torch.inference_mode():
        logits = plain.eval()(clips)
        difference = (ours.eval()(clips) - logits).abs().max().item() / max(1.0, logits.abs().max().item())
    assert difference < _TOLERANCE, (name, difference)
    rows = []
    for what in ("forward", "step"):
        if what == "forward":
            runs = {"plain": forward(plain.eval(), clips), "ours": forward(ours.eval(), clips)}
        else:
            optimizers = [torch.optim.SGD(network.parameters(), lr=1e-6) for network in (plain, ours)]
            runs = {
                key: step(network.train(), clips, optimizer=optimizer)
                for key, network, optimizer in zip(("plain", "ours"), (plain, ours), optimizers, strict=True)
            }
        share = seconds * (0.25 if what == "forward" else 0.75)
        times = timed(runs, rounds=rounds, seconds=share)
        ratios = [a / b for a, b in zip(times["plain"], times["ours"], strict=True)]
        milliseconds = {key: 1000 * statistics.median(of_run) / batch for key, of_run in times.items()}
        row = {
            **{"name": name, "what": what, "size_px": size_px, "batch": batch, "rounds": len(ratios)},
            "difference": difference,
            **{f"ms_per_clip_{key}": value for key, value in milliseconds.items()},
            **{"ratio": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)},
        }
        rows.append(row)
        print(
            f"{name:14} {what:8} {size_px} px x {batch}: plain {milliseconds['plain']:8.1f} ms per clip, ours "
            f"{milliseconds['ours']:8.1f}, {row['ratio']:.2f}x ({row['least']:.2f} to {row['greatest']:.2f})",
            flush=True,
        )
    return rows


def main() -> None:
    """Run the benchmark for the networks that the options select."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=7, help="for all networks; slow ones get fewer rounds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    start = time.monotonic()
    document: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": options.threads,
        "load_before": os.getloadavg()[0],
        "rows": [],
    }
    for name in options.models:
        seconds = 60 * options.minutes * cost(name) / sum(map(cost, options.models))
        document["rows"] += compared(name, batch=options.batch, rounds=options.rounds, seconds=seconds)
        document |= {"load_after": os.getloadavg()[0], "seconds": round(time.monotonic() - start)}
        if options.json:  # after each network, since all of them take long
            options.json.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{document['seconds']} s\n" + table(document["rows"]))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the Markdown table of the ratios, one line per network."""
    lines = ["| | forward | training step with SGD |", "|---|---|---|"]
    for forward_row, step_row in zip(rows[::2], rows[1::2], strict=True):
        cells = [
            f"{row['ratio']:.2f}x ({row['least']:.2f} to {row['greatest']:.2f})" for row in (forward_row, step_row)
        ]
        lines.append(f"| `{forward_row['name']}` | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
