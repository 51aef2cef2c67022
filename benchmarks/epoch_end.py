"""Measure what the end of an epoch costs a training: how long it waits for its checkpoint and state.

    python -m benchmarks.epoch_end [--base TREE] [--widths 0.25 1] [--epochs 8] [--rounds 3] [--work DIR] [--json FILE]

Trains one step of two clips per epoch (AdamW, 32 px); the time between epochs is that of `fit` without the epochs' own
seconds and without the last write, which the end of the training waits for. With `--base` (another checkout, as for
benchmarks.training_step) both trees take turns, each run in its own process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.contestant import prepared

TREE = Path(__file__).resolve().parents[1]


def measure(root: Path, *, width: float, epochs: int) -> dict[str, float]:
    """Return the median seconds between the end of an epoch and the next one's start, and CPU seconds per epoch."""
    import torch

    from lstpnet.recipe_files import resolve_recipe
    from lstpnet.training.events import EpochDone
    from lstpnet.training.experiment import make_experiment
    from lstpnet.training.initial_model import initial_model
    from lstpnet.training.trainer import fit

    changes = {"size_px": 32, "batch_size": 2, "epochs": epochs, "optimizer": "adamw", "width_multiplier": width}
    experiment = make_experiment(root, resolve_recipe("dfew", overrides=changes), fold=1, seed=0)
    experiment = dataclasses.replace(experiment, train_ids=experiment.train_ids[:2])
    gaps: list[float] = []
    last = 0.0

    def on_event(event: EpochDone) -> None:
        nonlocal last
        now = time.perf_counter()
        if event.epoch > 1:
            gaps.append(now - last - event.seconds)
        last = now

    with tempfile.TemporaryDirectory() as folder:
        model = initial_model(experiment, init=None)[0]
        fit(experiment, model, folder=Path(folder), device=torch.device("cpu"), on_event=on_event)
    return {"seconds": statistics.median(gaps)}


def main() -> None:
    """Print and save the medians of each tree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=None)
    parser.add_argument("--widths", type=float, nargs="+", default=[0.25, 1])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--one", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one, width=options.widths[0], epochs=options.epochs)))
        return
    trees = {"this": TREE} if options.base is None else {"base": options.base, "this": TREE}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = prepared(options.work or Path(folder)).resolve()
        for width in options.widths:
            words = ["--one", str(root), "--widths", str(width), "--epochs", str(options.epochs)]
            seconds: dict[str, list[float]] = {name: [] for name in trees}
            for _ in range(options.rounds):
                for name, tree in trees.items():
                    seconds[name].append(_run(tree, words)["seconds"])
            row: dict[str, Any] = {"width_multiplier": width, "load": os.getloadavg()[0]}
            for name, values in seconds.items():
                row[name] = {"seconds": statistics.median(values), "least": min(values), "greatest": max(values)}
            rows.append(row)
            print(row, flush=True)
    if options.json:
        document = {"epochs": options.epochs, "rounds": options.rounds, "rows": rows}
        options.json.write_text(json.dumps(document, indent=1) + "\n")


def _run(tree: Path, words: list[str]) -> dict[str, float]:
    path = os.pathsep.join([str(tree.resolve()), str(TREE)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), *words]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
