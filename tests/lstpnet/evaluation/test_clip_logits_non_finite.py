"""A model that computes NaN or infinity gets no class and no figure: every way out of it names the clips."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dfer_data.loading.prepared import open_dataset
from dfer_data.types import Image
from lstpnet.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.checkpoints.trained_run import load_trained
from lstpnet.errors import CheckpointError, NonFiniteError
from lstpnet.evaluation import clip_logits
from lstpnet.evaluation.cross_dataset import evaluate_on
from lstpnet.evaluation.features import features_of
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.loaded_model import LoadedModel
from lstpnet.prediction.video_settings import Windows
from lstpnet.recipe import Recipe
from lstpnet.runs import read_run, write_run
from lstpnet.training import stage
from lstpnet.training.run import predict_test_clips
from tests.dfer_data.tiny import pictures, write_video
from tests.lstpnet.conftest import Done, quick, train
from tests.lstpnet.prediction.test_video import Standing, persons

CPU = torch.device("cpu")
CLASSES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
RECIPE = Recipe(name="own", size_px=32, input_norm="none", precision="f32")


class Broken(torch.nn.Module):
    """Seven logits, of which the first clip of all has one that is not finite."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self._value, self._is_first = value, True

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Map (B, T, 3, H, W) to (B, 7)."""
        logits = clips.mean(dim=(1, 2, 3, 4))[:, None].repeat(1, 7)
        if self._is_first:
            logits[0, 2], self._is_first = self._value, False
        return logits


@pytest.fixture(params=["nan", "inf", "-inf"])
def opened(request: pytest.FixtureRequest) -> OpenedModel:
    return OpenedModel(Broken(float(request.param)), CLASSES, RECIPE)


def test_an_evaluation_names_the_clip(opened: OpenedModel, plain: Done) -> None:
    experiment = plain.experiment
    with pytest.raises(NonFiniteError, match=rf"logits are not finite for clip {experiment.seen_test_ids[0]}: its w"):
        evaluate_on(opened, experiment.data, experiment.test_ids, is_masked=False, device=CPU)


def test_the_predictions_of_a_training_name_the_clip(opened: OpenedModel, plain: Done) -> None:
    with pytest.raises(NonFiniteError, match=rf"for clip {plain.experiment.seen_test_ids[0]}: "):
        predict_test_clips(plain.experiment, opened.model, CPU, checkpoint="last")


def test_a_validation_names_the_clip_and_scores_nothing(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lstpnet.training.experiment import make_experiment

    def broken(model: torch.nn.Module, *args: object, **options: object) -> object:
        return clip_logits.predict_clips(Broken(float("nan")), *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(stage, "predict_clips", broken)
    experiment = make_experiment(crops, quick(frame_epochs=0, val="blocks"), fold=3, seed=0)
    with pytest.raises(NonFiniteError, match=rf"for clip {experiment.val_ids[0]}: "):
        train(experiment, tmp_path)


def test_a_video_names_person_and_time(opened: OpenedModel, tmp_path: Path) -> None:
    images: list[Image] = pictures(1, width_px=96, height_px=96) * 25
    path = write_video(tmp_path / "v.mp4", images)
    with pytest.raises(NonFiniteError, match=r"for .*v\.mp4, person 0, 0\.0 to 0\.\d s: "):
        persons(path, opened, Standing(), Windows(0.6, 0.2))


def test_arrays_are_named_by_their_place(opened: OpenedModel) -> None:
    with pytest.raises(NonFiniteError, match="for clip 0: "):
        LoadedModel(opened, CPU).predict(np.zeros((2, 16, 3, 32, 32), np.uint8))


def test_features_name_the_clip(plain: Done) -> None:
    model = load_trained(plain.folder).model
    assert isinstance(model, LSTPNet)
    parameter = next(model.backbone.parameters())
    with torch.no_grad():
        parameter.fill_(float("nan"))
    clip_ids = plain.experiment.seen_test_ids[:2]
    with pytest.raises(NonFiniteError, match=rf"features are not finite for clip {clip_ids[0]}, clip {clip_ids[1]}: "):
        features_of(model, open_dataset(plain.experiment.data.root), clip_ids, recipe=RECIPE, device=CPU)


def test_a_checkpoint_with_nan_is_refused_even_with_matching_hashes(plain: Done, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(plain.folder, tmp_path / "copy"))
    model = load_trained(copy).model
    with torch.no_grad():
        model.get_parameter("fc.bias")[0] = float("nan")
    path = copy / "checkpoints/last.safetensors"
    save_checkpoint(model, path, facts=json.loads(path.with_suffix(".json").read_bytes()))
    write_run(copy, read_run(copy))
    with pytest.raises(CheckpointError, match=r"last\.safetensors holds weights that no .*: fc\.bias holds NaN or inf"):
        load_trained(copy)
    with pytest.raises(CheckpointError, match=r"fc\.bias holds NaN or infinity"):
        load_checkpoint(model, path)


def test_views_without_a_chance_for_a_class_keep_its_logit_finite() -> None:
    views = [torch.tensor([[0.0, 500.0, 1.0]]), torch.tensor([[0.0, 900.0, 2.0]])]
    logits = clip_logits._average_views(views)
    assert logits.isfinite().all()
    assert logits.argmax(1).tolist() == [1]
    mild = [torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 1.0]])]
    shares = torch.stack([view.softmax(1) for view in mild]).mean(0)
    torch.testing.assert_close(clip_logits._average_views(mild).exp(), shares)
