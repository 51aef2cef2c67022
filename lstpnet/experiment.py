"""What a run is about: data, fold, which clips train, validate and test, the train prior, the protocol line."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dfer_data.errors import UsageError
from dfer_data.manifest import PreparedDataset, open_dataset
from lstpnet.config import Recipe, Resolved
from lstpnet.metrics import prior_logits

_VAL_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Experiment:
    """One fold, one seed, one recipe on one prepared dataset."""

    data: PreparedDataset
    """The open dataset."""
    resolved: Resolved
    """The recipe and where its values came from."""
    fold: int
    """Number of the official fold."""
    seed: int
    """Start of all randomness."""
    train_ids: tuple[str, ...]
    """Clips with a face that are trained on."""
    val_ids: tuple[str, ...]
    """Clips held out of the train part; empty with `val = none`."""
    test_ids: tuple[str, ...]
    """Every test clip of the fold, those without a face too."""

    @property
    def recipe(self) -> Recipe:
        """The settings."""
        return self.resolved.recipe

    @property
    def prepared(self) -> str:
        """Name of the prepared folder."""
        return self.data.root.resolve().name

    @property
    def faceless_test_ids(self) -> tuple[str, ...]:
        """Test clips without a usable track."""
        return tuple(clip_id for clip_id in self.test_ids if self.data.clip(clip_id)["status"] == "failed")

    def run_folder(self, runs: Path) -> Path:
        """Return where the run is written below `runs`."""
        return runs / self.prepared / self.recipe.name / f"fold-{self.fold}" / f"seed-{self.seed}"

    def prior_logits(self) -> npt.NDArray[np.float32]:
        """Return the logarithm of the classes' shares in the train clips, (num_classes,) float32."""
        counts = Counter(str(self.data.clip(clip_id)["label"]) for clip_id in self.train_ids)
        return prior_logits([counts[name] for name in self.data.class_names])

    def protocol(self) -> str:
        """Say in one line what exactly is measured."""
        config, recipe = self.data.document["config"], self.recipe
        selection = "last epoch of a fixed schedule"
        if self.val_ids:
            selection += f", and best on {len(self.val_ids)} held-out train clips (id blocks)"
        parts = [
            f"data {self.data.document['sha256'][:12]}",
            f"{config['detector']} {config['backbone']} {config['det_size_px']} px".replace("  ", " "),
            f"official fold {self.fold}",
            f"n_train {len(self.train_ids)}",
            f"n_test {len(self.test_ids)} ({len(self.faceless_test_ids)} without a face, given the train prior)",
            f"clips under {recipe.min_frames} frames left out" if recipe.min_frames else "all clips count",
            "sampler segments-8x2",
            "short clips edge",
            f"{recipe.size_px} px",
            f"selection: {selection}",
            f"seed {self.seed}",
        ]
        return "; ".join(parts)


def make_experiment(data: Path, resolved: Resolved, *, fold: int, seed: int) -> Experiment:
    """Open a dataset and split a fold. Raises UsageError: no such fold, no labels, nothing to train or test on."""
    dataset = check_trainable(data)
    splits = dataset.fold(str(fold))
    least = resolved.recipe.min_frames
    counted = [clip_id for clip_id in sorted(splits) if int(dataset.clip(clip_id)["num_frames"]) >= least]
    usable = [i for i in counted if splits[i] == "train" and dataset.clip(i)["status"] != "failed"]
    if not usable:
        raise UsageError(f"{data}: fold {fold} has no train clip with a face")
    test_ids = tuple(clip_id for clip_id in counted if splits[clip_id] == "test")
    if not test_ids:
        raise UsageError(f"{data}: fold {fold} has no test clip of {least} or more frames")
    held_out = _blocks(dataset, usable, seed=seed) if resolved.recipe.val == "blocks" else set()
    return Experiment(
        dataset,
        resolved,
        fold,
        seed,
        tuple(clip_id for clip_id in usable if clip_id not in held_out),
        tuple(sorted(held_out)),
        test_ids,
    )


def check_trainable(data: Path) -> PreparedDataset:
    """Open a dataset and return it; UsageError unless it has labels and folds."""
    dataset = open_dataset(data)
    if not dataset.class_names:
        raise UsageError(f"{data} has no labels: training needs one per clip (label/video.mp4 in a folder)")
    if not dataset.document["counts"]["folds"]:
        raise UsageError(f"{data} has no folds: `dfer train --fold` needs a dataset with official ones, such as dfew")
    return dataset


def _blocks(dataset: PreparedDataset, clip_ids: Sequence[str], *, seed: int) -> set[str]:
    """Choose one run of neighbouring ids in each class, a tenth of it; neighbours come from the same film."""
    by_class: dict[str, list[str]] = defaultdict(list)
    for clip_id in clip_ids:
        by_class[str(dataset.clip(clip_id)["label"])].append(clip_id)
    rng = np.random.default_rng((seed, 7))
    chosen: set[str] = set()
    for label in sorted(by_class):
        members = by_class[label]
        length = min(max(1, round(_VAL_SHARE * len(members))), len(members) - 1)  # one stays to train on
        start = int(rng.integers(0, len(members) - length + 1))
        chosen.update(members[start : start + length])
    return chosen
