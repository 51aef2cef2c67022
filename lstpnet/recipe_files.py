"""Recipe files: the shipped ones by name, others by path, and where each value of a resolved recipe came from.

A flag beats `--set KEY=VALUE`, which beats the protocol asked for, which beats the recipe file, which beats the
default. A protocol named in the recipe file is below the file's other keys.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from dfer_data.errors import UsageError, did_you_mean
from dfer_data.settings import check, settings_of, with_absent
from lstpnet.models.catalogue import DEFAULT_MODEL, NETWORKS, NUM_FRAMES, is_custom
from lstpnet.protocol import PRESETS, preset
from lstpnet.recipe import Recipe

FULL_SIZE_CLIPS = 1000
"""With fewer clips, a dataset without its own recipe is not trained at DFEW's full size."""


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe and where each of its values came from."""

    recipe: Recipe
    origins: Mapping[str, str]
    """Key -> `default`, the recipe file, the protocol, `command line`, `custom model`, or `model NAME`."""
    choice: str = ""
    """Why this recipe was chosen for a dataset without its own; empty otherwise."""


def stored_recipe(settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe from the stored settings of a run.

    A setting that did not exist when the run was made gets the value of the behaviour at that time. Raises KeyError if
    a setting that every run stores is missing.
    """
    known = {field.name for field in dataclasses.fields(Recipe)}
    return Recipe(**with_absent(Recipe, {key: value for key, value in settings.items() if key in known}))


def recipe_names() -> tuple[str, ...]:
    """Return the names of the shipped recipes."""
    files = resources.files("lstpnet").joinpath("recipes").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def recipe_of(dataset: str, *, num_clips: int, has_gpu: bool, model: str = "") -> tuple[str, str]:
    """Return the default recipe of a dataset, and the reason for it unless it is the dataset's own.

    A dataset without its own recipe is trained at DFEW's full size if it is large and there is a GPU, else small.
    `model`: the network that the user names; its recipe for the dataset, if one is shipped, is the default.
    """
    if f"{dataset}-{model}" in recipe_names():
        return f"{dataset}-{model}", f"the settings of {model}'s authors on {dataset}; the other is --recipe {dataset}"
    if dataset in recipe_names():
        return dataset, ""
    name, other = ("dfew", "small") if has_gpu and num_clips >= FULL_SIZE_CLIPS else ("small", "dfew")
    device = "a GPU" if has_gpu else "no GPU"
    return name, f"chosen for {num_clips} clips and {device}, as {dataset} has no recipe; the other is --recipe {other}"


def resolve_recipe(
    name_or_path: str, *, overrides: Mapping[str, Any] | None = None, dataset: str = "", trust_model: bool = True
) -> ResolvedRecipe:
    """Read a shipped recipe by name, or a file by path, and apply protocol and `overrides`.

    `dataset`: some protocols differ between datasets. `trust_model`: whether the file may name a custom model, which is
    code; `overrides` may always. Raises UsageError with every unknown key and wrong value, and for such a file.
    """
    name, values = _read(name_or_path)
    overrides = dict(overrides or {})
    known = settings_of(Recipe)
    given = {**values, **overrides}
    unknown = [f"unknown key {key!r}{did_you_mean(key, known)}" for key in given if key not in known]
    if unknown:
        _, faults, _ = check(Recipe, {key: value for key, value in given.items() if key in known})
        words = "; ".join([*sorted(unknown), *faults])
        raise UsageError(f"recipe {name}: {words}; known: {', '.join(known)}")
    protocol = overrides.get("protocol", values.get("protocol"))
    file_layer = (values, f"recipe {name}")
    protocol_layer = (_protocol_values(protocol, dataset=dataset), f"protocol {protocol}")
    layers = (file_layer, protocol_layer) if "protocol" in overrides else (protocol_layer, file_layer)
    merged: dict[str, Any] = {}
    origins = dict.fromkeys(known, "default")
    for layer, origin in (*layers, (overrides, "command line")):
        merged |= layer
        origins |= dict.fromkeys(layer, origin)
    if is_custom(str(merged.get("model", ""))) and "model" not in overrides and not trust_model:
        raise UsageError(
            f"recipe {name_or_path} names code to run, model = {merged['model']!r}, and no option names that recipe; "
            f"read the code, then give --trust-model, or --recipe {name_or_path}, to run it"
        )
    for key, (value, origin) in _values_of_model(values, overrides, merged).items():
        merged[key], origins[key] = value, origin
    return ResolvedRecipe(Recipe(name=name, **merged), origins)


