from __future__ import annotations

import dataclasses
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from dfer_data.errors import UsageError
from lstpnet.models.catalogue import NETWORKS
from lstpnet.recipe import Recipe
from lstpnet.recipe_files import recipe_names, recipe_of, resolve_recipe

KEYS = [field.name for field in dataclasses.fields(Recipe) if field.name != "name"]


def recipe_file(name: str) -> str:
    return resources.files("lstpnet").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_say_what_they_are_for_and_what_they_cost(name: str) -> None:
    text = recipe_file(name)
    for word in ("Command", "Hardware"):
        assert re.search(rf"^# {word}: +\S", text, flags=re.MULTILINE)
    resolved = resolve_recipe(name)
    assert resolved.recipe.name == name
    for key, value in tomllib.loads(text).items():
        assert getattr(resolved.recipe, key) == value
        assert resolved.origins[key] == f"recipe {name}"


def test_the_recipes_of_the_datasets_are_shipped() -> None:
    of_networks = {f"dfew-{name}" for name in NETWORKS if name != "lstpnet"}
    others = {"demo", "demo-networks", "small", "dfew", "ferv39k", "afew", "mafw", "cremad", "ravdess"}
    assert others | of_networks | {"dfew-r3d_18-ec-stfl"} == set(recipe_names())


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "lstpnet"])
def test_a_network_that_is_named_brings_its_recipe_of_the_dataset(name: str) -> None:
    found, reason = recipe_of("dfew", num_clips=9000, has_gpu=True, model=name)
    assert (found, resolve_recipe(found).recipe.model) == (f"dfew-{name}", name)
    assert reason.startswith(f"the settings of {name}'s authors on dfew")
    assert resolve_recipe(found, overrides={"model": name}).recipe == resolve_recipe(found).recipe
    assert recipe_of("ferv39k", num_clips=9000, has_gpu=True, model=name) == ("ferv39k", "")


@pytest.mark.parametrize(
    ("dataset", "num_clips", "has_gpu", "name", "reason"),
    [
        ("dfew", 6, False, "dfew", ""),
        ("folder", 6, False, "small", "chosen for 6 clips and no GPU, as folder has no recipe; the other is --recipe "),
        ("folder", 999, True, "small", "chosen for 999 clips and a GPU, as folder has no recipe; the other is "),
        (
            "csv",
            1000,
            True,
            "dfew",
            "chosen for 1000 clips and a GPU, as csv has no recipe; the other is --recipe small",
        ),
        ("lists", 50_000, False, "small", "chosen for 50000 clips and no GPU, as lists has no recipe; the other is "),
    ],
)
def test_a_dataset_without_a_recipe_is_trained_small_if_it_is_small_or_there_is_no_gpu(
    dataset: str, num_clips: int, has_gpu: bool, name: str, reason: str
) -> None:
    found = recipe_of(dataset, num_clips=num_clips, has_gpu=has_gpu)
    assert found[0] == name
    assert found[1].startswith(reason)
    assert bool(found[1]) == bool(reason)


def test_a_custom_model_has_no_stage_on_single_frames_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert resolve_recipe("demo").recipe.frame_epochs == 12
    off = resolve_recipe("demo", overrides={"model": "m:build"})
    assert (off.recipe.frame_epochs, off.origins["frame_epochs"]) == (0, "custom model")
    on = resolve_recipe("demo", overrides={"model": "m:build", "frame_epochs": 3})
    assert (on.recipe.frame_epochs, on.origins["frame_epochs"]) == (3, "command line")
    (tmp_path / "mine.toml").write_text('model = "m:build"\nframe_epochs = 4\n')
    assert resolve_recipe(str(tmp_path / "mine.toml")).recipe.frame_epochs == 4


