from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dfer_data import read_clip
from dfer_data.errors import UsageError
from lstpnet.batches.view_crops import cropped_views, num_test_views, read_size_px, view_words
from lstpnet.evaluation.clip_logits import predict_clips
from lstpnet.evaluation.frame_attention import why_no_attention
from lstpnet.recipe import Recipe
from lstpnet.training.experiment import make_experiment
from lstpnet.training.initial_model import _num_predicted_views, network_of_recipe
from tests.lstpnet.conftest import quick

CPU = torch.device("cpu")


def recipe_of(**changes: object) -> Recipe:
    return quick(size_px=32, **changes).recipe


def test_views_are_the_samplers_times_the_crops_from_corner_to_corner() -> None:
    recipe = recipe_of(test_size_px=40, test_crops=3, sampler="strided-window-4")
    assert (num_test_views(recipe), read_size_px(recipe)) == (6, 40)
    frames = torch.arange(2 * 2 * 40 * 40).reshape(2, 2, 1, 1, 40, 40).expand(2, 2, 1, 3, 40, 40)
    out = cropped_views(frames, recipe)
    assert out.shape == (2, 6, 1, 3, 32, 32)
    for view in range(2):
        for number, start in enumerate((0, 4, 8)):
            wanted = frames[:, view, ..., start : start + 32, start : start + 32]
            assert torch.equal(out[:, 3 * view + number], wanted)


def test_one_crop_is_the_middle_and_none_the_whole_frame() -> None:
    frames = torch.rand(1, 1, 1, 3, 41, 41)
    assert torch.equal(cropped_views(frames, recipe_of(test_size_px=41)), frames[..., 4:36, 4:36])
    whole = frames[..., :32, :32]
    assert cropped_views(whole, recipe_of()) is whole


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"sampler": "strided-window-4"}, ", 2 test views averaged"),
        ({"test_size_px": 40}, ", centre crop of 40 px test frames"),
        ({"test_size_px": 40, "test_crops": 2}, ", 2 test views averaged, 2 diagonal crops of 40 px test frames"),
    ],
)
def test_the_protocol_line_names_them(crops: Path, changes: dict[str, object], words: str) -> None:
    assert view_words(recipe_of(**changes)) == words
    line = make_experiment(crops, quick(**changes), fold=3, seed=0).protocol()
    assert f"{changes.get('sampler', 'segments-8x2')}{words};" in line
    assert ("test_crops 2 (default 1)" in line) == ("test_crops" in changes)


def test_two_crops_are_predicted_and_averaged_as_probabilities(crops: Path) -> None:
    recipe, ids = recipe_of(test_size_px=40, test_crops=2), ("00003", "00004", "00022")
    model: nn.Module = network_of_recipe(recipe, num_classes=7, seed=0).eval()
    logits = predict_clips(model, crops, ids, recipe=recipe, device=CPU, dtype=None)
    for clip_id, row in zip(ids, logits, strict=True):
        clip = torch.from_numpy(read_clip(crops, clip_id, size_px=40)).float()[None] / 255
        with torch.no_grad():
            corners = [model(clip[..., :32, :32]), model(clip[..., 8:, 8:])]
        wanted = torch.stack([corner.softmax(dim=1) for corner in corners]).mean(dim=0)[0]
        np.testing.assert_allclose(np.exp(row), wanted.numpy(), atol=1e-5)
        assert (corners[0] - corners[1]).abs().max() > 1e-4
    assert "test_crops 2 has 2 views" in why_no_attention(model, recipe)


def test_the_estimate_counts_every_view_that_a_run_predicts(crops: Path) -> None:
    plain = make_experiment(crops, quick(), fold=3, seed=0)
    assert _num_predicted_views(plain) == len(plain.seen_test_ids) == 13
    changes = {"val": "blocks", "controls": True, "test_size_px": 40, "test_crops": 2, "select": "test-best"}
    dear = make_experiment(crops, quick(**changes), fold=3, seed=0)
    num_val = len(dear.val_ids)
    at_the_end = 5 * 13 + 3 * num_val  # last, best and test-best, two controls; a temperature of each checkpoint
    assert _num_predicted_views(dear) == 2 * (2 * (num_val + 13) + at_the_end)
    again = make_experiment(crops, quick(**changes, refit=True), fold=3, seed=0)
    assert _num_predicted_views(again) == _num_predicted_views(dear) + 2 * 13


def test_crops_of_frames_without_room_are_refused() -> None:
    with pytest.raises(UsageError, match="the crops of square frames of size_px are the same pixels"):
        recipe_of(test_crops=2)
