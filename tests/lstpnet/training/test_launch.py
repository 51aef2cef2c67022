"""Training from Python: one call trains, resumes, or finds what is finished."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import lstpnet
from dfer_data.errors import LockedError, UsageError
from lstpnet.training.distributed import ALONE
from lstpnet.training.earlier_run import Standing
from lstpnet.training.launch import (
    PlannedRun,
    agreed_plan,
    plan_runs,
    refuse_few_clips,
    train_planned,
    with_present_state,
)
from tests.dfer_data.tiny import tree
from tests.lstpnet.conftest import QUICK, quick, train


def test_one_call_trains_and_the_same_call_finds_it_finished(crops: Path, tmp_path: Path) -> None:
    events: list[object] = []
    options = {"fold": 3, "recipe": "demo", "overrides": QUICK, "out": tmp_path, "device": "cpu"}
    run = lstpnet.train(crops, **options, on_event=events.append)  # type: ignore[arg-type]
    assert run.folder == tmp_path / "dfew-none/demo/fold-3/seed-0"
    assert len(events) == 3  # an epoch on frames, two on clips
    again = lstpnet.train(crops, **options, on_event=events.append)  # type: ignore[arg-type]
    assert len(events) == 3
    assert np.array_equal(again.predictions[0].logits, run.predictions[0].logits)
    with pytest.raises(UsageError, match="holds a run with other settings"):
        lstpnet.train(crops, **{**options, "overrides": {**QUICK, "epochs": 1}})  # type: ignore[arg-type]


def test_faults_of_the_recipe_are_told_at_once(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"epochs.*size_px|size_px.*epochs"):
        lstpnet.train(crops, fold=3, overrides={"epochs": -1, "size_px": 1}, out=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("other", [{}, {"epochs": 1}], ids=["same settings", "other settings"])
def test_a_run_that_another_training_finished_after_the_plan_is_left_alone(
    crops: Path, tmp_path: Path, other: dict[str, int]
) -> None:
    options = {"folds_and_seeds": [(3, 0)], "out": tmp_path}
    (planned,) = plan_runs(crops, quick(frame_epochs=0), **options)  # type: ignore[arg-type]
    assert planned.state == "absent"
    (others,) = plan_runs(crops, quick(frame_epochs=0, **other), **options)  # type: ignore[arg-type]
    finished = train(others.experiment, tmp_path).folder
    assert finished == planned.folder
    before = tree(finished)
    words = "holds a run with other settings" if other else "another training has written .* in the meantime"
    with pytest.raises(UsageError if other else LockedError, match=words):
        train_planned(planned, device=torch.device("cpu"))
    assert tree(finished) == before
    if not other:
        assert with_present_state(planned).state == "finished"
    (forced,) = plan_runs(crops, quick(frame_epochs=0), **options, force=True)  # type: ignore[arg-type]
    assert with_present_state(forced).state == "absent"


def test_fewer_than_two_clips_per_process_are_refused_before_anything_is_trained(crops: Path, tmp_path: Path) -> None:
    """Batch norm cannot train on one clip, and a process without a clip computes nothing."""
    (planned,) = plan_runs(crops, quick(), folds_and_seeds=[(3, 0)], out=tmp_path)

    def with_clips(number: int, state: Standing = "absent") -> PlannedRun:
        experiment = replace(planned.experiment, train_ids=planned.experiment.train_ids[:number])
        return replace(planned, experiment=experiment, state=state)

    with pytest.raises(UsageError, match=r"^fold 3 has 1 train clip with a face; a training needs 2 or more; name"):
        agreed_plan([with_clips(1)], ALONE)
    words = r"^fold 3 has 3 train clips .* needs 4 or more, 2 per process; start fewer processes, or name other folds"
    with pytest.raises(UsageError, match=words):
        refuse_few_clips([with_clips(3)], num_processes=2)
    refuse_few_clips([with_clips(4), with_clips(1, "finished")], num_processes=2)
