"""Compare the networks of the registry with their plain form: forward pass and training step, in float32.

    python -m benchmarks.networks [--models r3d_18 former-dfer ...] [--batch 2] [--rounds 5] [--json FILE]

The peer is `peers/plain_networks.py`, with the same weights. Both run in turn in one process, round after round; a line
gives the median, minimum and maximum of the ratios peer / ours per round, and the largest difference of the logits.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.model import contest, forward, step
from benchmarks.peers.plain_networks import plain_network
from lstpnet.models.catalogue import NETWORKS, NUM_FRAMES
from lstpnet.models.registry import build_model

MODELS = tuple(name for name in NETWORKS if name != "lstpnet")
_TOLERANCE = 1e-4


def compared(name: str, *, batch: int, rounds: int) -> list[dict[str, Any]]:
    """Time one network and its plain form; print and return a row for the forward pass and one for the step."""
    torch.manual_seed(0)
    size_px = NETWORKS[name].size_px
    ours = build_model(name)
    plain = plain_network(ours)
    clips = torch.rand(batch, NUM_FRAMES, 3, size_px, size_px)
    with torch.inference_mode():
        difference = (ours.eval()(clips) - plain.eval()(clips)).abs().max().item()
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
        seconds = {key: times[-rounds:] for key, times in contest(runs, rounds=rounds).items()}  # no warm-up
        ratios = [a / b for a, b in zip(seconds["plain"], seconds["ours"], strict=True)]
        milliseconds = {key: 1000 * statistics.median(times) / batch for key, times in seconds.items()}
        row = {
            **{"name": name, "what": what, "size_px": size_px, "batch": batch, "difference": difference},
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
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    document: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "threads": options.threads,
        "rows": [],
    }
    for name in options.models:
        document["rows"] += compared(name, batch=options.batch, rounds=options.rounds)
        if options.json:  # after each network, since all of them take long
            options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
