"""Define a run's experiment: data, fold, clips of train, validation and test, the train prior, the protocol line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from dfer_data.config import PrepareConfig
from dfer_data.errors import UsageError
from dfer_data.frame_sampling import sampler
from dfer_data.loading.holdout import HOLD_OUT, HOLD_OUT_WORDS, audit_of_holdout, torn_share
from dfer_data.loading.prepared import PreparedDataset, open_dataset
from dfer_data.shards.duplicates import find_duplicates
from dfer_data.shards.identity import OFFICIAL_SET, DatasetIdentity
from dfer_data.shards.layout import CLIPS_NAME
from dfer_data.shards.rebuilt_file import rebuilt_words
from dfer_data.sources.make_folds import folds_command
from lstpnet.batches.recipe_clips import sampler_words, size_words
from lstpnet.batches.view_crops import view_words
from lstpnet.dataset_identity import chosen_fold_set, data_words, fold_folder, fold_words
from lstpnet.metrics import prior_logits
from lstpnet.protocol import deviations, preset, untrained
from lstpnet.recipe import Recipe
from lstpnet.recipe_files import ResolvedRecipe

_NUM_SEEDS = 2**64
"""As torch takes them."""
_DEFAULTS: Mapping[str, str] = MappingProxyType(
    {
        "precision": "f32",
        "subject": "balanced",
        "align": "template",
        "align_points": "all",
        "align_scale": "frame",
    }
)


@dataclass(frozen=True, eq=False)
class Experiment:
    """One fold, one seed, one recipe on one prepared dataset."""

    data: PreparedDataset
    resolved: ResolvedRecipe
    """The recipe and the origin of its values."""
    fold: int
    """Number of the fold."""
    seed: int
    """Seed of all randomness."""
    train_ids: tuple[str, ...]
    """Clips with a face, used for training."""
    val_ids: tuple[str, ...]
    """Clips held out of train; empty with `val = none`."""
    test_ids: tuple[str, ...]
    """Every test clip of the fold, including those without a face."""
    left_out_test_ids: tuple[str, ...] = ()
    """Test clips with fewer frames than the recipe's minimum; they are left out."""
    fold_set: str = OFFICIAL_SET
    """Name of the set of folds that the fold is of."""

    @property
    def identity(self) -> DatasetIdentity:
        """Hashes of the clips, labels and folds."""
        return self.data.identity(self.fold_set)

    @property
    def recipe(self) -> Recipe:
        """The settings."""
        return self.resolved.recipe

    @property
    def prepared(self) -> str:
        """Name of the prepared folder."""
        return self.data.root.resolve().name

    @cached_property
    def audit_of_val(self) -> str:
        """The sha256 of the audit's groups by which clips are held out; empty if none is used."""
        return audit_of_holdout(self.data, self.train_ids + self.val_ids, val=self.recipe.val)

    @property
    def faceless_test_ids(self) -> tuple[str, ...]:
        """Test clips without a usable track."""
        return self._failed(self.test_ids)

    def _failed(self, clip_ids: Sequence[str]) -> tuple[str, ...]:
        rows = self.data.index(clip_ids)
        return tuple(rows.filter(pc.equal(rows["status"], "failed"))["clip_id"].to_pylist())

    @property
    def seen_test_ids(self) -> tuple[str, ...]:
        """Test clips with a usable track."""
        faceless = set(self.faceless_test_ids)
        return tuple(clip_id for clip_id in self.test_ids if clip_id not in faceless)

    @property
    def untrained_classes(self) -> Mapping[str, int]:
        """Classes that the model cannot learn, since train has no clip of them -> number of their test clips."""
        train, test = (Counter(self.data.index(ids)["label"].to_pylist()) for ids in (self.train_ids, self.test_ids))
        return {name: test[name] for name in self.data.class_names if test[name] and not train[name]}

    def run_folder(self, runs: Path) -> Path:
        """Return the run's folder below `runs`."""
        numbers = {"fold": self.fold, "seed": self.seed}
        return run_folder(runs, self.data, self.recipe.label, fold_set=self.fold_set, **numbers)

    def prior_logits(self) -> npt.NDArray[np.float32]:
        """Return the logarithms of the class shares in the train clips, (num_classes,) float32."""
        counts = Counter(self.data.index(self.train_ids)["label"].to_pylist())
        return prior_logits([counts[name] for name in self.data.class_names])

    def soft_targets(self, clip_ids: Sequence[str], *, are_counts: bool = False) -> dict[str, npt.NDArray[np.float32]]:
        """Return clip id -> share of the votes per class, or `are_counts` their number, (num_classes,) float32.

        With targets = labels: 1 for each label of the clip.

        A clip without votes gets one vote, for its label.
        """
        if self.recipe.targets == "labels":
            return dict(zip(clip_ids, self.data.labels(clip_ids).astype(np.float32), strict=True))
        votes = self.data.votes(clip_ids).astype(np.float64)
        labels = self.data.index(clip_ids)["label"].to_pylist()
        one_hot_labels = np.eye(len(self.data.class_names))[[self.data.class_names.index(label) for label in labels]]
        counts = np.where(votes.sum(axis=1, keepdims=True) > 0, votes, one_hot_labels)
        targets = counts if are_counts else counts / counts.sum(axis=1, keepdims=True)
        return dict(zip(clip_ids, targets.astype(np.float32), strict=True))

    def protocol(self) -> str:
        """Return one line that states exactly what is measured."""
        document, recipe = self.data.document, self.recipe
        policy = sampler(recipe.sampler, clip_frames=recipe.num_frames)
        parts = [
            f"data {data_words(self.identity)}",
            _how_prepared(PrepareConfig.from_dict(document["config"])),
            *([] if self.data.rebuilt is None else [rebuilt_words(self.data.rebuilt, document)]),
            *self._fold_words(),
            f"n_train {len(self.train_ids)}",
            f"n_test {len(self.test_ids)} ({len(self.faceless_test_ids)} without a face, given the train prior)",
            *self._untrained(),
            self._left_out(),
            *self._duplicates(),
            f"sampler {sampler_words(recipe)}{view_words(recipe)}"
            + (" (test frames drawn)" if policy.is_test_random else ""),
            f"short clips {recipe.short}",
            *self._one_length(),
            size_words(recipe, PrepareConfig.from_dict(document["config"])),
            f"selection: {self._selection()}",
            f"seed {self.seed}",
        ]
        subject = "the default protocol"
        if recipe.protocol != "default":
            subject = "it"
            followed = preset(recipe.protocol, dataset=document["dataset"])
            parts.append(f"protocol {followed.name} ({followed.source}; its authors show the {followed.averaging})")
            parts.append(f"of that code: {followed.scope}")
        if differing := deviations(recipe.protocol, asdict(recipe), dataset=document["dataset"]):
            parts.append(f"differs from {subject} in {', '.join(differing)}")
        return "; ".join(parts)

    def _fold_words(self) -> list[str]:
        """Return the parts that name the fold; those of one set share the part with its rule."""
        document = self.data.document
        if self.fold_set != OFFICIAL_SET:
            words = " ".join(str(document["fold_sets"][self.fold_set]["rule"]).replace(";", ",").split())
            return [f"folds {self.fold_set}: {words}", fold_words(self.fold, self.fold_set)]
        rule = document.get("fold_rule")
        return [f"official fold {self.fold}" if rule is None else f"fold {self.fold} ({rule})"]

    def _untrained(self) -> list[str]:
        return [untrained(self.untrained_classes)] if self.untrained_classes else []

    def _one_length(self) -> list[str]:
        """Say that no sampler chooses, if all clips with faces have the T frames that a model reads."""
        if self.recipe.sample_by == "time":
            return []
        lengths = set(self.data.index(self.train_ids + self.val_ids + self.test_ids)["num_frames"].to_pylist()) - {0}
        num_frames = self.recipe.num_frames
        return [f"every clip has exactly {num_frames} frames"] if lengths == {num_frames} else []

    def _left_out(self) -> str:
        least_frames = self.recipe.least_frames
        if not least_frames:
            return "all clips count"
        return (
            f"clips under {least_frames} frames left out ({len(self.left_out_test_ids)} of test, "
            f"{len(self._failed(self.left_out_test_ids))} of them without a face)"
        )

    def _duplicates(self) -> list[str]:
        """Return how many clips the protocol counts twice: one file in train and test, or under two labels."""
        splits = dict.fromkeys(self.train_ids + self.val_ids, "train") | dict.fromkeys(self.test_ids, "test")
        duplicates = find_duplicates(self.data.root / CLIPS_NAME, {"this": splits}, open_shard=self.data.shard)
        num_test, num_labels = len(duplicates.in_train_and_test.get("this", ())), len(duplicates.under_two_labels)
        words = [f"{num_test} test clips have the bytes of a train clip"] if num_test else []
        return words + ([f"{num_labels} videos are also under another label"] if num_labels else [])

    def _selection(self) -> str:
        recipe = self.recipe
        words = "last epoch of a fixed schedule"
        if self.val_ids:
            torn = f"{100 * torn_share(self.train_ids, self.val_ids):.2g} % of neighbouring ids torn apart"
            kind = HOLD_OUT_WORDS[recipe.val] + (f" of the audit {audit[:12]}" if (audit := self.audit_of_val) else "")
            clips = f"{len(self.val_ids)} held-out train clips ({kind}, {torn})"
            words += f", and best {recipe.select_by} on {clips}"
        if recipe.refit:
            words += ", and refit on all of train for that many epochs"
        if recipe.select == "test-best":
            words += f", and test-best: the epoch with the best {recipe.select_by} ON THE TEST CLIPS, not comparable"
        return words


