"""Measure how often the 95 % interval of a mean over few seeds contains the truth, on simulated test sets.

    python -m benchmarks.mean_coverage [--runs 600] [--workers 2] [--json FILE]

The simulation is that of benchmarks/comparison_error.py, for one system: official numbers of clips per fold and class,
recalls about LSTPNet's on DFEW, and noise of 0 to 2 points in a fold's WAR from training to training. The truth is the
expected figure over trainings with other seeds and other test clips; intervals are those of `dfer report` for the mean
of all folds and seeds. At 600 runs a share of 95 % has a standard error of 0.9 points.
"""

from __future__ import annotations

import argparse
import json
import math
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.comparison_error import NOISES, SEED, Simulation
from lstpnet.reporting.uncertainty.comparison import FIGURES, estimate_figures

DATASETS, SEEDS = ("afew", "ferv39k", "dfew"), (2, 3, 5)


def truth(simulation: Simulation, noise_points: float) -> dict[str, float]:
    """Return the expected WAR and UAR: means over the folds, as fractions."""
    scale = math.sqrt(1 + (noise_points / 100 / simulation.slope) ** 2)
    clips = simulation.clips
    thresholds = dict(zip(clips.labels, simulation.base, strict=True))
    recall = {number: NormalDist().cdf(float(base) / scale) for number, base in thresholds.items()}
    right = np.array([recall[number] for number in clips.labels])
    wars = [right[clips.folds == fold].mean() for fold in range(simulation.num_folds)]
    return {"war": float(np.mean(wars)), "uar": float(np.mean(list(recall.values())))}


def measure(case: tuple[str, int], *, runs: int) -> list[dict[str, Any]]:
    """Return a row per noise: the share of intervals that contain the truth, for a dataset and a number of seeds."""
    dataset, num_seeds = case
    simulation, rng = Simulation(dataset), np.random.default_rng([SEED, len(dataset), num_seeds])
    truths = {noise: truth(simulation, noise) for noise in NOISES}
    inside = {(noise, name): 0 for noise, name in product(NOISES, FIGURES)}
    for _ in range(runs):
        arm, _other = simulation.arms("same recipe", num_seeds, rng, shared=False, points=0.0)
        for noise in NOISES:
            for name, found in estimate_figures(simulation.clips, [simulation.right(arm, noise)]).items():
                interval = found.interval
                inside[noise, name] += interval is not None and interval.low <= truths[noise][name] <= interval.high
    facts = {"dataset": dataset, "seeds": num_seeds, "runs": runs}
    return [facts | {"noise": noise, **{name: inside[noise, name] / runs for name in FIGURES}} for noise in NOISES]


def main() -> None:
    """Print one line per dataset, number of seeds and noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with ProcessPoolExecutor(options.workers) as pool:
        for found in pool.map(partial(measure, runs=options.runs), product(DATASETS, SEEDS)):
            rows += found
            for row in found:
                shares = " / ".join(f"{100 * row[name]:.1f}" for name in FIGURES)
                print(f"{row['dataset']:8} {row['seeds']} seeds  noise {row['noise']:g}  {shares} %", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"runs": options.runs, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
