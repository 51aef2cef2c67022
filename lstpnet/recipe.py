"""Recipe: every setting of a training run, where each value came from, and the shipped recipe files.

Precedence, highest first: a flag, `--set KEY=VALUE`, the protocol given on the command line, the recipe file, the
default. The file's other keys override a protocol that the recipe file names.
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

from dfer_data.config import with_absent
from dfer_data.errors import UsageError
from dfer_data.frame_sampling import CLIP_FRAMES, DEFAULT_SAMPLER, DEFAULT_SHORT, SAMPLERS, SHORT_RULES
from dfer_data.storage.files import canonical_json
from lstpnet.protocol import PRESETS, preset

InputNorm = Literal["none", "per-frame"]
TrainingPrecision = Literal["auto", "bf16", "f16", "f32"]
ClassWeights = Literal["none", "inverse", "effective"]
Validation = Literal["none", "blocks", "groups", "random"]
AttentionName = Literal["tce", "eca", "se", "cbam", "none"]
Temporal = Literal["lstformer", "transformer", "lstm", "gru", "mean"]
Select = Literal["last", "val-best", "test-best"]
Targets = Literal["label", "votes"]
ClassSampling = Literal["natural", "sqrt", "balanced"]
SelectBy = Literal["war", "uar", "war+uar"]
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "input_norm": get_args(InputNorm),
    "precision": get_args(TrainingPrecision),
    "val": get_args(Validation),
    "attention": get_args(AttentionName),
    "temporal": get_args(Temporal),
    "select": get_args(Select),
    "select_by": get_args(SelectBy),
    "class_sampling": get_args(ClassSampling),
    "class_weights": get_args(ClassWeights),
    "targets": get_args(Targets),
    "sampler": tuple(SAMPLERS),
    "short": tuple(SHORT_RULES),
    "protocol": tuple(PRESETS),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("one-cycle", "cosine", "step"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of a run. Two runs with the same recipe, data, fold and seed are the same experiment."""

    name: str
    """Name of the recipe file."""
    width_multiplier: float = 1.0
    """Factor on the network's channel counts; 1 is the paper's."""
    attention: AttentionName = "tce"
    """Attention module where the paper has the TCE; `none` and other papers' modules are for comparison."""
    temporal: Temporal = "lstformer"
    """Temporal head over the frames' vectors; the others are for comparison."""
    num_layers: int = 2
    """Layers of the temporal head."""
    num_heads: int = 8
    """Attention heads of the temporal head."""
    hidden_multiplier: int = 8
    """Width of the temporal head's feed-forward part, as a multiple of the head's own width."""
    near_conv: bool = True
    """LSTformer's shared convolution over neighbouring frames."""
    ffn_conv: bool = True
    """LSTformer's convolution over time in its feed-forward parts."""
    size_px: int = 224
    """Side of the network's input frames."""
    input_norm: InputNorm = "none"
    """`none`: pixels / 255, as in LSTPNet; `per-frame`: each frame has zero mean and unit standard deviation."""
    frame_epochs: int = 0
    """Epochs of a first stage on single frames."""
    epochs: int = 100
    """Epochs on clips."""
    batch_size: int = 32
    """Clips per batch."""
    optimizer: str = "sgd"
    """`adamw` or `sgd` (momentum 0.9)."""
    learning_rate: float = 0.01
    """Peak learning rate of each stage."""
    weight_decay: float = 1e-4
    """Applies to all weights."""
    schedule: str = "step"
    """`one-cycle` and `cosine` span each stage; `step` multiplies the rate by `step_factor` every `step_epochs`."""
    step_epochs: int = 40
    """Epochs between two reductions of the schedule `step`."""
    step_factor: float = 0.1
    """Factor of each reduction of the schedule `step`."""
    warmup_epochs: int = 0
    """Epochs in which the rate rises from near 0 to its peak; `one-cycle` has its own warm-up."""
    layer_decay: float = 1.0
    """Learning rate of each part of the model, as a multiple of the rate of the next part."""
    accumulate: int = 1
    """Batches per optimizer step."""
    clip_norm: float = 0.0
    """Maximum norm of all gradients together; 0: no limit."""
    ema: float = 0.0
    """Decay of an exponential moving average of the weights, which is tested and saved instead of them; 0: none."""
    freeze_norms: bool = False
    """Batch norms keep their initial statistics."""
    class_weights: ClassWeights = "none"
    """Weight of each class in the loss: `inverse` to its number of clips, or to their `effective` number."""
    class_beta: float = 0.999
    """Beta of the effective number."""
    focal_gamma: float = 0.0
    """Gamma of the focal loss; 0: plain cross-entropy."""
    intensity: float = 0.0
    """Weight of the intensity-aware loss; its authors use 0.1."""
    clustered: float = 0.0
    """Weight of the expression-clustered loss; its authors use 10."""
    targets: Targets = "label"
    """Target of a training clip: its label, or its annotators' `votes` as shares of the classes."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    flip: float = 0.5
    """Probability of mirroring a training clip."""
    crop: float = 1.0
    """Minimum share of the area that a random crop of a training clip keeps; 1: no crop."""
    rotation_degrees: float = 0.0
    """Maximum random rotation of a training clip, in either direction."""
    brightness: float = 0.0
    """x: a random factor between 1 - x and 1 + x changes the brightness of a training clip."""
    contrast: float = 0.0
    """The same for contrast."""
    saturation: float = 0.0
    """The same for saturation."""
    erasing: float = 0.0
    """Probability of blackening a random rectangle of a training clip."""
    mixup: float = 0.0
    """Alpha of mixup; 0: none."""
    cutmix: float = 0.0
    """Alpha of CutMix; 0: none."""
    class_sampling: ClassSampling = "natural"
    """Share of each class in an epoch: proportional to its clips, to the square root of their number, or equal."""
    precision: TrainingPrecision = "auto"
    """`auto`: bf16 autocast where the device supports it, else f32. `f16` scales the loss."""
    compile: bool = False
    """Whether torch.compile compiles the training steps; the first steps then take a minute."""
    model: str = ""
    """`package.module:build` of a custom model; empty: LSTPNet."""
    recompute: bool = False
    """Keep only half of the backbone's activations and recompute the rest: less memory, more time, same numbers."""
    controls: bool = False
    """Also test with one repeated frame and with shuffled frames."""
    protocol: str = "default"
    """Preset of the keys below; the protocol line lists what differs from it."""
    sampler: str = DEFAULT_SAMPLER
    """Policy of `dfer_data.frame_sampling` that picks sixteen frames of a clip."""
    short: str = DEFAULT_SHORT
    """Rule for clips with fewer than sixteen frames; `drop` leaves them out of train and test."""
    min_frames: int = 0
    """Leave clips with fewer frames out of train and test."""
    val: Validation = "none"
    """Holdout of train: one contiguous block of ids per class, whole groups (people), or random clips."""
    val_share: float = 0.1
    """Share of train that is held out."""
    select: Select = "last"
    """`last` epoch; `val-best` adds the best epoch on the held-out clips, `test-best` the best one on the test clips.
    Several papers choose on the test clips; reports mark it everywhere."""
    select_by: SelectBy = "war"
    """Figure that decides which epoch is best."""
    refit: bool = False
    """After a choice on held-out clips, train again on all of train for as many epochs: checkpoint `refit`."""

    def __post_init__(self) -> None:
        """Check all values and raise every fault in one UsageError."""
        faults = [
            f"{key} = {getattr(self, key)!r}: one of {', '.join(known)} is needed"
            for key, known in _CHOICES.items()
            if getattr(self, key) not in known
        ]
        minimums = {"epochs": 1, "batch_size": 2, "size_px": 32, "frame_epochs": 0, "min_frames": 0}
        minimums |= {"step_epochs": 1, "warmup_epochs": 0, "accumulate": 1}
        minimums |= {"num_layers": 1, "num_heads": 1, "hidden_multiplier": 1}
        faults += [
            f"{key} = {getattr(self, key)}: at least {low}" for key, low in minimums.items() if getattr(self, key) < low
        ]
        for key in ("learning_rate", "width_multiplier", "step_factor", "layer_decay"):
            if not 0 < getattr(self, key) < math.inf:
                faults.append(f"{key} = {getattr(self, key)}: more than 0 is needed")
        for key in ("ema", "class_beta"):
            if not 0 <= getattr(self, key) < 1:
                faults.append(f"{key} = {getattr(self, key)}: 0 or more and less than 1 is needed")
        if self.schedule == "one-cycle" and self.warmup_epochs > 0:
            faults.append("warmup_epochs: the schedule one-cycle has its own warm-up; use cosine or step")
        for key in ("intensity", "clustered"):
            if getattr(self, key) > 0 and (self.mixup > 0 or self.cutmix > 0):
                faults.append(f"{key} needs one label per clip, and mixup and cutmix mix labels")
            if getattr(self, key) > 0 and self.targets == "votes":
                faults.append(f"{key} needs one label per clip, and targets = 'votes' has several")
        if self.model and (self.clustered > 0 or self.recompute):
            faults.append("clustered and recompute work only with LSTPNet, not with a custom model")
        if self.width_multiplier % 0.125:
            faults.append(f"width_multiplier = {self.width_multiplier}: a multiple of 0.125 is needed")
        if not 0 < self.val_share < 1:
            faults.append(f"val_share = {self.val_share}: more than 0 and less than 1 is needed")
        if self.val == "none" and (self.refit or self.select == "val-best"):
            setting = "refit = true" if self.refit else "select = 'val-best'"
            faults.append(f"{setting} needs held-out clips: val = 'blocks', 'groups' or 'random' (--val blocks)")
        if self.num_heads > 0 and 512 * self.width_multiplier % self.num_heads:
            faults.append(f"num_heads = {self.num_heads}: must divide {512 * self.width_multiplier:g} dimensions")
        if not 0 < self.crop <= 1:
            faults.append(f"crop = {self.crop}: more than 0 and at most 1 is needed")
        if not 0 <= self.rotation_degrees <= 180:
            faults.append(f"rotation_degrees = {self.rotation_degrees}: 0 to 180 is needed")
        for key in ("mixup", "cutmix", "clip_norm", "focal_gamma", "intensity", "clustered"):
            if not 0 <= getattr(self, key) < math.inf:
                faults.append(f"{key} = {getattr(self, key)}: 0 or more is needed")
        for key in ("flip", "label_smoothing", "weight_decay", "brightness", "contrast", "saturation", "erasing"):
            if not 0 <= getattr(self, key) <= 1:
                faults.append(f"{key} = {getattr(self, key)}: 0 to 1 is needed")
        if faults:
            raise UsageError(f"recipe {self.name}: " + "; ".join(faults))

    @property
    def network(self) -> dict[str, Any]:
        """The arguments of LSTPNet, except the number of classes."""
        return network_of(dataclasses.asdict(self))

    @property
    def class_power(self) -> float:
        """Exponent p: a class's share of an epoch is proportional to its number of clips to the power p."""
        return {"natural": 1.0, "sqrt": 0.5, "balanced": 0.0}[self.class_sampling]

    @property
    def label(self) -> str:
        """Name of the recipe, plus its protocol if that is not the default; part of the path of a run's folder."""
        return self.name if self.protocol == "default" else f"{self.name}+{self.protocol}"

    @property
    def least_frames(self) -> int:
        """Minimum number of frames of a clip; shorter clips are left out."""
        return max(self.min_frames, CLIP_FRAMES if self.short == "drop" else 0)

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of all settings, 64 hex digits."""
        return hashlib.sha256(canonical_json(dataclasses.asdict(self))).hexdigest()


_NETWORK = ("width_multiplier", "attention", "temporal", "num_layers", "num_heads", "hidden_multiplier")


def network_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of LSTPNet, except the number of classes, from the settings of a run. Raises KeyError."""
    return {key: settings[key] for key in (*_NETWORK, "near_conv", "ffn_conv")}