def run_folder(runs: Path, data: PreparedDataset, label: str, *, fold: int, fold_set: str, seed: int) -> Path:
    """Return a run's folder below `runs`: `fold-3/seed-0`, or `NAME-fold-3/seed-0` for another set of folds.

    `label`: of its recipe.
    """
    return runs / data.root.resolve().name / label / fold_folder(fold, fold_set) / f"seed-{seed}"


def _how_prepared(config: PrepareConfig) -> str:
    """Describe how faces were detected and cropped; default values are left out."""
    if config.align == "given":
        return "shipped crops as they are"
    words = [f"{config.detector} {config.backbone} {config.det_size_px} px".replace("  ", " ")]
    words += [f"keyframes {config.detect_every} apart"] if config.detect_every > 1 else []
    changed = {key: value for key, default in _DEFAULTS.items() if (value := getattr(config, key)) != default}
    words += [f"{key.replace('_', ' ')} {value}" for key, value in changed.items()]
    words += ["every track a clip"] if config.all_tracks else []
    return ", ".join(words + (["undetected frames dropped"] if config.undetected == "drop" else []))


def make_experiment(
    data: Path, resolved: ResolvedRecipe, *, fold: int, seed: int, fold_set: str | None = None
) -> Experiment:
    """Open a dataset and split a fold of a set; None: the official folds, else the dataset's only own set.

    Raises UsageError: a seed beyond 64 bits, no such fold or set, no labels, no clip to train or test on.
    """
    if not 0 <= seed < _NUM_SEEDS:
        raise UsageError(f"seed {seed}: must be a whole number from 0 to {_NUM_SEEDS - 1}")
    dataset = check_trainable(data)
    chosen_set = chosen_fold_set(dataset, fold_set)
    splits = dataset.fold(str(fold), fold_set=chosen_set)
    least_frames = resolved.recipe.least_frames
    index = dataset.index(sorted(splits))
    long_enough = index.filter(pc.greater_equal(index["num_frames"], least_frames))
    face_ids = long_enough.filter(pc.not_equal(long_enough["status"], "failed"))["clip_id"].to_pylist()
    trainable_ids = [clip_id for clip_id in face_ids if splits[clip_id] == "train"]
    if not trainable_ids:
        raise UsageError(f"{data}: fold {fold} has no train clip with a face")
    test_ids = tuple(clip_id for clip_id in long_enough["clip_id"].to_pylist() if splits[clip_id] == "test")
    test_id_set = set(test_ids)
    if not test_ids:
        length = f" of {least_frames} or more frames" if least_frames else ""
        raise UsageError(
            f"{data}: fold {fold} has no test clip{length}; name the other folds with --fold, or cut them anew with "
            "`dfer folds --anew`"
        )
    recipe = resolved.recipe
    if recipe.targets == "votes" and not dataset.votes(trainable_ids).any():
        raise UsageError(f"{data} has no annotator votes: targets = 'votes' needs them (DFEW's annotation.xlsx)")
    if recipe.targets == "labels" and not dataset.has_labels:
        raise UsageError(f"{data} has one label per clip: targets = 'labels' needs several (mafw-multi)")
    held_out_ids = HOLD_OUT[recipe.val](dataset, trainable_ids, share=recipe.val_share, seed=seed)
    return Experiment(
        dataset,
        resolved,
        fold,
        seed,
        tuple(clip_id for clip_id in trainable_ids if clip_id not in held_out_ids),
        tuple(sorted(held_out_ids)),
        test_ids,
        tuple(sorted(clip_id for clip_id, split in splits.items() if split == "test" and clip_id not in test_id_set)),
        chosen_set,
    )


