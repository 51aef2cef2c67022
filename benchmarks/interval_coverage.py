"""Measure how often the 95 % intervals contain the truth, on simulated DFEW test sets with correlated neighbours.

    python -m benchmarks.interval_coverage [--runs 1000] [--correlation 0.3] [--clips 50] [--json FILE]

The sets have DFEW's class sizes, scaled down to `--clips`: a group of `dfer report --by`. Each class consists of films,
runs of neighbouring clips; all clips of a film are correct with one probability, drawn from a beta distribution around
the class's recall so that two clips of a film have the given correlation. The truth is the recall.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from dfer_data.sources.official_counts import official
from lstpnet.reporting.significance import Booleans, Intervals, bootstrap

RECALLS = (0.93, 0.71, 0.68, 0.77, 0.56, 0.14, 0.43)
"""Approximately those of LSTPNet on DFEW."""


def simulate(
    sizes: tuple[int, ...], *, film_clips: int, correlation: float, rng: np.random.Generator
) -> list[Booleans]:
    """Draw which clips of each class are correct; the clips of a film share one probability."""
    strata = []
    for size, recall in zip(sizes, RECALLS, strict=True):
        num_films = -(-size // film_clips)
        if film_clips == 1 or correlation == 0:
            chances = np.full(num_films, recall)
        else:
            concentration = (1 - correlation) / correlation
            chances = rng.beta(recall * concentration, (1 - recall) * concentration, num_films)
        strata.append(rng.random(size) < np.repeat(chances, film_clips)[:size])
    return strata


def main() -> None:
    """Print one line per film length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--correlation", type=float, default=0.3)
    parser.add_argument("--clips", type=int, default=None, help="clips of a set; default: all of DFEW's fold 3")
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    sizes = official("dfew").num_test["3"]
    if options.clips is not None:
        sizes = tuple(max(1, round(size * options.clips / sum(sizes))) for size in sizes)
    truth = {"war": float(np.dot(sizes, RECALLS) / sum(sizes)), "uar": float(np.mean(RECALLS))}
    rows = []
    print(f"{options.runs} simulated test sets of {sum(sizes)} clips; correlation {options.correlation} inside a film")
    print("clips per film  WAR blocks  WAR clips  UAR blocks  UAR clips   (share of intervals that contain the truth)")
    for film_clips in (1, 3, 5, 10, 20):
        rng = np.random.default_rng(film_clips)
        contained = {(name, kind): 0 for name in truth for kind in ("blocks", "clips")}
        for run in range(options.runs):
            strata = simulate(sizes, film_clips=film_clips, correlation=options.correlation, rng=rng)
            for kind in ("blocks", "clips"):
                intervals: Intervals = bootstrap(strata, range(len(sizes)), blocks=kind == "blocks", seed=run)
                for name, value in truth.items():
                    interval = getattr(intervals, name)
                    contained[name, kind] += interval.low <= value <= interval.high
        shares = {f"{name} {kind}": count / options.runs for (name, kind), count in contained.items()}
        rows.append({"film_clips": film_clips, **shares})
        order = ("war blocks", "war clips", "uar blocks", "uar clips")
        print(f"{film_clips:14}  " + "  ".join(f"{shares[key]:10.3f}" for key in order))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