@dataclass(frozen=True)
class ResolvedRecipe:
    """A recipe and where each of its values came from."""

    recipe: Recipe
    origins: Mapping[str, str]
    """Key -> `default`, the recipe file, the protocol, or `command line`."""


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


def recipe_of(dataset: str) -> str:
    """Return the default recipe of a dataset: its own, else DFEW's."""
    return dataset if dataset in recipe_names() else "dfew"


def resolve_recipe(
    name_or_path: str, *, overrides: Mapping[str, Any] | None = None, dataset: str = ""
) -> ResolvedRecipe:
    """Read a shipped recipe by name, or a file by path, and apply protocol and `overrides`.

    `dataset`: some protocols differ between datasets. Raises UsageError with every unknown key or every wrong value.
    """
    name, values = _read(name_or_path)
    overrides = dict(overrides or {})
    faults = [f"unknown key {key!r}" for key in {**values, **overrides} if key not in _fields()]
    if faults:
        raise UsageError(f"recipe {name}: {'; '.join(sorted(faults))}; known: {', '.join(_fields())}")
    protocol = overrides.get("protocol", values.get("protocol"))
    file_layer = (values, f"recipe {name}")
    protocol_layer = (_protocol_values(protocol, dataset=dataset), f"protocol {protocol}")
    layers = (file_layer, protocol_layer) if "protocol" in overrides else (protocol_layer, file_layer)
    merged: dict[str, Any] = {}
    origins = dict.fromkeys(_fields(), "default")
    for layer, origin in (*layers, (overrides, "command line")):
        merged |= {key: _convert_whole_number(key, value) for key, value in layer.items()}
        origins |= dict.fromkeys(layer, origin)
    faults = [f"{key} = {value!r} is not {_type_words(key)}" for key, value in merged.items() if not _fits(key, value)]
    if faults:
        raise UsageError(f"recipe {name}: {'; '.join(faults)}")
    return ResolvedRecipe(Recipe(name=name, **merged), origins)


