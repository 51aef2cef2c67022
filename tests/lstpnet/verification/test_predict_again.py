"""The test clips of a run predicted again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dfer_data.errors import UsageError
from lstpnet.predictions_table import read_predictions, write_predictions
from lstpnet.runs import read_run, write_run
from lstpnet.verification.predict_again import TOLERANCE
from lstpnet.verification.verify_run import verify_run
from tests.lstpnet.conftest import Done
from tests.lstpnet.verification.forged_run import all_right, forge


def test_an_intact_run_fits_its_data_and_predicts_the_same(validated: Done) -> None:
    result = verify_run(validated.folder, data=validated.experiment.data.root, deep=True, device="cpu")
    assert (result.damages, result.notes, result.is_verified) == ((), (), True)
    assert (result.num_predictions, result.num_predicted_again) == (4 * 14, 4 * 13)
    assert result.largest_difference == 0
    assert result.tolerance == TOLERANCE


def test_forged_predictions_with_matching_hashes_are_found_by_predicting_again(validated: Done, copy: Path) -> None:
    forge(copy, all_right)
    assert verify_run(copy, data=validated.experiment.data.root).damages == ()
    (damage, *_) = verify_run(copy, data=validated.experiment.data.root, deep=True, device="cpu").damages
    assert damage.file == "predictions.parquet"
    assert "last: 13 clips with logits that the model does not compute" in damage.message


def test_another_class_within_the_tolerance_is_a_note(
    validated: Done, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstpnet.verification.predict_again.TOLERANCE", 1e9)
    forge(copy, all_right)
    result = verify_run(copy, data=validated.experiment.data.root, deep=True, device="cpu")
    assert result.damages == ()
    assert result.notes[0].startswith("last: within the tolerance, ")


def test_controls_that_the_recipe_does_not_have_are_found(plain: Done, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(plain.folder, tmp_path / "run"))
    info = read_run(folder)
    (part,) = read_predictions(folder, info)
    write_predictions(folder, [part, replace(part, control="repeated-frame", attention=None)])
    write_run(folder, info)
    (damage,) = verify_run(folder, data=plain.experiment.data.root, deep=True, device="cpu").damages
    assert damage.message == "last repeated-frame: the recipe has no such control"


def test_a_run_that_was_passed_on_without_its_checkpoints_is_not_damaged(copy: Path, validated: Done) -> None:
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(UsageError, match="has no folder checkpoints, from which --deep predicts again"):
        verify_run(copy, data=validated.experiment.data.root, deep=True, device="cpu")