def test_origins_say_where_each_value_came_from(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("epochs = 7\nbatch_size = 4\n")
    resolved = resolve_recipe(str(tmp_path / "mine.toml"), overrides={"batch_size": 6, "val": "blocks"})
    recipe = resolved.recipe
    assert (recipe.name, recipe.epochs, recipe.batch_size, recipe.val, recipe.size_px) == ("mine", 7, 6, "blocks", 224)
    origins = dict.fromkeys(KEYS, "default") | {"epochs": "recipe mine"}
    assert resolved.origins == origins | dict.fromkeys(("batch_size", "val"), "command line")


def test_a_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbfepochs = 7\n")
    assert resolve_recipe(str(tmp_path / "mine.toml")).recipe.epochs == 7


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"epochs = \n", ["mine.toml is not TOML"]),
        (b"# caf\xe9\nepochs = 1\n", ["mine.toml is not TOML"]),
        (
            b"epoch = 1\nbatchsize = 2\n[network]\nwidth = 1\n",
            ["'batchsize'", "'epoch'", "'network'", "known: width_mul"],
        ),
        (b'name = "x"\n', ["unknown key 'name'"]),
        (b"epochs = " + b"1" * 5000, ["mine.toml is not TOML"]),
        (b"epochs = " + b"[" * 5000, ["mine.toml is not TOML"]),
        (b"epoch = 1\nflip = true\nbatch_size = 0\n", ["'epoch'", "flip = True: must be", "batch_size = 0: must be"]),
    ],
)
def test_faulty_recipe_files(tmp_path: Path, content: bytes, words: list[str]) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        resolve_recipe(str(tmp_path / "mine.toml"))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["dfewww", "nowhere/mine.toml"])
def test_an_unknown_recipe_lists_the_shipped_ones(name: str) -> None:
    with pytest.raises(UsageError, match=rf"{re.escape(name)}.*shipped.*: {', '.join(recipe_names())}"):
        resolve_recipe(name)