def _protocol_values(name: Any, *, dataset: str) -> dict[str, Any]:
    """Return the recipe keys of a protocol; {} for an unknown one, which later checks report."""
    return dict(preset(name, dataset=dataset).values) if isinstance(name, str) and name in PRESETS else {}


def parse_overrides(lines: Sequence[str]) -> dict[str, Any]:
    """Parse `KEY=VALUE` texts into values as TOML does; a bare word is a string. Raises UsageError without `=`."""
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
    """Return settable keys and the names of their types; `name` is not settable, it is the file's."""
    return {field.name: str(field.type) for field in dataclasses.fields(Recipe) if field.name != "name"}


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
                f"unknown recipe {name_or_path!r}; shipped: {', '.join(recipe_names())}, or a path to a .toml"
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
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def _convert_whole_number(key: str, value: Any) -> Any:
    """Return whole numbers as floats where the setting is a float."""
    return float(value) if _fields()[key] == "float" and type(value) is int else value


def _fits(key: str, value: Any) -> bool:
    """Return whether a value has its field's type; True is not a number."""
    return type(value) is {"float": float, "int": int, "bool": bool}.get(_fields()[key], str)


def _type_words(key: str) -> str:
    type_words = {"float": "a number", "int": "a whole number", "bool": "true or false"}
    return type_words.get(_fields()[key], "text")
