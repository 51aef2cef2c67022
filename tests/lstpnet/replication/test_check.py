"""Results whose seal is right and whose statements are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfer_data.errors import CorruptDataError
from lstpnet.replication.check import check_result
from lstpnet.replication.figures import FoldPredictions, Verdict
from lstpnet.replication.result_file import ReplicationDocument, write_result
from lstpnet.replication.run import Replication, Weights, replicate
from tests.lstpnet.replication.conftest import Lab


@pytest.fixture(scope="module")
def honest(lab: Lab) -> Replication:
    """Not reproduced: one more clip is expected to be right than is."""
    claim = lab.claim(expected=[{"fold": "3", "right": lab.right - 1, "of": lab.of}])
    return replicate("test", claim, lab.prepared, Weights({"3": lab.weights}, device="cpu"))


Sealed = tuple[ReplicationDocument, tuple[FoldPredictions, ...]]


def _with(**changes: Any) -> Callable[[ReplicationDocument, FoldPredictions], Sealed]:
    return lambda document, part: (document.model_copy(update=changes), (part,))


def _first_fold(**changes: Any) -> Callable[[ReplicationDocument, FoldPredictions], Sealed]:
    def change(document: ReplicationDocument, part: FoldPredictions) -> Sealed:
        return document.model_copy(update={"tested": [document.tested[0].model_copy(update=changes)]}), (part,)

    return change


def _hidden_difference(document: ReplicationDocument, part: FoldPredictions) -> Sealed:
    numbers = [replace(document.numbers[0], found=3), *document.numbers[1:]]
    return document.model_copy(update={"numbers": numbers}), (part,)


def _unknown_label(document: ReplicationDocument, part: FoldPredictions) -> Sealed:
    return document, (replace(part, labels=("bored", *part.labels[1:])),)


def _other_labels(document: ReplicationDocument, part: FoldPredictions) -> Sealed:
    return document, (replace(part, labels=("happy",) * len(part.labels)),)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            _with(verdict=Verdict("reproduced", "reproduced", "")),
            "the verdict is 'not reproduced; .*states 'reproduced'",
        ),
        (_with(checks=[]), "its comparison with the expected figures is another one"),
        (_with(name="dfew-former-dfer"), "its claim is not dfew-former-dfer as this dfer knows it"),
        (_first_fold(war=0.125), "fold 3, seed 0: war is .*, it states 0.125"),
        (_first_fold(seed=4), "its folds and seeds are not those of clips.csv"),
        (_hidden_difference, "its differences lack 'clips: expected 49, found 3'"),
        (_unknown_label, "its predictions cannot be scored"),
        (_other_labels, "fold 3, happy: .* predictions? and 2 test clips|contradicts itself"),
    ],
)
def test_what_the_predictions_do_not_support_is_refused(
    honest: Replication,
    tmp_path: Path,
    change: Callable[[ReplicationDocument, FoldPredictions], Sealed],
    fault: str,
) -> None:
    path = tmp_path / "r.zip"
    write_result(path, honest.document, honest.parts)
    assert check_result(path).verdict.outcome == "not reproduced"
    write_result(path, *change(honest.document, honest.parts[0]))
    with pytest.raises(CorruptDataError, match=fault):
        check_result(path)
