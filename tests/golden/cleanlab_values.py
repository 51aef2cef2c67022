"""Write cleanlab.json: the label issues that cleanlab finds in predictions that a seed makes.

In an environment of its own: pip install cleanlab==2.9.0; python tests/golden/cleanlab_values.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

CASES = ((0, 400, 7, 0.2), (1, 300, 3, 0.4), (2, 60, 7, 0.0), (3, 500, 11, 0.3), (4, 200, 4, 0.9))
"""Seed, clips, classes, share of wrong labels."""
VALUES = Path(__file__).with_name("cleanlab.json")


def labels_and_probabilities(
    seed: int, num_clips: int, num_classes: int, noise: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return (N,) labels, a share of them drawn anew, and (N, C) probabilities that lean to the true class."""
    rng = np.random.default_rng((seed, 31))
    truth = rng.integers(0, num_classes, num_clips)
    logits = rng.normal(0, 1, (num_clips, num_classes)) + 2 * (truth[:, None] == np.arange(num_classes))
    logits += rng.normal(0, 0.5, num_classes)  # a model that favours some classes
    labels = np.where(rng.random(num_clips) < noise, rng.integers(0, num_classes, num_clips), truth)
    labels[:num_classes] = np.arange(num_classes)  # cleanlab wants every class
    values = np.exp(logits)
    return labels.astype(np.int64), values / values.sum(axis=1, keepdims=True)


def main() -> None:
    """Write what cleanlab finds."""
    import cleanlab  # type: ignore[import-not-found]
    from cleanlab.filter import find_label_issues  # type: ignore[import-not-found]

    found = []
    for case in CASES:
        labels, probabilities = labels_and_probabilities(*case)
        ranked = find_label_issues(
            labels, probabilities, filter_by="confident_learning", return_indices_ranked_by="self_confidence"
        )
        found.append([int(number) for number in ranked])
    VALUES.write_text(json.dumps({"cleanlab": cleanlab.__version__, "ranked": found}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
