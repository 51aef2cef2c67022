"""Frames placed by time: one setting for training, tests, predictions and exports, named in the protocol line."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from dfer_data.errors import UsageError
from dfer_data.frame_sampling import frames_of_clip, frames_on_grid
from dfer_data.loading.clip_dataset import FaceClipDataset
from lstpnet.batches.recipe_clips import frame_draw
from lstpnet.checkpoints.export import description
from lstpnet.checkpoints.onnx_model import _LATER, _SETTINGS
from lstpnet.checkpoints.open_model import CHANGEABLE
from lstpnet.evaluation.frame_attention import sees_default_frames
from lstpnet.models.lstpnet import LSTPNet
from lstpnet.prediction.video import _window_frames
from lstpnet.protocol import PRESETS, placement
from lstpnet.recipe import Recipe
from lstpnet.recipe_files import stored_recipe
from lstpnet.training.experiment import make_experiment
from tests.lstpnet.conftest import quick

BY_TIME = Recipe(name="a", sample_by="time", reference_fps=30.0)


def test_every_reader_of_clips_gets_the_placement() -> None:
    draw = frame_draw(BY_TIME, sampling="test", seed=3)
    assert (draw.sample_by, draw.reference_fps, draw.seed) == ("time", 30.0, 3)
    assert {"sample_by", "reference_fps"} <= set(CHANGEABLE)


def test_the_filmstrip_of_stored_frames_is_for_counted_frames_alone() -> None:
    assert sees_default_frames(Recipe(name="a"))
    assert not sees_default_frames(BY_TIME)


def test_windows_of_a_video_show_the_same_instants_at_any_rate() -> None:
    """2 s at 25, 50 and 100 frames per second; times that say nothing leave frames to be counted."""
    recipe = replace(BY_TIME, reference_fps=25.0)
    slow = _window_frames((np.arange(50) / 25).tolist(), recipe)
    for factor in (2, 4):
        fast = _window_frames((np.arange(50 * factor) / (25 * factor)).tolist(), recipe)
        np.testing.assert_array_equal(fast, factor * slow)
    counted = frames_of_clip(50, part="test")
    np.testing.assert_array_equal(slow, counted)
    np.testing.assert_array_equal(_window_frames([0.0] * 50, recipe), counted)
    short = _window_frames((np.arange(30) / 60).tolist(), replace(recipe, short="drop"))
    np.testing.assert_array_equal(
        short, frames_of_clip(30, part="test", grid=frames_on_grid(np.arange(30) / 60), short="edge")
    )


def test_the_protocol_line_states_the_grid_and_the_deviation(crops: Path) -> None:
    by_number, by_time = (
        make_experiment(crops, quick(**changes), fold=3, seed=0).protocol()
        for changes in ({}, {"sample_by": "time", "reference_fps": 12.5})
    )
    assert "sampler segments-8x2; " in by_number
    assert "sampler segments-8x2 by time (nearest frames to 12.5 points per second); " in by_time
    assert "differs from the default protocol in sample_by time (default frames)" in by_time
    assert placement("frames", 25.0) == ""
    assert {preset.values["sample_by"] for preset in PRESETS.values()} == {"frames"}


def test_training_on_crops_without_times_says_what_to_set(crops: Path) -> None:
    experiment = make_experiment(crops, quick(sample_by="time"), fold=3, seed=0)
    with pytest.raises(UsageError, match=r"clips? without times .* sample_by = 'frames' counts frames"):
        FaceClipDataset(experiment.data, clip_ids=experiment.train_ids, draw=frame_draw(experiment.recipe, seed=0))


def test_an_export_keeps_the_placement_and_older_settings_count_frames(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"graph")
    options = {"class_names": ("a", "b"), "protocol": "", "is_synthetic": False}
    model = LSTPNet(2, width_multiplier=0.125)
    facts = description(model, path, recipe=asdict(BY_TIME), **options)  # type: ignore[arg-type]
    assert (facts["sample_by"], facts["reference_fps"]) == ("time", 30.0)
    assert {"sample_by", "reference_fps"} <= {*_SETTINGS, *_LATER}
    old = {key: value for key, value in asdict(BY_TIME).items() if key not in ("sample_by", "reference_fps")}
    assert (stored_recipe(old).sample_by, stored_recipe(old).reference_fps) == ("frames", 25.0)
