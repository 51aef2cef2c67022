"""Measure how often `dfer report` says that one of two equal systems is better, and how often it finds a difference.

    python -m benchmarks.comparison_error [--runs 1200] [--workers 2] [--json FILE]

Simulated test sets have the official numbers of clips per fold and class. A clip is right where

    class + difficulty of the clip + what a recipe makes of it + training of the fold + rest of this training > 0,

all normal. The training's part moves a fold's WAR by 0, 0.5, 1 or 2 points (standard deviation); recalls are about
LSTPNet's on DFEW. "Same recipe": both systems draw their trainings from one recipe. "Two recipes": they favour other
clips, with equal expected figures. Both have no difference, so a p under 5 % is an error; the share of errors should be
5 %, and 3 to 7 % is accepted. Power: the share of p under 5 % where system A is better by so many points of WAR.

Compared methods, each a two-sided test at 5 %:

    report      what `dfer report` does: crossed variance components of clips and trainings, t (reporting/comparison.py)
    clips       the clips' variance alone, normal: training noise ignored
    bootstrap   a plain bootstrap over seeds and clips, by its variance, normal
    scaled      the same with the trainings' part scaled by S / (S - 1), normal
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dfer_data.sources.official_counts import official
from lstpnet.reporting.uncertainty.comparison import FIGURES, ClipDesign, estimate_figures
from lstpnet.reporting.uncertainty.significance import LEVEL, Float64s
from lstpnet.reporting.uncertainty.student_t import two_sided_p

RECALLS = (0.93, 0.71, 0.68, 0.77, 0.56, 0.14, 0.43)
"""Approximately those of LSTPNet on DFEW."""
NOISES = (0.0, 0.5, 1.0, 2.0)
"""Standard deviation of a fold's WAR over trainings, in points."""
PARTS = {"same recipe": (0.6, 0.0, 0.4), "two recipes": (0.5, 0.15, 0.35)}
"""Variance of a clip's difficulty, of what a recipe makes of it, and of the rest of one training; they sum to 1."""
METHODS = ("report", "clips", "bootstrap", "scaled")
SEED = 20261128


class Simulation:
    """One dataset's test set, and the trainings of two systems on it."""

    def __init__(self, dataset: str) -> None:
        counts = np.array(list(official(dataset).num_test.values()))
        num_folds, num_classes = counts.shape
        self.num_folds = num_folds
        self.fold = np.repeat(np.arange(num_folds), counts.sum(axis=1))
        labels = np.concatenate([np.repeat(np.arange(num_classes), row) for row in counts])
        self.clips = ClipDesign(self.fold, labels, np.arange(len(labels)))
        thresholds = np.array([_normal_quantile(recall) for recall in RECALLS])
        self.base = thresholds[labels].astype(np.float32)
        density = np.exp(-(thresholds**2) / 2) / math.sqrt(2 * math.pi)
        self.slope = float(counts.sum(axis=0) @ density / counts.sum())
        """WAR per unit of the latent scale."""

    def arms(
        self, kind: str, num_seeds: int, rng: np.random.Generator, *, shared: bool, points: float
    ) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Return per system the latent values without training noise, (S, N), and the noise in units of 1, (S, K)."""
        clip, recipe, rest = (math.sqrt(part) for part in PARTS[kind])
        num_clips = len(self.base)
        common = self.base + clip * rng.standard_normal(num_clips, dtype=np.float32)
        systems = []
        for shift in (points / 100 / self.slope, 0.0):
            own = recipe * rng.standard_normal(num_clips, dtype=np.float32) if recipe else 0
            latent = common + own + np.float32(shift)
            values = latent + np.float32(rest) * rng.standard_normal((num_seeds, num_clips), dtype=np.float32)
            noise = rng.standard_normal((num_seeds, 1 if shared else self.num_folds))
            systems.append((values, np.broadcast_to(noise, (num_seeds, self.num_folds))))
        return systems

    def right(self, arm: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], noise_points: float) -> Float64s:
        """Return which clips are right, (S, N) of 0 and 1."""
        values, noise = arm
        shift = (noise * (noise_points / 100 / self.slope)).astype(np.float32)
        return np.asarray((values + shift[:, self.fold] > 0).astype(np.float64))


def _normal_quantile(probability: float) -> float:
    low, high = -10.0, 10.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * math.erfc(-middle / math.sqrt(2)) < probability else (low, middle)
    return low


def p_values(clips: ClipDesign, right_a: Float64s, right_b: Float64s, *, has_others: bool) -> dict[str, float]:
    """Return the p of each figure by the report's method, and by the other methods if wanted."""
    num_seeds = len(right_a)
    figures = estimate_figures(clips, [right_a, -right_b])
    found = {}
    for name in FIGURES:
        p = figures[name].p
        found[f"{name} report"] = 1.0 if p is None else p
    if has_others:
        sampled = estimate_figures(clips, [(right_a.mean(axis=0) - right_b.mean(axis=0))[None]])
        for name in FIGURES:
            clip_variance = (sampled[name].sampling_std or 0.0) ** 2
            training = (figures[name].training_std or 0.0) ** 2
            variances = {
                "clips": clip_variance,
                "bootstrap": clip_variance + training * (num_seeds - 1) / num_seeds,
                "scaled": clip_variance + training,
            }
            for method, variance in variances.items():
                found[f"{name} {method}"] = two_sided_p(figures[name].value / math.sqrt(variance), math.inf)
    return found


