"""A recipe with another number of frames than 16: training, predictions, export, report and pictures follow it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import dfer_data as dd
from dfer_data.errors import UsageError
from lstpnet.batches.normalize import normalised
from lstpnet.batches.recipe_clips import clips_of_recipe, sampler_words
from lstpnet.checkpoints.export import description
from lstpnet.checkpoints.open_model import OpenedModel, open_model, with_changes
from lstpnet.finished_runs import load_runs
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.video import _window_frames
from lstpnet.recipe import Recipe
from lstpnet.recipe_files import stored_recipe
from lstpnet.reporting.build import build_report
from lstpnet.reporting.html.clip_table import _num_shown_frames
from lstpnet.reporting.html.filmstrip import FRAME_PX, filmstrip
from lstpnet.reporting.html.page import to_html
from lstpnet.training.experiment import make_experiment
from tests.lstpnet.conftest import quick, train

NUM_FRAMES = 6


def test_a_run_reads_as_many_frames_as_its_recipe_says(crops: Path, tmp_path: Path) -> None:
    experiment = make_experiment(crops, quick(epochs=1, frame_epochs=0, num_frames=NUM_FRAMES), fold=3, seed=0)
    protocol = experiment.protocol()
    assert "; sampler segments-8x2 of 6 frames; " in protocol
    assert "differs from the default protocol in num_frames 6 (default 16)" in protocol
    folder = train(experiment, tmp_path).folder
    table = pd.read_parquet(folder / "predictions.parquet").query("has_face and checkpoint == 'last' and control == ''")
    assert {len(shares) for shares in table["attention"]} == {NUM_FRAMES}
    opened = open_model(folder)
    clip_id, logits = table.iloc[0]["clip_id"], table.iloc[0]["logits"]
    pixels = dd.FaceClipDataset(crops, clip_ids=[clip_id], num_frames=NUM_FRAMES, size_px=opened.recipe.size_px)[0]
    with torch.inference_mode():
        own_logits = opened.model(normalised(pixels.frames[None], norm=opened.recipe.input_norm))[0]
    np.testing.assert_allclose(own_logits.numpy(), logits, atol=1e-3)
    assert "6 frames of an aligned face" in (folder / "README.md").read_text(encoding="utf-8")
    assert with_changes(opened, {"num_frames": 24}).recipe.num_frames == 24

    page = to_html(build_report(load_runs([folder])[0]), datasets=[dd.open_dataset(crops)])
    (clips,) = re.findall(r'id="clip-data">(.*?)</script>', page)
    (view,) = json.loads(clips)["views"]
    assert view["frames"] == NUM_FRAMES
    assert re.findall(r'id="strip-0-\d+-(\d+)"', page) == [str(NUM_FRAMES)] * len(table)


@pytest.mark.parametrize(("num_frames", "lines", "columns"), [(6, 1, 6), (8, 1, 8), (16, 2, 8), (24, 3, 8), (12, 2, 8)])
def test_a_filmstrip_has_at_most_eight_frames_per_line(num_frames: int, lines: int, columns: int) -> None:
    import simplejpeg

    strip = filmstrip(np.full((num_frames, 3, FRAME_PX, FRAME_PX), 255, np.uint8))
    picture = simplejpeg.decode_jpeg(strip)
    assert picture.shape == (lines * FRAME_PX, columns * FRAME_PX, 3)
    assert (picture.reshape(lines, FRAME_PX, columns, FRAME_PX, 3).mean((1, 3, 4)) > 250).sum() == num_frames


def test_a_filmstrip_of_another_sampler_has_sixteen_frames() -> None:
    assert _num_shown_frames(asdict(Recipe(name="a", num_frames=7, sampler="segments-16x1"))) == 16
    assert _num_shown_frames(asdict(Recipe(name="a", num_frames=24))) == 24
    assert _num_shown_frames({}) == 16


def test_windows_and_exports_have_the_number(tmp_path: Path) -> None:
    recipe = Recipe(name="a", num_frames=24, sampler="uniform")
    assert _window_frames([i / 25 for i in range(50)], recipe).shape == (1, 24)
    (tmp_path / "a.onnx").write_bytes(b"graph")
    model = LSTPNet(7, width_multiplier=0.125)
    facts = {"class_names": list("abcdefg"), "protocol": "one", "is_synthetic": False}
    assert description(model, tmp_path / "a.onnx", recipe=asdict(recipe), **facts)["num_frames"] == 24  # type: ignore[arg-type]
    assert sampler_words(recipe) == "uniform of 24 frames"
    assert (sampler_words(Recipe(name="a")), Recipe(name="a", num_frames=8, short="drop").least_frames) == (
        "segments-8x2",
        8,
    )


def test_a_recipe_stored_before_there_was_a_number_means_sixteen(crops: Path) -> None:
    settings = asdict(Recipe(name="old"))
    del settings["num_frames"]
    assert stored_recipe(settings).num_frames == 16
    assert clips_of_recipe(crops, ["00001"], stored_recipe(settings)).item_shape[1] == 16


def test_a_number_that_a_sampler_or_a_model_does_not_take_is_one_line() -> None:
    with pytest.raises(UsageError, match=r"^recipe a: num_frames = 7: sampler segments-8x2 takes an even number$"):
        Recipe(name="a", num_frames=7)
    assert Recipe(name="a", num_frames=7, sampler="segments-16x1").num_frames == 7
    model = nn.Sequential(nn.Flatten(), nn.Linear(16 * 3 * 32 * 32, 2))
    opened = OpenedModel(model, ("a", "b"), Recipe(name="a", size_px=32, model="own:build"))
    with pytest.raises(UsageError, match=r"^model own:build does not accept clips of shape \(1, 8, 3, 32, 32\): "):
        with_changes(opened, {"num_frames": 8})
    assert with_changes(opened, {"num_frames": 16}).recipe == opened.recipe
