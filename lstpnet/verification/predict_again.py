"""Predict the test clips of a run again with its checkpoints, and compare the logits with the stored ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfer_data.errors import CorruptDataError
from dfer_data.wording import counted
from lstpnet.errors import CheckpointError, NonFiniteError
from lstpnet.predictions import Predictions
from lstpnet.runs import CHECKPOINTS_FOLDER, PREDICTIONS_NAME, RunInfo
from lstpnet.verification.findings import RunDamage, RunVerification, listed_ids, without_path

if TYPE_CHECKING:
    from lstpnet.training.experiment import Experiment

TOLERANCE, TOLERANCE_HALF = 1e-3, 5e-2
"""Largest difference of a logit that is predicted again, as a share of the checkpoint's largest logit: with
precision = f32, and with others, where one of the two computations may be in bf16 or f16."""


def predicted_again(
    result: RunVerification,
    experiment: Experiment,
    info: RunInfo,
    predictions: Sequence[Predictions],
    device: str | None,
    on_clip: Callable[[int, int], None],
    *,
    code: Mapping[str, Any],
) -> RunVerification:
    """Predict every checkpoint again and return the result with the logits that differ.

    `code`: `trust_model` and `custom_model` of `load_trained`.
    """
    from lstpnet.checkpoints.trained_run import load_trained
    from lstpnet.device import pick_device
    from lstpnet.training.events import ClipsPredicted, StepDone
    from lstpnet.training.run import predict_test_clips

    folder, torch_device = Path(result.run), pick_device(device)
    tolerance = TOLERANCE if experiment.recipe.precision == "f32" else TOLERANCE_HALF
    damages: list[RunDamage] = []
    notes: list[str] = []
    differences, num_rows = [0.0], 0
    done_before, total = 0, len(predictions) * len(experiment.seen_test_ids)

    def on_step(step: StepDone | ClipsPredicted) -> None:
        nonlocal done_before
        if isinstance(step, ClipsPredicted):
            on_clip(done_before + step.num_done, total)
            done_before += step.num_clips if step.num_done == step.num_clips else 0

    for checkpoint in info.checkpoints:
        weights_name = f"{CHECKPOINTS_FOLDER}/{checkpoint}.safetensors"
        try:
            model = load_trained(folder, checkpoint=checkpoint, **code).model.to(torch_device)
            again = predict_test_clips(experiment, model, torch_device, checkpoint=checkpoint, on_step=on_step)
        except (CheckpointError, CorruptDataError, NonFiniteError) as error:
            damages.append(RunDamage(weights_name, without_path(error, folder / weights_name)))
            continue
        by_control = {part.control: part for part in again}
        for part in (part for part in predictions if part.checkpoint == checkpoint):
            name = " ".join(filter(None, (part.checkpoint, part.control)))
            if part.control not in by_control:
                damages.append(RunDamage(PREDICTIONS_NAME, f"{name}: the recipe has no such control"))
                continue
            shares = _difference_shares(part, by_control[part.control])
            num_rows, differences = num_rows + len(shares), [*differences, *shares.values()]
            if over := [clip_id for clip_id, share in shares.items() if share > tolerance]:
                words = (
                    f"{name}: {counted(len(over), 'clip')} with logits that the model does not compute: "
                    f"{listed_ids(over)}"
                )
                damages.append(RunDamage(PREDICTIONS_NAME, words))
            elif others := _other_classes(part, by_control[part.control]):
                notes.append(
                    f"{name}: within the tolerance, another class for {counted(len(others), 'clip')}: "
                    f"{listed_ids(others)}"
                )
    return replace(
        result,
        damages=tuple(damages),
        notes=(*result.notes, *notes),
        num_predicted_again=num_rows,
        largest_difference=max(differences),
        tolerance=tolerance,
    )


def _difference_shares(stored: Predictions, again: Predictions) -> dict[str, float]:
    """Return clip id -> largest difference of its logits, as a share of the largest finite logit of all clips.

    Clips without a face are left out: their prior is compared with the dataset.
    """
    scale = max(float(np.abs(again.logits[np.isfinite(again.logits)]).max()), float(np.finfo(np.float32).tiny))
    rows = {clip_id: row for row, clip_id in enumerate(again.clip_ids)}
    shares = {}
    for clip_id, face, logits in zip(stored.clip_ids, stored.has_face, stored.logits, strict=True):
        if face and clip_id in rows:
            difference = np.abs(logits - again.logits[rows[clip_id]]).max()
            shares[clip_id] = float(difference) / scale if np.isfinite(difference) else float("inf")
    return shares


def _other_classes(stored: Predictions, again: Predictions) -> list[str]:
    """Return the clips that get another class from the logits that were computed again."""
    classes = dict(zip(again.clip_ids, again.logits.argmax(axis=1), strict=True))
    stored_classes = zip(stored.clip_ids, stored.logits.argmax(axis=1), strict=True)
    return [clip_id for clip_id, number in stored_classes if classes.get(clip_id, number) != number]
