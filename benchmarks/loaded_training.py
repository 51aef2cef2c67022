"""Measure what training costs on cores that other programs use too, by how its threads wait for each other.

    python -m benchmarks.loaded_training [--work DIR] [--rounds 5] [--clips 80] [--size 64] [--busy 2]
                                         [--precisions f32 auto] [--json FILE]

A training step is hundreds of short parallel regions, and at the end of each the first threads wait for the last one.
`spinning` waits as PyTorch's OpenMP does by default (3 ms in a loop, then asleep), `asleep` never in a loop
(OMP_WAIT_POLICY=PASSIVE), `dfer, started quiet` and `dfer, started busy` as `dfer train` sets it when it starts on such
cores, and `dfer --threads 1` never waits. Each way trains a quarter-wide LSTPNet in its own process, one epoch per
turn; each round is run without further programs and then with `--busy` endless loops per core. CPU time counts all
threads. Ratios are per round: median, minimum and maximum; that of `dfer` is of a training that starts on busy cores to
one that starts on quiet ones, each on such cores. `load` is the machine's load average before each turn: a round is
quiet only if nothing else runs.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.loader import unpack
from benchmarks.model import has_fast_bf16
from benchmarks.peers.contestant import Contestant, prepared
from dfer_cli.main import BUSY_OPENMP_SETTINGS, OPENMP_SETTINGS
from dfer_data.loading.clip_dataset import FaceClipDataset
from dfer_data.processes import num_cores

_WAYS: Mapping[str, Mapping[str, str]] = {
    "spinning": {"GOMP_SPINCOUNT": "300000"},  # libgomp's own default
    "asleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "dfer, started quiet": OPENMP_SETTINGS,
    "dfer, started busy": BUSY_OPENMP_SETTINGS,
    "dfer --threads 1": {**OPENMP_SETTINGS, "OMP_NUM_THREADS": "1"},
}
_FIGURES = ("step_seconds", "step_cpu_seconds", "load")


@contextlib.contextmanager
def busy_cores(num_processes: int) -> Iterator[None]:
    """Run endless loops, one per process."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(num_processes)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measured(work: Path, *, words: list[object], rounds: int, num_busy: int) -> dict[str, list[dict[str, float]]]:
    """Return the figures of each way by round, quiet and loaded."""
    command = (sys.executable, "-m", "benchmarks.peers.train_loops", "ours", 0, work, *words)
    running = {name: Contestant(*command, environment=settings) for name, settings in _WAYS.items()}
    epochs: dict[str, list[dict[str, float]]] = {
        f"{name}, {state}": [] for name in _WAYS for state in ("quiet", "loaded")
    }
    for contestant in running.values():
        contestant.do("go")  # warm up
    for number in range(rounds):
        order = list(running.items())[:: 1 if number % 2 else -1]
        for state in ("quiet", "loaded"):
            with busy_cores(num_busy if state == "loaded" else 0):
                for name, contestant in order:
                    load = os.getloadavg()[0]
                    figures = contestant.do("go") | {"load": load}
                    epochs[f"{name}, {state}"].append(figures)
                    print(
                        f"{number} {state:6} {name:19}", {key: round(figures[key], 3) for key in _FIGURES}, flush=True
                    )
    for contestant in running.values():
        contestant.end()
    return epochs


def ratio(above: list[dict[str, float]], below: list[dict[str, float]], figure: str) -> dict[str, float]:
    """Return median, minimum and maximum of the ratios per round."""
    ratios = [one[figure] / other[figure] for one, other in zip(above, below, strict=True)]
    return {"ratio": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)}


def figures_of(epochs: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Return medians by way and state, and the ratios between states and between ways."""
    figures: dict[str, Any] = {
        name: {figure: statistics.median(row[figure] for row in rows) for figure in _FIGURES}
        for name, rows in epochs.items()
    }
    for figure in _FIGURES[:2]:
        figures[f"{figure}: loaded / quiet"] = {
            name: ratio(epochs[f"{name}, loaded"], epochs[f"{name}, quiet"], figure) for name in _WAYS
        } | {"dfer": ratio(epochs["dfer, started busy, loaded"], epochs["dfer, started quiet, quiet"], figure)}
        figures[f"{figure}: way / spinning"] = {
            f"{name}, {state}": ratio(epochs[f"{name}, {state}"], epochs[f"spinning, {state}"], figure)
            for name in _WAYS
            for state in ("quiet", "loaded")
            if name != "spinning"
        }
    return figures


def main() -> None:
    """Print and save medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--precisions", nargs="+", default=["f32", "auto"])
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    document: dict[str, Any] = {"busy_processes": options.busy * num_cores(), "cores": num_cores()}
    document |= {"settings": _WAYS, "rounds": options.rounds, "size_px": options.size}
    document |= {"bf16_in_hardware": has_fast_bf16()}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root = prepared(options.work or work)
        clip_ids = FaceClipDataset(root, fold=1).clip_ids[: options.clips]
        unpack(FaceClipDataset(root, clip_ids=clip_ids), work)
        for precision in options.precisions:
            words: list[object] = [options.size, 8, options.clips, "width_multiplier=0.25", f"precision={precision}"]
            num_busy = options.busy * num_cores()
            document[precision] = figures_of(measured(work, words=words, rounds=options.rounds, num_busy=num_busy))
            if options.json:
                options.json.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
