"""The settings that define a run, as config.json stores them, and how those of an earlier run differ from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple
from typing import Any

from dfer_data.shards.identity import OFFICIAL_SET, DatasetIdentity
from lstpnet.checkpoints.custom_model import source_sha256
from lstpnet.dataset_identity import difference
from lstpnet.models.catalogue import DEFAULT_MODEL
from lstpnet.training.experiment import Experiment

_DATA_KEYS = ("dataset_sha256", "labels_sha256", "folds_sha256")
"""Keys of the settings that are hashes of the data: of clips, labels and folds."""


def run_settings(experiment: Experiment, *, init_sha256: str | None) -> dict[str, Any]:
    """Return the settings that define the experiment; two runs with equal settings are the same experiment."""
    return asdict(experiment.recipe) | {
        **dict(zip(_DATA_KEYS, astuple(experiment.identity), strict=True)),
        "fold_set": experiment.fold_set,
        "fold": experiment.fold,
        "seed": experiment.seed,
        "init_sha256": init_sha256,
        "model_sha256": source_sha256(experiment.recipe.model),
        **({"val_audit_sha256": audit} if (audit := experiment.audit_of_val) else {}),
    }


def setting_faults(old: Mapping[str, Any], experiment: Experiment, *, init_sha256: str | None) -> Iterator[str]:
    """Yield how the stored settings of an earlier run differ from an experiment: its data, then all else.

    Settings of an older dfer have one hash of the whole dataset, and official folds.
    """
    hashes = [str(old.get(key, old.get("dataset_sha256"))) for key in _DATA_KEYS]
    old_set = str(old.get("fold_set", OFFICIAL_SET))
    if words := difference(DatasetIdentity(*hashes), experiment.data, fold_set=old_set, subject="that run"):
        yield f"on other data ({words})"
    new = run_settings(experiment, init_sha256=init_sha256)
    stored = {**old, "fold_set": old_set, "model": old.get("model") or DEFAULT_MODEL}
    differing = sorted(key for key in (stored.keys() | new.keys()) - set(_DATA_KEYS) if stored.get(key) != new.get(key))
    if differing:
        changes = "; ".join(f"{key}: {stored.get(key)!r} there, {new.get(key)!r} now" for key in differing)
        yield f"with other settings ({changes})"
