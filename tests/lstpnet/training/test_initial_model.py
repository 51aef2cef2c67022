from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import lstpnet
from dfer_data.errors import UsageError
from lstpnet.models.gca import GCA
from lstpnet.runs import read_run, write_run
from lstpnet.training.classifier_input import WithClassifierInput
from lstpnet.training.experiment import make_experiment
from lstpnet.training.initial_model import initial_model
from tests.lstpnet.conftest import Done, quick


@pytest.mark.parametrize(("norm", "is_noted"), [("none", True), ("kinetics", False)])
def test_start_weights_that_saw_other_pixel_values_are_noted(
    crops: Path, tmp_path: Path, norm: str, is_noted: bool
) -> None:
    narrow = {"model": "r3d_18", "depth": 1, "width_multiplier": 0.125}
    path = tmp_path / "r3d.safetensors"
    save_file(lstpnet.build_model("r3d_18", 7, depth=1, width_multiplier=0.125).state_dict(), path)
    recipe = quick(**narrow, frame_epochs=0, input_norm=norm)
    _, words = initial_model(make_experiment(crops, recipe, fold=3, seed=0), init=path)
    assert "published start weights: torchvision's on Kinetics-400" in words
    assert ("those weights saw pixels by input_norm = 'kinetics'" in words) == is_noted


NARROW_112 = {"width_multiplier": 0.125, "depth": 1, "size_px": 112, "frame_epochs": 0}


def test_the_neutral_class_must_be_the_datasets(crops: Path) -> None:
    recipe = quick(model="nr-dfernet", neutral_class=3, **NARROW_112)
    with pytest.raises(UsageError, match="neutral_class = 3 is angry in this dataset; the right number is 2"):
        initial_model(make_experiment(crops, recipe, fold=3, seed=0), init=None)


@pytest.mark.parametrize("weight", [0.0, 0.05])
def test_the_auxiliary_classifier_of_gca_is_trained_if_its_loss_has_a_weight(crops: Path, weight: float) -> None:
    recipe = quick(model="gca", auxiliary=weight, **NARROW_112)
    model, _ = initial_model(make_experiment(crops, recipe, fold=3, seed=0), init=None)
    assert isinstance(model, GCA)
    assert all(parameter.requires_grad == (weight > 0) for parameter in model.auxiliary.parameters())
    wrapped = WithClassifierInput(model, num_classes=7, has_auxiliary=True).eval()
    clips = torch.rand(1, 16, 3, 112, 112)
    with torch.no_grad():
        logits, features, auxiliary = wrapped(clips)
        assert torch.equal(logits, model(clips))
        assert torch.equal(features, model.features(clips))
        assert torch.equal(auxiliary, model.auxiliary_logits(clips)[0])


@pytest.mark.parametrize("is_finished", [True, False])
def test_the_classifier_of_a_run_is_kept_only_for_the_same_classes_in_the_same_order(
    plain: Done, crops: Path, tmp_path: Path, is_finished: bool
) -> None:
    """Its rows would be the weights of other classes; the run may be in training, or stopped."""
    folder = Path(shutil.copytree(plain.folder, tmp_path / "run"))
    experiment = make_experiment(crops, quick(), fold=3, seed=1)
    fresh, _ = initial_model(experiment, init=None)
    seen = []
    for number in (0, 1):
        info = read_run(folder)
        names = info.class_names[number:] + info.class_names[:number]
        write_run(folder, replace(info, class_names=names, finished=is_finished))
        model, words = initial_model(experiment, init=folder / "checkpoints/last.safetensors")
        seen.append(
            (
                torch.equal(model.state_dict()["fc.weight"], fresh.state_dict()["fc.weight"]),
                "keep their initial values (classifier)" in words,
            )
        )
    assert seen == [(False, False), (True, True)]