def _values_of_model(
    values: Mapping[str, Any], overrides: Mapping[str, Any], merged: Mapping[str, Any]
) -> dict[str, tuple[Any, str]]:
    """Return the keys that a network sets which the recipe file was not written for: key -> value, origin.

    Such a network is not trained on single frames, and reads frames of its published size unless the recipe's are
    smaller and fit. `values`, `overrides`: of the file and the options; `merged`: both.
    """
    model = merged.get("model", DEFAULT_MODEL) or DEFAULT_MODEL
    if not isinstance(model, str) or model == (values.get("model", DEFAULT_MODEL) or DEFAULT_MODEL):
        is_for_model = "frame_epochs" in overrides or {"model", "frame_epochs"} <= values.keys()
        has_frames = isinstance(model, str) and is_custom(model) and merged.get("frame_epochs") and not is_for_model
        return {"frame_epochs": (0, "custom model")} if has_frames else {}
    origin = "custom model" if is_custom(model) else f"model {model}"
    changes: dict[str, tuple[Any, str]] = {}
    if merged.get("frame_epochs") and model != DEFAULT_MODEL and "frame_epochs" not in overrides:
        changes["frame_epochs"] = 0, origin  # it need not accept clips of one frame
    if (facts := NETWORKS.get(model)) is not None:
        size_px = merged.get("size_px", settings_of(Recipe)["size_px"].default)
        fits = isinstance(size_px, int) and size_px <= facts.size_px and facts.takes_size(size_px)
        if not fits and "size_px" not in overrides:
            changes["size_px"] = facts.size_px, origin
        num_frames = merged.get("num_frames", settings_of(Recipe)["num_frames"].default)
        if "num_frames" not in overrides and isinstance(num_frames, int) and not facts.takes_frames(num_frames):
            changes["num_frames"] = NUM_FRAMES, origin
    return changes


def _protocol_values(name: Any, *, dataset: str) -> dict[str, Any]:
    """Return the recipe keys of a protocol; {} for an unknown one, which later checks report."""
    return dict(preset(name, dataset=dataset).values) if isinstance(name, str) and name in PRESETS else {}


def renamed(resolved: ResolvedRecipe, name: str) -> ResolvedRecipe:
    """Return the recipe under another name, used for run folders and rows. Raises UsageError for a bad folder name."""
    if not name.strip() or "/" in name or "\\" in name or name.startswith("."):
        raise UsageError(f"--name {name!r}: expected a folder name without slashes or a leading dot")
    return dataclasses.replace(resolved, recipe=dataclasses.replace(resolved.recipe, name=name))


def recipe_text(name_or_path: str) -> str:
    """Return the text of a shipped recipe, or of a file by path. Raises UsageError if it is missing or not text."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        if not path.is_file():
            raise UsageError(f"--recipe {path}: no such file; shipped recipes: {', '.join(recipe_names())}")
        content = path.read_bytes()
    else:
        if name_or_path not in recipe_names():
            raise UsageError(
                f"unknown recipe {name_or_path!r}{did_you_mean(name_or_path, recipe_names())}; "
                f"shipped: {', '.join(recipe_names())}, or a path to a .toml"
            )
        content = resources.files("lstpnet").joinpath("recipes", f"{name_or_path}.toml").read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def _read(name_or_path: str) -> tuple[str, dict[str, Any]]:
    text, path = recipe_text(name_or_path), Path(name_or_path)
    try:
        return path.stem if path.suffix == ".toml" else name_or_path, tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for a number of thousands of digits, and for deep lists
        raise UsageError(f"{path} is not TOML: {error}") from error
