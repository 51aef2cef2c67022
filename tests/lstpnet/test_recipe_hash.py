"""The hash of a recipe: every setting changes it, and later settings leave those of earlier recipes."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from typing import Any

import pytest

from dfer_data.storage.files import canonical_json
from lstpnet.recipe import LATER, Recipe
from lstpnet.recipe_files import resolve_recipe, stored_recipe

KEYS = [field.name for field in dataclasses.fields(Recipe) if field.name != "name"]
OTHER: dict[str, Any] = {
    "num_frames": 8,
    "width_multiplier": 0.5,
    "sample_by": "time",
    "reference_fps": 30.0,
    "size_px": 112,
    "input_norm": "none",
    "frame_epochs": 1,
    "epochs": 1,
    "batch_size": 2,
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "weight_decay": 0.5,
    "schedule": "cosine",
    "label_smoothing": 0.1,
    "flip": 0.1,
    "precision": "f32",
    "val": "blocks",
    "controls": False,
    "min_frames": 16,
    "protocol": "lstpnet",
    "recompute": True,
    "attention": "se",
    "temporal": "gru",
    "num_layers": 3,
    "num_heads": 4,
    "hidden_multiplier": 4,
    "near_conv": False,
    "ffn_conv": False,
    "sampler": "dense",
    "short": "loop",
    "val_share": 0.2,
    "select": "test-best",
    "select_by": "uar",
    "refit": True,
    "crop": 0.5,
    "rotation_degrees": 10.0,
    "brightness": 0.1,
    "contrast": 0.1,
    "saturation": 0.1,
    "erasing": 0.1,
    "mixup": 0.1,
    "cutmix": 0.1,
    "class_sampling": "sqrt",
    "step_epochs": 7,
    "step_factor": 0.5,
    "warmup_epochs": 1,
    "layer_decay": 0.9,
    "accumulate": 2,
    "clip_norm": 1.0,
    "ema": 0.9,
    "freeze_norms": True,
    "class_weights": "inverse",
    "class_beta": 0.9,
    "focal_gamma": 2.0,
    "intensity": 0.1,
    "clustered": 10.0,
    "clustered_form": "code",
    "center": 1e-4,
    "test_size_px": 72,
    "test_crops": 2,
    "weight_decay_on": "matrices",
    "warmup_learning_rate": 1e-6,
    "min_learning_rate": 1e-6,
    "randaugment_ops": 4,
    "randaugment_magnitude": 9.0,
    "randaugment_deviation": 0.0,
    "compile": True,
    "deterministic": True,
    "model": "mine:build",
    "targets": "votes",
    "resize": "linear",
    "decode": "scaled",
    "depth": 1,
    "drop_path": 0.1,
    "head_scale": 0.001,
    "neutral_class": 2,
    "auxiliary": 0.05,
    "votes_loss": "dirichlet-multinomial",
    "clip_tower": "l14",
    "adapter_rank": 4,
}
NEEDS: dict[str, dict[str, Any]] = {
    "refit": {"val": "blocks"},
    "warmup_epochs": {"schedule": "cosine"},
    "depth": {"model": "r3d_18"},
    "drop_path": {"model": "videomae-b16"},
    "head_scale": {"model": "videomae-b16"},
    "neutral_class": {"model": "nr-dfernet"},
    "auxiliary": {"model": "gca"},
    "votes_loss": {"targets": "votes"},
    "clip_tower": {"model": "clip-vit"},
    "adapter_rank": {"model": "clip-vit"},
}
NEEDS |= {"test_crops": {"test_size_px": 72}, "min_learning_rate": {"schedule": "cosine"}}
NEEDS |= {"warmup_learning_rate": {"schedule": "cosine", "warmup_epochs": 1}}
"""Keys that cannot be changed alone."""


@pytest.mark.parametrize("key", KEYS)
def test_every_setting_changes_the_hash(key: str) -> None:
    plain = resolve_recipe("demo").recipe.sha256
    assert re.fullmatch("[0-9a-f]{64}", plain)
    assert resolve_recipe("demo").recipe.sha256 == plain
    before = resolve_recipe("demo", overrides=NEEDS.get(key, {})).recipe.sha256
    assert resolve_recipe("demo", overrides={key: OTHER[key], **NEEDS.get(key, {})}).recipe.sha256 != before


def test_the_name_changes_the_hash() -> None:
    recipe = resolve_recipe("demo").recipe
    assert dataclasses.replace(recipe, name="other").sha256 != recipe.sha256


def test_settings_that_are_not_used_leave_the_hash_as_it_was() -> None:
    """Recipes and states of earlier versions have no such settings."""
    recipe = resolve_recipe("demo").recipe
    settings = dataclasses.asdict(recipe)
    earlier = {key: value for key, value in settings.items() if key not in LATER} | {"model": ""}
    assert recipe.sha256.startswith("dc8941e843ff42ea")  # of dfer with LSTPNet alone
    assert recipe.sha256 == hashlib.sha256(canonical_json(earlier)).hexdigest()
    assert stored_recipe(earlier) == recipe


def test_a_stored_recipe_without_the_form_of_its_clustered_loss_has_the_earlier_one() -> None:
    settings = dataclasses.asdict(resolve_recipe("demo", overrides={"clustered": 10}).recipe)
    form = settings.pop("clustered_form")
    earlier = stored_recipe(settings)
    assert (form, earlier.clustered_form) == ("paper", "ratio")
    assert earlier.sha256 != resolve_recipe("demo", overrides={"clustered": 10}).recipe.sha256
    hashed = {key: value for key, value in settings.items() if key not in LATER} | {"model": ""}
    assert earlier.sha256 == hashlib.sha256(canonical_json(hashed)).hexdigest()
