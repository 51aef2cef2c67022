"""Measure the time that `dfer prepare` needs per hour of video on one and two cores, and its stages.

    python -m benchmarks.scaling [--rounds 3] [--copies 12] [--json FILE]

Real faces at 640 x 360, 25 frames per second (as benchmarks/prepare.py writes them), so an hour is 90,000 frames. A
round prepares all videos with one worker on one core, then with two on two. *Cost* is wall seconds per hour of video
from the start of the first video to the finished dataset, *efficiency* the time on one core over twice that on two. The
stages are those of benchmarks/prepare.py, in CPU milliseconds per frame; with `--fast` the detector's count a fifth.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.prepare import ours, stages, write_clips

_FRAMES_PER_HOUR = 25 * 3600
_SETTINGS: dict[str, dict[str, Any]] = {"every frame": {}, "--fast": {"detect_every": 5}}


@contextmanager
def cores(number: int) -> Iterator[None]:
    """Limit this process and its children to `number` cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:number])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def measure(videos: Path, out: Path, *, rounds: int, **settings: Any) -> dict[str, Any]:
    """Return costs per hour of video, efficiency, start-up seconds and a worker's memory."""
    runs: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    for _ in range(rounds):
        for number, core_runs in runs.items():
            with cores(number):
                core_runs.append(ours(videos, out, num_workers=number, **settings))
    costs = {
        number: [_FRAMES_PER_HOUR * run["seconds"] / run["frames"] for run in core_runs]
        for number, core_runs in runs.items()
    }
    efficiency = [one / (2 * two) for one, two in zip(costs[1], costs[2], strict=True)]
    return {
        "cost_seconds": {number: spread(values) for number, values in costs.items()},
        "efficiency": spread(efficiency),
        "start_seconds": {
            number: spread([run["start_seconds"] for run in core_runs]) for number, core_runs in runs.items()
        },
        "worker_mib": max(run["peak_mib"] for core_runs in runs.values() for run in core_runs),
    }


def spread(values: list[float]) -> list[float]:
    """Return median, minimum and maximum."""
    return [statistics.median(values), min(values), max(values)]


def main() -> None:
    """Print costs, efficiency and stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        num_frames = write_clips(work / "videos", copies=arguments.copies) * arguments.copies
        write_clips(work / "few", copies=1)
        num_bytes = sum(path.stat().st_size for path in (work / "videos").iterdir())
        megabits = 8 * num_bytes / 1e6 / (num_frames / 25)
        print(f"{num_frames} frames, {num_frames / 25:.0f} s of video at {megabits:.2f} Mbit/s")
        results = {
            name: measure(work / "videos", work / "out", rounds=arguments.rounds, **settings)
            for name, settings in _SETTINGS.items()
        }
        with cores(1):
            milliseconds = stages(work)
    for name, result in results.items():
        print(f"{name}:")
        for number, (median, low, high) in result["cost_seconds"].items():
            start = result["start_seconds"][number][0]
            print(f"  {number} core(s): {median:.0f} s ({low:.0f} to {high:.0f}) per hour; start {start:.1f} s")
        median, low, high = result["efficiency"]
        print(f"  efficiency of the second core {median:.2f} ({low:.2f} to {high:.2f})")
    print("CPU ms per frame: " + "  ".join(f"{name} {value:.2f}" for name, value in milliseconds.items()))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"settings": results, "stages": milliseconds}, indent=1))


if __name__ == "__main__":
    main()