@pytest.mark.parametrize(
    ("overrides", "faults"),
    [
        (
            {"epoch": 1, "lr": 0.1},
            ["unknown key 'epoch' (did you mean epochs?); unknown key 'lr' (did you mean learning_rate?)"],
        ),
        ({"epochs": 1.5}, ["epochs = 1.5: must be a whole number of 1 or more"]),
        ({"epochs": True}, ["epochs = True: must be a whole number of 1 or more"]),
        ({"epochs": "ten"}, ["epochs = 'ten': must be a whole number of 1 or more"]),
        ({"learning_rate": "fast"}, ["learning_rate = 'fast': must be a number more than 0"]),
        ({"flip": True}, ["flip = True: must be a number from 0 to 1"]),
        ({"controls": 1}, ["controls = 1: must be true or false"]),
        ({"schedule": 3}, ["schedule = 3: must be one-cycle, cosine or step"]),
        ({"val": ["blocks"]}, ["val = ['blocks']: must be none, blocks, groups, random or official"]),
        (
            {"epochs": "ten", "flip": "x", "val": 1},
            [
                "epochs = 'ten': must be a whole number of 1 or more",
                "flip = 'x': must be a number from 0 to 1",
                "val = 1: must be none, blocks, groups, random or official",
            ],
        ),
        ({"val": "fold"}, ["val = 'fold': must be none, blocks, groups, random or official"]),
        (
            {"sampler": "random"},
            ["sampler = 'random': must be segments-8x2, segments-16x1, uniform, m3dfel, "],
        ),
        ({"short": "pad"}, ["short = 'pad': must be edge, loop, zero, drop or formula"]),
        ({"select": "best"}, ["select = 'best': must be last, val-best or test-best"]),
        ({"select_by": "f1"}, ["select_by = 'f1': must be war, uar or war+uar"]),
        ({"protocol": "nobody"}, ["protocol = 'nobody': must be default, lstpnet, former-dfer, dfer-clip or mae-dfer"]),
        ({"val_share": 1}, ["val_share = 1: must be a number more than 0 and less than 1"]),
        ({"attention": "gct"}, ["attention = 'gct': must be tce, eca, se, cbam or none"]),
        ({"temporal": "tcn"}, ["temporal = 'tcn': must be lstformer, transformer, lstm, gru or mean"]),
        ({"num_heads": 7}, ["num_heads = 7: must divide 128 dimensions"]),
        (
            {"num_layers": 0, "num_heads": 0},
            [
                "num_layers = 0: must be a whole number of 1 or more",
                "num_heads = 0: must be a whole number of 1 or more",
            ],
        ),
        ({"refit": True}, ["refit = true needs held-out clips"]),
        ({"select": "val-best"}, ["select = 'val-best' needs held-out clips"]),
        ({"precision": "f8"}, ["precision = 'f8': must be auto, bf16, f16, tf32 or f32"]),
        ({"input_norm": "vgg"}, ["input_norm = 'vgg': must be none, per-frame, imagenet, kinetics or clip"]),
        ({"test_size_px": 32}, ["test_size_px = 32: must be 0, or at least size_px = 64"]),
        ({"test_crops": 2}, ["test_crops needs test_size_px > size_px"]),
        (
            {"min_learning_rate": 1e-6, "warmup_learning_rate": 1},
            [
                "min_learning_rate needs schedule = 'cosine'",
                "warmup_learning_rate needs warmup_epochs",
                "warmup_learning_rate is greater than learning_rate",
            ],
        ),
        ({"randaugment_magnitude": 11}, ["randaugment_magnitude = 11: must be a number from 0 to 10"]),
        ({"optimizer": "adam"}, ["optimizer = 'adam': must be adamw or sgd"]),
        ({"schedule": "linear"}, ["schedule = 'linear': must be one-cycle, cosine or step"]),
        ({"epochs": 0}, ["epochs = 0: must be a whole number of 1 or more"]),
        ({"batch_size": 1}, ["batch_size = 1: must be a whole number of 2 or more"]),
        ({"size_px": 16}, ["size_px = 16: must be a whole number of 32 or more"]),
        ({"frame_epochs": -1}, ["frame_epochs = -1: must be a whole number of 0 or more"]),
        ({"min_frames": -1}, ["min_frames = -1: must be a whole number of 0 or more"]),
        ({"learning_rate": 0}, ["learning_rate = 0: must be a number more than 0"]),
        ({"learning_rate": float("nan")}, ["learning_rate = nan: must be a number more than 0"]),
        ({"learning_rate": float("inf")}, ["learning_rate = inf: must be a number more than 0"]),
        ({"width_multiplier": -0.25}, ["width_multiplier = -0.25: must be a multiple of 0.125 more than 0"]),
        (
            {"width_multiplier": 0.3},
            [
                "width_multiplier = 0.3: must be a multiple of 0.125 more than 0",
                "num_heads = 8: must divide 153.6 dimensions",
            ],
        ),
        ({"flip": 1.5}, ["flip = 1.5: must be a number from 0 to 1"]),
        ({"label_smoothing": -0.1}, ["label_smoothing = -0.1: must be a number from 0 to 1"]),
        ({"weight_decay": float("nan")}, ["weight_decay = nan: must be a number from 0 to 1"]),
        ({"crop": 0}, ["crop = 0: must be a number more than 0 and at most 1"]),
        ({"rotation_degrees": 200}, ["rotation_degrees = 200: must be a number from 0 to 180"]),
        ({"mixup": -1}, ["mixup = -1: must be a number of 0 or more"]),
        ({"ema": 1}, ["ema = 1: must be a number of 0 or more and less than 1"]),
        ({"accumulate": 0}, ["accumulate = 0: must be a whole number of 1 or more"]),
        ({"warmup_epochs": 2}, ["warmup_epochs: the schedule one-cycle has its own warm-up"]),
        ({"intensity": 0.1, "mixup": 1}, ["intensity needs one label per clip"]),
        ({"auxiliary": 0.05}, ["auxiliary needs a network with an auxiliary classifier: model = 'gca'"]),
        ({"auxiliary": 0.05, "model": "m:build"}, ["auxiliary works only with networks of `dfer model list`"]),
        ({"votes_loss": "dirichlet-multinomial"}, ["votes_loss = 'dirichlet-multinomial' needs targets = 'votes'"]),
        (
            {"votes_loss": "dirichlet-multinomial", "targets": "votes", "mixup": 0.2, "class_weights": "inverse"},
            ["votes_loss = 'dirichlet-multinomial' does not go with mixup, class_weights"],
        ),
        (
            {"votes_loss": "dirichlet-multinomial", "targets": "votes", "model": "m:build"},
            ["votes_loss = 'dirichlet-multinomial' works only with networks of `dfer model list`"],
        ),
        ({"neutral_class": 2}, ["neutral_class = 2: model lstpnet takes only width_multiplier"]),
        ({"clustered": 10, "targets": "votes"}, ["clustered needs one label per clip, and targets"]),
        ({"center": 1e-4, "cutmix": 1}, ["center needs one label per clip"]),
        ({"clustered_form": "l2"}, ["clustered_form = 'l2': must be paper, code or ratio"]),
        ({"model": "m:b", "recompute": True}, ["recompute works only with LSTPNet"]),
        ({"model": "r3d_18", "recompute": True}, ["recompute works only with LSTPNet"]),
        ({"model": "resnet"}, ["unknown model 'resnet'; known: lstpnet, r3d_18"]),
        ({"model": "stt"}, ["stt cannot be built: its authors published no code"]),
        ({"model": 3}, ["unknown model '3'; known: lstpnet, r3d_18"]),
        ({"model": 0, "epochs": 0}, ["unknown model '0'", "epochs = 0: must be a whole number of 1 or more"]),
        ({"min_frames": 10**31}, [f"min_frames = {10**31}: must be a whole number of 0 or more, at most {2**63 - 1}"]),
        (
            {"num_heads": 10**400},
            ["num_heads = 1000", f"000: must be a whole number of 1 or more, at most {2**63 - 1}"],
        ),
        (
            {"model": "c3d", "size_px": 64, "num_frames": 8, "frame_epochs": 2, "depth": 1, "attention": "eca"},
            [
                "num_frames = 8: model c3d takes 16 frames",
                "size_px = 64: model c3d takes frames of 112 px",
                "frame_epochs = 2: model c3d takes no single frames",
                "depth = 1: model c3d takes only width_multiplier",
                "attention = 'eca': model c3d takes only width_multiplier",
            ],
        ),
        ({"depth": 2}, ["depth = 2: model lstpnet takes only width_multiplier, attention"]),
        (
            {"epochs": 0, "flip": 2, "val": "fold"},
            [
                "epochs = 0: must be a whole number of 1 or more",
                "flip = 2: must be a number from 0 to 1",
                "val = 'fold': must be none, blocks, groups, random or official",
            ],
        ),
    ],
)
def test_all_faults_are_told_at_once(overrides: dict[str, Any], faults: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^recipe demo: ") as caught:
        resolve_recipe("demo", overrides=overrides)
    for fault in faults:
        assert fault in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_whole_numbers_pass_for_fractions() -> None:
    recipe = resolve_recipe("demo", overrides={"learning_rate": 1}).recipe
    assert repr(recipe.learning_rate) == "1.0"
    assert recipe.sha256 == resolve_recipe("demo", overrides={"learning_rate": 1.0}).recipe.sha256


@pytest.mark.parametrize(
    ("recipe", "model", "size_px", "frame_epochs"),
    [
        ("dfew", "former-dfer", 112, 0),
        ("dfew", "videomae-b16", 160, 0),
        ("demo", "videomae-b16", 64, 0),
        ("demo", "c3d", 112, 0),
        ("demo", "lstpnet", 64, 12),
        ("demo", "", 64, 12),
    ],
)
def test_another_network_brings_its_size_and_no_stage_on_frames(
    recipe: str, model: str, size_px: int, frame_epochs: int
) -> None:
    resolved = resolve_recipe(recipe, overrides={"model": model})
    assert (resolved.recipe.size_px, resolved.recipe.frame_epochs) == (size_px, frame_epochs)
    assert resolved.recipe.model == (model or "lstpnet")
    assert ("size_px", f"model {model}") in resolved.origins.items() or size_px == 64
    asked = resolve_recipe(recipe, overrides={"model": model, "size_px": 112})
    assert (asked.recipe.size_px, asked.origins["size_px"]) == (112, "command line")


def test_the_folder_of_a_run_names_another_network() -> None:
    assert resolve_recipe("demo", overrides={"model": "r3d_18"}).recipe.label == "demo-r3d_18"
    assert resolve_recipe("demo", overrides={"model": "m:build"}).recipe.label == "demo-m.build"
    assert resolve_recipe("demo").recipe.label == "demo"
