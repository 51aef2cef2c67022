"""The line that says what was measured when given weights are tested on a prepared dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from dfer_data.config import PrepareConfig
from dfer_data.loading.prepared import PreparedDataset
from dfer_data.shards.identity import OFFICIAL_SET
from lstpnet.batches.recipe_clips import sampler_words, size_words
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.dataset_identity import data_words
from lstpnet.evaluation.computation import computation


def protocol_line(
    dataset: PreparedDataset,
    opened: OpenedModel,
    *,
    folds: Sequence[str],
    fold_set: str = OFFICIAL_SET,
    is_masked: bool,
    device: torch.device,
) -> str:
    """Return data, folds, frames and computation of a test in one line; no `folds`: every labelled clip."""
    recipe, by = opened.recipe, computation(opened, device)
    identity = dataset.identity(fold_set)
    identity = identity if folds else replace(identity, folds_sha256="")
    size = size_words(recipe, PrepareConfig.from_dict(dataset.document["config"]))
    return (
        f"data {data_words(identity)}; {_test_words(folds, fold_set)}"
        f"sampler {sampler_words(recipe)}; short clips {recipe.short}; "
        f"at least {recipe.least_frames} frames; {size}; logits {'masked' if is_masked else 'not masked'}"
        f"{'' if by.is_plain else f'; computed by {by.runtime} in {by.precision}'}"
    )


def _test_words(folds: Sequence[str], fold_set: str) -> str:
    """Return the folds as a part of the line; empty without folds."""
    if not folds:
        return ""
    words = f"fold{'s' * (len(folds) > 1)} {' '.join(folds)}"
    return f"official {words}; " if fold_set == OFFICIAL_SET else f"{words} of {fold_set}; "
