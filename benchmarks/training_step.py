"""Compare the training step of this source tree with that of another one, such as an earlier commit's.

    git worktree add ../base COMMIT
    python -m benchmarks.training_step --base ../base [--work DIR] [--sizes 64 224] [--batches 8 4] [--clips 80 12]
                                       [--precisions f32 auto] [--change compile=true] [--threads N] [--rounds 5]
                                       [--json FILE]

Both trees run dfer's trainer with LSTPNet at full width, each in its own process, epoch by epoch in turn; the first
round warms up. A step is timed from the end of one to the end of the next, without saves. The ratio is base / this tree
per round: median, minimum and maximum. CPU time (all threads) depends less on other programs than wall time, least with
`--threads 1`. Each tree has the environment that its `dfer` sets for torch. Without `--base` there is nothing to
compare. `--change` is a setting of this tree's trainings alone: with `--base .` it is what is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.loader import unpack
from benchmarks.peers.contestant import Contestant, prepared
from dfer_data.loading.clip_dataset import FaceClipDataset

TREE = Path(__file__).resolve().parents[1]
_FIGURES = ("step_seconds", "step_cpu_seconds")


def environment_of(tree: Path) -> dict[str, str]:
    """Return the environment in which a source tree trains: its modules, and what its `dfer` sets for torch."""
    code = "import json, cli.main; print(json.dumps(getattr(cli.main, 'OPENMP_SETTINGS', {})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, check=True)
    return {**json.loads(done.stdout), "PYTHONPATH": str(tree.resolve())}


def contest(
    trees: dict[str, Path], work: Path, *, num_threads: int, rounds: int, words: list[object], changes: list[str]
) -> dict[str, list[dict[str, Any]]]:
    """Run an epoch of each tree in turn, `this` with `changes`; return the figures of each by round."""
    script = TREE / "benchmarks/peers/train_loops.py"
    running = {
        name: Contestant(
            *(sys.executable, script, "ours", 0, work, *words, *(changes if name == "this" else ())),
            environment={**environment_of(tree), "OMP_NUM_THREADS": str(num_threads)},
        )
        for name, tree in trees.items()
    }
    epochs: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for number in range(rounds + 1):
        order = list(running.items())
        for name, contestant in order if number % 2 else reversed(order):
            figures = contestant.do("go")
            if number:
                epochs[name].append(figures)
    for contestant in running.values():
        contestant.end()
    return epochs


def row_of(epochs: dict[str, list[dict[str, Any]]], facts: dict[str, Any]) -> dict[str, Any]:
    """Return and print medians of both trees, and the ratio base / this tree."""
    row = dict(facts)
    for figure in _FIGURES:
        ratios = [base[figure] / own[figure] for base, own in zip(epochs["base"], epochs["this"], strict=True)]
        row[figure] = {name: statistics.median(epoch[figure] for epoch in epochs[name]) for name in epochs}
        row[figure] |= {"ratio": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)}
    print(json.dumps(row), flush=True)
    return row


def commit_of(tree: Path) -> str:
    """Return the commit of a checkout."""
    command = ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    """Compare the trees at every size and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=None)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 224])
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 4])
    parser.add_argument("--clips", type=int, nargs="+", default=[80, 12])
    parser.add_argument("--precisions", nargs="+", default=["f32", "auto"])
    parser.add_argument("--change", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    if options.base is None:
        print("skipped: nothing to compare with; name another checkout by --base")
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        root = prepared(options.work or work)
        clip_ids = FaceClipDataset(root, fold=1).clip_ids[: max(options.clips)]
        unpack(FaceClipDataset(root, clip_ids=clip_ids), work)
        trees = {"base": options.base, "this": TREE}
        for size_px, batch, num_clips in zip(options.sizes, options.batches, options.clips, strict=True):
            for precision in options.precisions:
                words: list[object] = [size_px, batch, num_clips, f"precision={precision}"]
                times: dict[str, Any] = {"num_threads": options.threads, "rounds": options.rounds}
                epochs = contest(trees, work, **times, words=words, changes=options.change)
                rows.append(row_of(epochs, {"size_px": size_px, "batch": batch, "precision": precision}))
    if options.json:
        facts = {"base": commit_of(options.base), "torch": torch.__version__, "threads": options.threads}
        facts |= {"cores": os.cpu_count(), "rounds": options.rounds, "change": options.change, "rows": rows}
        options.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
