"""Recipe: every setting of a training run, where each value came from, and the shipped recipe files.

A flag beats `--set KEY=VALUE`, which beats the recipe file, which beats the default.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

from dfer_data.config import canonical_json
from dfer_data.errors import UsageError

InputNorm = Literal["none", "per-frame"]
Precision = Literal["auto", "bf16", "f32"]
Validation = Literal["none", "blocks"]
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "input_norm": get_args(InputNorm),
    "precision": get_args(Precision),
    "val": get_args(Validation),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("one-cycle", "cosine", "step"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a run; two runs with equal recipes, data, fold and seed are the same experiment."""

    name: str
    """Name of the recipe file."""
    width_multiplier: float = 1.0
    """Of the network's channels; 1 is the paper's."""
    size_px: int = 224
    """Side of the picture the network sees."""
    input_norm: InputNorm = "none"
    """`none`: pixels / 255, as LSTPNet; `per-frame`: each frame to zero mean and unit deviation."""
    frame_epochs: int = 0
    """Epochs of a first stage on single frames."""
    epochs: int = 100
    """Epochs on clips."""
    batch_size: int = 32
    """Clips a step."""
    optimizer: str = "sgd"
    """`adamw` or `sgd` (momentum 0.9)."""
    learning_rate: float = 0.01
    """Peak rate of each stage."""
    weight_decay: float = 1e-4
    """Of all weights."""
    schedule: str = "step"
    """`one-cycle` and `cosine` over each stage; `step`: x 0.1 every 40 epochs."""
    label_smoothing: float = 0.0
    """Share of the target spread over all classes."""
    flip: float = 0.5
    """Probability of mirroring a training clip."""
    precision: Precision = "auto"
    """`auto`: bf16 autocast where the device computes in it, else f32."""
    val: Validation = "none"
    """`blocks` holds out one contiguous block of ids per class of the train part and adds the checkpoint `best`."""
    controls: bool = False
    """Also test on one repeated frame and on shuffled frames."""
    min_frames: int = 0
    """Leave out clips with fewer frames, in train and test (LSTPNet: 16); named in the protocol line."""

    def __post_init__(self) -> None:
        """Collect every fault and raise them as one UsageError."""
        faults = [
            f"{key} = {getattr(self, key)!r}: one of {', '.join(known)} is needed"
            for key, known in _CHOICES.items()
            if getattr(self, key) not in known
        ]
        least = {"epochs": 1, "batch_size": 2, "size_px": 32, "frame_epochs": 0, "min_frames": 0}
        faults += [
            f"{key} = {getattr(self, key)}: at least {low}" for key, low in least.items() if getattr(self, key) < low
        ]
        for key in ("learning_rate", "width_multiplier"):
            if not 0 < getattr(self, key) < math.inf:
                faults.append(f"{key} = {getattr(self, key)}: more than 0 is needed")
        if self.width_multiplier % 0.125:
            faults.append(f"width_multiplier = {self.width_multiplier}: a multiple of 0.125 is needed")
        for key in ("flip", "label_smoothing", "weight_decay"):
            if not 0 <= getattr(self, key) <= 1:
                faults.append(f"{key} = {getattr(self, key)}: 0 to 1 is needed")
        if faults:
            raise UsageError(f"recipe {self.name}: " + "; ".join(faults))

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON of all settings, 64 hex digits."""
        return hashlib.sha256(canonical_json(dataclasses.asdict(self))).hexdigest()


@dataclass(frozen=True)
class Resolved:
    """A recipe and where each of its values came from."""

    recipe: Recipe
    """Settings."""
    origins: Mapping[str, str]
    """Key -> `default`, the recipe file, or `command line`."""


def recipe_names() -> tuple[str, ...]:
    """Return the names of the shipped recipes."""
    files = resources.files("lstpnet").joinpath("recipes").iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def resolve_recipe(name_or_path: str, *, overrides: Mapping[str, Any] | None = None) -> Resolved:
    """Read a shipped recipe by name, or a file by path, and put `overrides` on top.

    Raises UsageError with every unknown key and wrong value at once.
    """
    name, values = _read(name_or_path)
    origins = dict.fromkeys(_fields(), "default") | dict.fromkeys(values, f"recipe {name}")
    changed = dict(overrides or {})
    origins |= dict.fromkeys(changed, "command line")
    faults = [f"unknown key {key!r}" for key in {**values, **changed} if key not in _fields()]
    if faults:
        raise UsageError(f"recipe {name}: {'; '.join(sorted(faults))}; known: {', '.join(_fields())}")
    merged = {key: _widened(key, value) for key, value in {**values, **changed}.items()}
    faults = [f"{key} = {value!r} is not {_word(key)}" for key, value in merged.items() if not _fits(key, value)]
    if faults:
        raise UsageError(f"recipe {name}: {'; '.join(faults)}")
    return Resolved(Recipe(name=name, **merged), origins)


def parse_overrides(lines: Sequence[str]) -> dict[str, Any]:
    """Turn `KEY=VALUE` texts into values as TOML reads them; a bare word is a string. UsageError without `=`."""
    values: dict[str, Any] = {}
    for line in lines:
        key, separator, text = line.partition("=")
        if not separator:
            raise UsageError(f"--set {line}: KEY=VALUE is needed, for example --set epochs=10")
        try:
            values[key.strip()] = tomllib.loads(f"v = {text}")["v"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return values


def _fields() -> dict[str, str]:
    """Return settable keys and the names of their types; `name` is the file's."""
    return {field.name: str(field.type) for field in dataclasses.fields(Recipe) if field.name != "name"}


def _read(name_or_path: str) -> tuple[str, dict[str, Any]]:
    path = Path(name_or_path)
    if path.suffix == ".toml":
        name, source = path.stem, path
        if not path.is_file():
            raise UsageError(f"--recipe {path}: no such file; shipped recipes: {', '.join(recipe_names())}")
        content = path.read_bytes()
    else:
        if name_or_path not in recipe_names():
            raise UsageError(
                f"unknown recipe {name_or_path!r}; shipped: {', '.join(recipe_names())}, or a path to a .toml"
            )
        name, source = name_or_path, path
        content = resources.files("lstpnet").joinpath("recipes", f"{name}.toml").read_bytes()
    try:
        return name, tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{source} is not TOML: {error}") from error


def _widened(key: str, value: Any) -> Any:
    """Whole numbers pass for floats."""
    return float(value) if _fields()[key] == "float" and type(value) is int else value


def _fits(key: str, value: Any) -> bool:
    """Whether a value has its field's type; True is no number."""
    return type(value) is {"float": float, "int": int, "bool": bool}.get(_fields()[key], str)


def _word(key: str) -> str:
    words = {"float": "a number", "int": "a whole number", "bool": "true or false"}
    return words.get(_fields()[key], "text")