def tested_folds(dataset: PreparedDataset, resolved: ResolvedRecipe, *, fold_set: str) -> tuple[str, ...]:
    """Return the folds of a set that have a test clip, long enough for the recipe; the others can score nothing."""
    index = dataset.index(dataset.clips["clip_id"].tolist())
    long_enough = index.filter(pc.greater_equal(index["num_frames"], resolved.recipe.least_frames))
    counted = set(long_enough["clip_id"].to_pylist())
    splits = {name: dataset.fold(name, fold_set=fold_set) for name in dataset.fold_names(fold_set)}
    return tuple(
        name for name, fold in splits.items() if any(fold[clip] == "test" for clip in counted.intersection(fold))
    )


def without_validation(experiment: Experiment) -> Experiment:
    """Return the experiment with the held-out clips moved back to train."""
    return replace(experiment, train_ids=tuple(sorted(experiment.train_ids + experiment.val_ids)), val_ids=())


def check_trainable(data: Path) -> PreparedDataset:
    """Open a dataset for training. Raises UsageError if it has no labels or no folds."""
    dataset = open_dataset(data)
    if not dataset.class_names:
        raise UsageError(f"{data} has no labels: training needs one per clip (label/video.mp4 in a folder)")
    if not dataset.fold_sets:
        raise UsageError(
            f"{data} has no folds: cannot be trained on; `{folds_command(data)}` adds them "
            "(with --group-by subject if persons are known)"
        )
    return dataset
