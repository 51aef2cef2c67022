"""A run compared with the dataset of its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dfer_data.errors import UsageError
from lstpnet.predictions import Predictions
from lstpnet.verification.verify_run import verify_run
from tests.lstpnet.conftest import Done
from tests.lstpnet.verification.forged_run import forge


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda part: replace(part, labels=("fear",) * len(part.labels)), "other labels than the dataset: "),
        (lambda part: replace(part, clip_ids=("00000", *part.clip_ids[1:])), "has clips that fold 3 does not test: 0"),
        (lambda part: replace(part, logits=part.logits * (2 - part.has_face[:, None])), "not the train prior"),
    ],
)
def test_forged_rows_are_found_by_comparing_with_the_data(
    validated: Done, copy: Path, change: Callable[[Predictions], Predictions], words: str
) -> None:
    forge(copy, change)
    assert verify_run(copy).damages == ()
    messages = [damage.message for damage in verify_run(copy, data=validated.experiment.data.root).damages]
    assert any(words in message for message in messages), messages


def test_other_data_are_no_damage_of_the_run(validated: Done, many_crops: Path) -> None:
    with pytest.raises(UsageError, match="is not the dataset of"):
        verify_run(validated.folder, data=many_crops)
    with pytest.raises(UsageError, match="--deep predicts a run's test clips again: add --data"):
        verify_run(validated.folder, deep=True)
