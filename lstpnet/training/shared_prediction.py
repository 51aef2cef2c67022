"""Predict clips with all processes of a training; the rows are those of one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dfer_data.types import Floats
from lstpnet.training.distributed import Group

Predict = Callable[[Sequence[str]], tuple[Floats, ...]]
"""Returns arrays with one row per clip, in the order of the ids."""


def predict_together(predict: Predict, clip_ids: Sequence[str], *, batch_size: int, group: Group) -> tuple[Floats, ...]:
    """Return, in every process, what `predict` returns for all clips, at least one.

    Each process predicts every n-th batch of `batch_size` clips, so that batches hold the clips that they hold in one
    process, and give the same bytes. An error in one process ends the prediction in all.
    """
    if group.world_size == 1:
        return predict(clip_ids)
    starts = range(0, len(clip_ids), batch_size)
    own_ids = [
        clip_id for start in starts[group.rank :: group.world_size] for clip_id in clip_ids[start : start + batch_size]
    ]
    shards = group.gathered(lambda: predict(own_ids) if own_ids else ())
    batches = [
        tuple(array[first : first + batch_size] for array in shards[number % group.world_size])
        for number in range(len(starts))
        for first in [number // group.world_size * batch_size]
    ]
    return tuple(np.concatenate(arrays) for arrays in zip(*batches, strict=True))