def measure(
    dataset: str,
    kind: str,
    num_seeds: int,
    *,
    runs: int,
    points: float = 0.0,
    shared: bool = False,
    unequal: bool = False,
) -> list[dict[str, Any]]:
    """Return a row per training noise: the share of p under LEVEL by figure and method.

    Args:
        dataset: name of an official dataset.
        kind: a key of PARTS.
        num_seeds: trainings of each system, per fold.
        runs: number of simulated comparisons; each is made with every noise.
        points: how much better A is, in points of WAR.
        shared: whether a seed's noise is the same on all folds.
        unequal: whether only A has training noise.
    """
    simulation = Simulation(dataset)
    rng = np.random.default_rng([SEED, len(dataset), len(kind), num_seeds, round(100 * points), shared, unequal])
    rejected = {noise: Counter[str]() for noise in NOISES}
    has_others = kind == "same recipe" and not (points or shared or unequal)
    for _ in range(runs):
        arms = simulation.arms(kind, num_seeds, rng, shared=shared, points=points)
        for noise in NOISES:
            a, b = simulation.right(arms[0], noise), simulation.right(arms[1], 0.0 if unequal else noise)
            for key, p in p_values(simulation.clips, a, b, has_others=has_others).items():
                rejected[noise][key] += p < LEVEL
    facts = {"dataset": dataset, "kind": kind, "seeds": num_seeds, "points": points}
    facts |= {"shared_over_folds": shared, "only_a_noisy": unequal, "runs": runs}
    return [
        facts | {"noise": noise, **{key: counts[key] / runs for key in sorted(counts)}}
        for noise, counts in rejected.items()
    ]


def main() -> None:
    """Print one line per condition."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1200, help="simulated comparisons per condition")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    print("share of p under 5 %, in per cent: WAR / UAR by method; noise: points of WAR of a training on a fold")
    start, rows = time.monotonic(), list[dict[str, Any]]()
    with ProcessPoolExecutor(options.workers) as pool:
        for found in pool.map(partial(_measured, runs=options.runs), conditions()):
            rows += found
            if options.json:
                document = {"level": LEVEL, "runs": options.runs, "rows": rows}
                options.json.write_text(json.dumps(document, indent=2) + "\n")
            print(*map(line_of, found), sep="\n", flush=True)
    print(f"{time.monotonic() - start:.0f} s with {options.workers} processes")


def _measured(arguments: dict[str, Any], *, runs: int) -> list[dict[str, Any]]:
    options = dict(arguments)
    share = options.pop("share", 1)
    return measure(**options, runs=round(share * runs))


def conditions() -> list[dict[str, Any]]:
    """Return the arguments of `measure` for each group of rows; `share` multiplies its runs."""
    datasets = ("afew", "ferv39k", "dfew")
    groups: list[dict[str, Any]] = [
        {"dataset": dataset, "kind": kind, "num_seeds": seeds}
        for dataset in datasets
        for kind in PARTS
        for seeds in (3, 5)
    ]
    groups += [{"dataset": dataset, "kind": "same recipe", "num_seeds": 2} for dataset in datasets]
    for dataset in datasets:
        groups.append({"dataset": dataset, "kind": "same recipe", "num_seeds": 3, "unequal": True})
    groups.append({"dataset": "dfew", "kind": "same recipe", "num_seeds": 3, "shared": True})
    groups += [
        {"dataset": dataset, "kind": "two recipes", "num_seeds": seeds, "points": points, "share": 1 / 3}
        for dataset in datasets
        for seeds in (3, 5)
        for points in ((2.0,) if dataset != "afew" else (6.0,))
    ]
    return groups


def line_of(row: dict[str, Any]) -> str:
    """Return a row as words."""
    words = [f"{row['dataset']:8} {row['kind']} {row['seeds']} seeds noise {row['noise']:g}"]
    words += [f"A better by {row['points']:g}"] if row["points"] else []
    words += ["a seed acts on all folds"] if row["shared_over_folds"] else []
    words += ["only A has noise"] if row["only_a_noisy"] else []
    for method in METHODS:
        if f"war {method}" in row:
            words.append(f"{method} {100 * row[f'war {method}']:.1f}/{100 * row[f'uar {method}']:.1f}")
    return "  ".join(words)


if __name__ == "__main__":
    main()
