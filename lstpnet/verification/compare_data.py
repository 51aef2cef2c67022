"""Compare a run with the fold of the dataset that it was trained on: clips, labels, faces, priors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dfer_data.errors import CorruptDataError, UsageError
from lstpnet.dataset_identity import difference
from lstpnet.predictions import Predictions
from lstpnet.run_files import NEXT_STEP
from lstpnet.runs import CONFIG_NAME, PREDICTIONS_NAME, RUN_NAME, RunInfo, read_config
from lstpnet.verification.findings import RunDamage, listed_ids

if TYPE_CHECKING:
    from lstpnet.training.experiment import Experiment

_PRIOR_ATOL = 1e-4


def experiment_of_run(folder: Path, info: RunInfo, data: Path | str) -> Experiment:
    """Return the experiment of a run on its data. Raises UsageError for other data."""
    from dfer_data.storage.url_cache import located
    from lstpnet.recipe_files import ResolvedRecipe, stored_recipe
    from lstpnet.training.experiment import check_trainable, make_experiment

    root = located(data)[0]
    if words := difference(info.identity, check_trainable(root), fold_set=info.fold_set):
        raise UsageError(f"--data {data} is not the dataset of {folder}: {words}; train again, or omit --data")
    config = read_config(folder, info)
    if not config:
        raise UsageError(f"{folder} has no {CONFIG_NAME}: its recipe is not known, so --data cannot be compared")
    try:
        recipe = stored_recipe(config["settings"])
    except (KeyError, TypeError, UsageError) as error:
        path = folder / CONFIG_NAME
        raise CorruptDataError(f"{path} is damaged: its settings are no recipe ({error}); {NEXT_STEP}") from error
    return make_experiment(root, ResolvedRecipe(recipe, {}), fold=info.fold, seed=info.seed, fold_set=info.fold_set)


def data_damages(experiment: Experiment, info: RunInfo, predictions: Sequence[Predictions]) -> Iterator[RunDamage]:
    """Yield the differences between a run and the fold of its dataset."""
    data = experiment.data
    counts = {"n_train": len(experiment.train_ids), "n_val": len(experiment.val_ids)}
    stated: dict[str, Any] = {"class_names": data.class_names, "dataset": data.document["dataset"], **counts}
    stated["synthetic"] = bool(data.document["synthetic"])
    for name, expected in stated.items():
        if getattr(info, name) != expected:
            yield RunDamage(RUN_NAME, f"has {name} {getattr(info, name)!r}, the dataset {expected!r}")
    labels = dict(zip(experiment.test_ids, data.index(experiment.test_ids)["label"].to_pylist(), strict=True))
    faceless, prior = set(experiment.faceless_test_ids), experiment.prior_logits()
    for part in predictions:
        name = " ".join(filter(None, (part.checkpoint, part.control)))
        if missing := sorted(labels.keys() - set(part.clip_ids)):
            yield RunDamage(PREDICTIONS_NAME, f"{name} lacks test clips of fold {info.fold}: {listed_ids(missing)}")
        if extra := sorted(set(part.clip_ids) - labels.keys()):
            yield RunDamage(
                PREDICTIONS_NAME, f"{name} has clips that fold {info.fold} does not test: {listed_ids(extra)}"
            )
        rows = list(zip(part.clip_ids, part.labels, part.has_face.tolist(), part.logits, strict=True))
        if other := [clip_id for clip_id, label, _, _ in rows if labels.get(clip_id, label) != label]:
            yield RunDamage(PREDICTIONS_NAME, f"{name} has other labels than the dataset: {listed_ids(other)}")
        if other := [clip_id for clip_id, _, face, _ in rows if face == (clip_id in faceless) and clip_id in labels]:
            yield RunDamage(PREDICTIONS_NAME, f"{name} has other clips without a face: {listed_ids(other)}")
        others = [clip_id for clip_id, _, face, logits in rows if not face and not _is_prior(logits, prior)]
        if others:
            yield RunDamage(
                PREDICTIONS_NAME, f"{name}: not the train prior, though without a face: {listed_ids(others)}"
            )


def _is_prior(logits: npt.NDArray[np.float32], prior: npt.NDArray[np.float32]) -> bool:
    return logits.shape == prior.shape and bool(np.allclose(logits, prior, atol=_PRIOR_ATOL))
