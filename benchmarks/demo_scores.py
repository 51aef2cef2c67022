"""Measure the demo recipe's scores: `last` on a fold for some seeds, the pair that differs only in time, its control.

    python -m benchmarks.demo_scores [--work DIR] [--seeds 0 1 2] [--fold 3] [--json FILE]

`--work` holds the demo dataset (`dfer synth dfew`), and missing parts are added; by default it is a temporary folder.
Surprise and fear share every frame and differ only in their order; `pair` is their accuracy among these two classes,
`within` among all seven. `outside` is the accuracy on the clips of the other five classes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lstpnet.predictions import Predictions
from lstpnet.predictions_table import read_predictions
from lstpnet.runs import read_run

PAIR = ("surprise", "fear")


def dfer(line: str, work: Path) -> None:
    """Run one `dfer` command line, as a user would."""
    subprocess.run([str(Path(sys.executable).with_name("dfer")), *line.split()], cwd=work, check=True)


def pair_accuracy(predictions: Predictions, class_names: tuple[str, ...]) -> float:
    """Return the accuracy on the pair's clips among these two classes, 0..1."""
    columns = [class_names.index(name) for name in PAIR]
    rows = [number for number, label in enumerate(predictions.labels) if label in PAIR]
    labels = [PAIR.index(predictions.labels[number]) for number in rows]
    return float((predictions.logits[np.ix_(rows, columns)].argmax(axis=1) == labels).mean())


def prepare_demo(work: Path) -> None:
    """Make what `work` lacks of the demo dataset and its face clips."""
    if not (work / "data/dfew").is_dir():
        dfer("synth dfew", work)
    dfer("prepare dfew --detector retinaface", work)


def main() -> None:
    """Train and print one line per seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fold", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        prepare_demo(work)
        rows = []
        for seed in options.seeds:
            dfer(f"train --fold {options.fold} --seed {seed} --data prepared/dfew-retinaface", work)
            folder = work / f"runs/dfew-retinaface/demo/fold-{options.fold}/seed-{seed}"
            info = read_run(folder)
            by_control = {part.control: part for part in read_predictions(folder, info) if part.checkpoint == "last"}
            plain = by_control[""]
            is_correct = np.array(plain.logits).argmax(axis=1) == [info.class_names.index(n) for n in plain.labels]
            is_pair = np.isin(plain.labels, PAIR)
            metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            rows.append(
                {
                    "seed": seed,
                    "war": float(is_correct.mean()),
                    "outside": float(is_correct[~is_pair].mean()),
                    "within": float(is_correct[is_pair].mean()),
                    "seconds": sum(epoch["seconds"] for epoch in metrics),
                    "pair": pair_accuracy(plain, info.class_names),
                    "pair_repeated_frame": pair_accuracy(by_control["repeated-frame"], info.class_names),
                }
            )
    names = ("war", "outside", "within", "pair", "pair_repeated_frame", "seconds")
    means = {name: float(np.mean([row[name] for row in rows])) for name in names}
    print("seed  " + "  ".join(f"{name:>{max(7, len(name))}}" for name in names))
    for row in (*rows, {"seed": "mean", **means}):
        print(f"{row['seed']:>4}  " + "  ".join(f"{row[name]:{max(7, len(name))}.3f}" for name in names))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "mean": means}, indent=2) + "\n")


if __name__ == "__main__":
    main()
