"""Measure how many neighbouring ids a holdout of a tenth tears apart, and how near its class shares are to train's.

    python -m benchmarks.torn_neighbours [--seeds 20]

The labels are simulated: class sizes of DFEW's and MAFW's train part of fold 1, in random order (as DFEW's public lists
are) or repeated from one id to the next so often that neighbours share a label as in MAFW's lists. `each class`: a run
of neighbours within each class, as dfer 0.1 cut; `one run`: `--val blocks`; `random`: `--val random`.
"""

from __future__ import annotations

import argparse

import numpy as np

from dfer_data.loading.holdout import held_out_run, torn_share
from dfer_data.sources.official_counts import official

SHARE = 0.1


def labels_of(sizes: list[int], *, same: float | None, rng: np.random.Generator) -> list[str]:
    """Return labels in the order of ids; `same`: share of neighbours with one label, None: random order."""
    counts = np.array(sizes)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    if same is None:
        return list(map(str, labels))
    chance = float((counts / counts.sum()) @ (counts / counts.sum()))
    repeats = rng.random(len(labels)) < (same - chance) / (1 - chance)
    for number in range(1, len(labels)):
        if repeats[number]:
            labels[number] = labels[number - 1]
    return list(map(str, labels))


def holdouts(labels: dict[str, str], *, rng: np.random.Generator) -> dict[str, list[str]]:
    """Return the held-out clips by kind of holdout."""
    ids_by_class = {name: [clip_id for clip_id in labels if labels[clip_id] == name] for name in set(labels.values())}
    runs, drawn = [], []
    for ids in ids_by_class.values():
        length = round(SHARE * len(ids))
        start = int(rng.integers(0, len(ids) - length + 1))
        runs += ids[start : start + length]
        drawn += rng.choice(ids, length, replace=False).tolist()
    return {"each class": runs, "random": drawn, "one run": held_out_run(labels, share=SHARE, rng=rng)}


def main() -> None:
    """Print one Markdown line per dataset and kind of holdout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    mafw = official("mafw")
    train = [round(count * mafw.num_train["1"] / sum(mafw.num_clips.values())) for count in mafw.num_clips.values()]
    cases = {
        "DFEW, random order": (list(official("dfew").num_train_by_class["1"]), None),
        "MAFW, labels repeated": (train, mafw.order.evidence["same_label"]["observed"]),
    }
    print("| labels | holdout | neighbouring ids torn apart | largest difference of a class share |\n|---|---|---|---|")
    for name, (sizes, same) in cases.items():
        torn: dict[str, list[float]] = {}
        differences: dict[str, list[float]] = {}
        for seed in range(options.seeds):
            rng = np.random.default_rng(seed)
            labels = {f"{number:05d}": label for number, label in enumerate(labels_of(sizes, same=same, rng=rng))}
            for kind, held_out in holdouts(labels, rng=rng).items():
                torn.setdefault(kind, []).append(torn_share([*(labels.keys() - set(held_out))], held_out))
                differences.setdefault(kind, []).append(_difference(labels, held_out))
        for kind, values in torn.items():
            cells = f"{100 * np.mean(values):.2g} %", f"{100 * np.mean(differences[kind]):.2f} points"
            print(f"| {name} | {kind} | {cells[0]} | {cells[1]} |")


def _difference(labels: dict[str, str], held_out: list[str]) -> float:
    """Return the largest difference between a class's share of the holdout and its share of all clips."""
    held = [labels[clip_id] for clip_id in held_out]
    whole = list(labels.values())
    return max(abs(held.count(name) / len(held) - whole.count(name) / len(whole)) for name in set(whole))


if __name__ == "__main__":
    main()
