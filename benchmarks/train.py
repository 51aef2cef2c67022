"""Compare full training steps: dfer's trainer and the plain loop of papers' code, with and without loader workers.

    python -m benchmarks.train [--work DIR] [--sizes 224 64] [--batches 4 8] [--clips 12 80] [--rounds 5] [--json FILE]

`--work` holds the demo dataset, prepared by RetinaFace; by default it is made in a temporary folder. A round is one
epoch of each contestant, each in its own process. The first round warms up and is not counted (dfer decodes and caches
clips in it, if they fit into its GiB; each line gives its speed). The ratio is relative to the plain loop without
workers, per round: median, minimum and maximum. Memory is that of the process without its workers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.loader import unpack
from benchmarks.peers.contestant import Contestant, prepared
from dfer_cli.main import OPENMP_SETTINGS
from dfer_data.loading.clip_dataset import FaceClipDataset

CONTESTANTS = (("plain", 0), ("plain", 2), ("ours", 0))


def contest(work: Path, *, size_px: int, batch: int, num_clips: int, rounds: int) -> list[dict[str, Any]]:
    """Print one line per contestant and return the rows."""
    module = [sys.executable, "-m", "benchmarks.peers.train_loops"]
    environments = {"ours": OPENMP_SETTINGS}  # as `dfer train` trains
    running = {
        (name, n): Contestant(*module, name, n, work, size_px, batch, num_clips, environment=environments.get(name))
        for name, n in CONTESTANTS
    }
    results: dict[tuple[str, int], list[dict[str, float]]] = {key: [] for key in running}
    for _ in range(rounds + 1):
        for key, contestant in running.items():
            results[key].append(contestant.do("go"))
    for contestant in running.values():
        contestant.end()
    rows = []
    for (name, n), (first, *epochs) in results.items():
        seconds = [epoch["seconds"] for epoch in epochs]
        ratios = [a["seconds"] / b for a, b in zip(results["plain", 0][1:], seconds, strict=True)]
        row = {
            "size_px": size_px,
            "batch": batch,
            "name": name,
            "workers": n,
            "clips_per_second": num_clips / statistics.median(seconds),
            "first_epoch_clips_per_second": num_clips / first["seconds"],
            "waiting_share": statistics.median(epoch["waiting_seconds"] / epoch["seconds"] for epoch in epochs),
            "peak_mib": epochs[-1]["peak_mib"],
            "ratio": statistics.median(ratios),
            "least": min(ratios),
            "greatest": max(ratios),
        }
        rows.append(row)
        print(
            f"{size_px:3} px x {batch}  {name:5} {n} workers {row['clips_per_second']:7.2f} clips/s "
            f"(first epoch {row['first_epoch_clips_per_second']:6.2f})  waiting {row['waiting_share']:5.1%}  "
            f"{row['peak_mib']:5.0f} MiB  {row['ratio']:5.2f}x ({row['least']:.2f} to {row['greatest']:.2f})",
            flush=True,
        )
    return rows


def main() -> None:
    """Run the contest for every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 64])
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--clips", type=int, nargs="+", default=[12, 80])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root = prepared(options.work or work)
        fold_data = FaceClipDataset(root, fold=1)
        data = FaceClipDataset(root, clip_ids=fold_data.clip_ids[: max(options.clips)])
        unpack(data, work)
        for size_px, batch, num_clips in zip(options.sizes, options.batches, options.clips, strict=True):
            rows += contest(work, size_px=size_px, batch=batch, num_clips=num_clips, rounds=options.rounds)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
