"""predictions.parquet: what does not fit is named, and no damage passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dfer_data.errors import CorruptDataError
from lstpnet.finished_runs import load_runs
from lstpnet.predictions import Predictions
from lstpnet.predictions_table import read_predictions, write_predictions
from lstpnet.runs import PREDICTIONS_NAME, write_run
from tests.lstpnet.small_run import INFO, LOGITS, part, write_one


def rewrite(folder: Path, **changes: Any) -> None:
    """Change columns of predictions.parquet behind the writer's back, and the hash of the file."""
    path = folder / PREDICTIONS_NAME
    pd.read_parquet(path).assign(**changes).to_parquet(path)
    write_run(folder, INFO)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"label": "angry"}, "label 'angry' is not a class"),
        ({"label": None}, "empty cells in label"),
        ({"clip_id": "00001"}, "clip 00001 is listed twice"),
        ({"checkpoint": "best"}, "rows lack ['last'], add ['best']"),
        ({"checkpoint": "first"}, "'first'"),
        ({"control": "upside-down"}, "'upside-down'"),
        ({"logits": [[0.0, 1.0]] * 4}, "rows of [2] logits for 3 classes"),
        ({"logits": [[0.0, 1.0, float("nan")]] * 4}, "NaN"),
        ({"logits": [[-np.inf] * 3] * 4}, "all logits of a clip are -inf"),
    ],
)
def test_predictions_that_do_not_fit_are_named_in_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    rewrite(write_one(tmp_path), **changes)
    with pytest.raises(CorruptDataError) as caught:
        load_runs([tmp_path])
    assert str(caught.value).startswith(f"{tmp_path / PREDICTIONS_NAME} is damaged: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = write_one(tmp_path) / PREDICTIONS_NAME
    pd.read_parquet(path).drop(columns=["has_face", "control"]).to_parquet(path)
    with pytest.raises(CorruptDataError, match="no column control, has_face"):
        read_predictions(tmp_path, INFO)


def test_checkpoints_must_predict_the_same_clips(tmp_path: Path) -> None:
    fewer = Predictions(("00001",), ("sad",), LOGITS[:1], np.array([True]), "best")
    write_predictions(tmp_path, [part(), fewer])
    with pytest.raises(CorruptDataError, match="different clips"):
        read_predictions(tmp_path, replace(INFO, checkpoints=("last", "best")))


def test_no_flipped_byte_changes_a_prediction(tmp_path: Path) -> None:
    path = write_one(tmp_path) / PREDICTIONS_NAME
    content, clean = path.read_bytes(), read_predictions(tmp_path, INFO)
    length_of_footer = int.from_bytes(content[-8:-4], "little")
    num_named = 0
    for place in np.random.default_rng(0).choice(len(content) - 8 - length_of_footer, 80, replace=False).tolist():
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :])
        try:
            found = read_predictions(tmp_path, INFO)
        except CorruptDataError as error:
            num_named += 1
            assert str(path) in str(error)  # noqa: PT017
            continue
        for mine, theirs in zip(found, clean, strict=True):
            assert (mine.clip_ids, mine.labels) == (theirs.clip_ids, theirs.labels)
            assert np.array_equal(mine.logits, theirs.logits)
    assert num_named > 40
