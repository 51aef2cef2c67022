"""Training from Python: one call trains, resumes, or finds what is finished."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lstpnet
from dfer_data.errors import UsageError
from tests.lstpnet.conftest import QUICK


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
