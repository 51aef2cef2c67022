"""Measure how often the 95 % intervals contain the truth, on simulated test sets of DFEW's class sizes.

    python -m benchmarks.interval_coverage [--runs 1000] [--correlation 0.3] [--clips 101] [--json FILE]
    python -m benchmarks.interval_coverage --people 4 [--runs 600]

Each set has DFEW's class sizes (fold 3), or those scaled down to `--clips`: a group of `dfer report --by`. It consists
of films, runs of neighbouring ids, of two structures: all clips of a film are of one class, or a film's clips are of
any class. A clip is correct where a normal variable is below the quantile of its class's recall; two clips of a film
have variables of the given correlation, which is that of what is latent. The truth is the recall.

Three intervals are measured. `in class`: blocks of neighbours within each class, with class sizes held fixed. `all
classes`: blocks of neighbouring ids over all classes, the units of `uncertainty.dependence` for ordered ids. `clips`:
its units for ids without an order. The share of intervals has a standard error of 0.7 points at 1,000 runs.

`--people`: folds of so many people, 60 clips each, who differ by a normal variable of deviation 0.5 where a clip's own
has 1; the interval of WAR resamples people.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from dfer_data.sources.official_counts import IdOrder, official
from lstpnet.reporting.uncertainty.dependence import resampling_units
from lstpnet.reporting.uncertainty.significance import (
    NUM_RESAMPLES,
    Booleans,
    Interval,
    Intervals,
    ScoredFold,
    bootstrap,
)

RECALLS = (0.93, 0.71, 0.68, 0.77, 0.56, 0.14, 0.43)
"""Approximately those of LSTPNet on DFEW."""
WITHIN, SPANNING = "films within a class", "films that span classes"
METHODS = ("in class", "all classes", "clips")
FILM_CLIPS = (1, 3, 5, 10, 20)
_Numbers = npt.NDArray[np.int64]


def simulate(
    sizes: tuple[int, ...], structure: str, *, film_clips: int, correlation: float, rng: np.random.Generator
) -> tuple[_Numbers, Booleans]:
    """Draw the labels of clips in the order of ids, (N,) int64, and which of them are correct, (N,) bool."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    if structure == SPANNING:
        labels = rng.permutation(labels)
        films = np.arange(len(labels)) // film_clips
    else:
        films = np.concatenate(
            [label * len(labels) + np.arange(size) // film_clips for label, size in enumerate(sizes)]
        )
        names, films = np.unique(films, return_inverse=True)
        order = np.argsort(rng.permutation(len(names))[films], kind="stable")  # films in random order, each whole
        labels, films = labels[order], films[order]
    shared = rng.standard_normal(films.max() + 1)[films] * math.sqrt(correlation if film_clips > 1 else 0.0)
    own = rng.standard_normal(len(labels)) * math.sqrt(1 - correlation if film_clips > 1 else 1.0)
    quantiles = np.array([NormalDist().inv_cdf(recall) for recall in RECALLS])
    return labels, shared + own < quantiles[labels]


def in_class_blocks(labels: _Numbers, is_right: Booleans, *, rng: np.random.Generator) -> Intervals:
    """Return intervals from blocks of about the square root of a class's clips, which wrap around its end."""
    sizes, recalls = np.bincount(labels), []
    for label, size in enumerate(sizes):
        of_class = is_right[labels == label]
        length = max(1, round(math.sqrt(size)))
        num_whole_blocks, partial_length = divmod(int(size), length)
        cumulative = np.concatenate([[0.0], np.cumsum(np.concatenate([of_class, of_class]))])
        total = np.zeros(NUM_RESAMPLES)
        for count, span in ((num_whole_blocks, length), (1 if partial_length else 0, partial_length)):
            starts = rng.integers(0, size, (NUM_RESAMPLES, count))
            total += (cumulative[starts + span] - cumulative[starts]).sum(axis=1)
        recalls.append(total / size)
    figures = sizes @ np.array(recalls) / sizes.sum(), np.mean(recalls, axis=0)
    return Intervals(*(Interval(*map(float, np.percentile(figure, [2.5, 97.5]))) for figure in figures))


def intervals_of(labels: _Numbers, is_right: Booleans, *, seed: int) -> dict[str, Intervals]:
    """Return the intervals of one test set by method."""
    clip_ids = [f"{number:05d}" for number in range(len(labels))]
    folds = {
        name: ScoredFold(labels, is_right, resampling_units(order, clip_ids))
        for name, order in (("all classes", IdOrder("ordered")), ("clips", IdOrder("none seen")))
    }
    found = {name: bootstrap([fold], seed=seed) for name, fold in folds.items()}
    known = {name: intervals for name, intervals in found.items() if intervals is not None}
    return {"in class": in_class_blocks(labels, is_right, rng=np.random.default_rng(seed)), **known}


def coverage(
    sizes: tuple[int, ...], structure: str, *, film_clips: int, correlation: float, runs: int
) -> dict[str, float | None]:
    """Return figure and method, such as `war clips` -> share of the intervals that contain the truth; None for none."""
    truth = {"war": float(np.dot(sizes, RECALLS) / sum(sizes)), "uar": float(np.mean(RECALLS))}
    contained = {f"{figure} {method}": list[bool]() for figure in truth for method in METHODS}
    for run in range(runs):
        rng = np.random.default_rng((run, film_clips, structure == SPANNING))
        labels, is_right = simulate(sizes, structure, film_clips=film_clips, correlation=correlation, rng=rng)
        for method, intervals in intervals_of(labels, is_right, seed=run).items():
            for figure, value in truth.items():
                if interval := getattr(intervals, figure):
                    contained[f"{figure} {method}"].append(interval.low <= value <= interval.high)
    return {name: float(np.mean(held)) if held else None for name, held in contained.items()}


def people_coverage(num_people: int, war: float, *, runs: int) -> float:
    """Return the share of the intervals of WAR, resampled by people, that contain the truth `war`."""
    people, contained = np.repeat(np.arange(num_people), 60), []
    limit = NormalDist().inv_cdf(war) * math.sqrt(1 + 0.5**2)
    for run in range(runs):
        rng = np.random.default_rng(run)
        skill = rng.normal(0, 0.5, num_people)[people]
        is_right = rng.standard_normal(len(people)) + skill < limit
        found = bootstrap([ScoredFold(np.zeros(len(people), np.int64), is_right, people)], seed=run)
        if found is not None and found.war is not None:
            contained.append(found.war.low <= war <= found.war.high)
    return float(np.mean(contained))


def main() -> None:
    """Print one Markdown line per structure and film length."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--correlation", type=float, default=0.3)
    parser.add_argument("--clips", type=int, default=None, help="clips of a set; default: all of DFEW's fold 3")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--people", type=int, default=None)
    options = parser.parse_args()
    if options.people:
        for war in (0.6, 0.9):
            contained = people_coverage(options.people, war, runs=options.runs)
            print(f"{options.people} people, WAR {war}: {100 * contained:.1f} %")
        return
    sizes = official("dfew").num_test["3"]
    if options.clips is not None:
        sizes = tuple(max(1, round(size * options.clips / sum(sizes))) for size in sizes)
    print(f"{options.runs} test sets of {sum(sizes)} clips, latent correlation {options.correlation} in a film\n")
    columns = [f"{figure} {method}" for figure in ("war", "uar") for method in METHODS]
    print("| structure | clips a film | " + " | ".join(columns) + " |\n" + "|---" * (2 + len(columns)) + "|")
    rows = []
    for structure in (WITHIN, SPANNING):
        for film_clips in FILM_CLIPS:
            shares = coverage(
                sizes, structure, film_clips=film_clips, correlation=options.correlation, runs=options.runs
            )
            rows.append({"structure": structure, "film_clips": film_clips, **shares})
            cells = " | ".join("-" if (share := shares[name]) is None else f"{100 * share:.1f} %" for name in columns)
            print(f"| {structure} | {film_clips} | {cells} |", flush=True)
    if options.json:
        facts = {"clips": sum(sizes), "runs": options.runs, "correlation": options.correlation, "rows": rows}
        options.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
