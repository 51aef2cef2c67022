"""Recipe: every setting of a training run. recipe_files.py reads recipes; docs/reference/settings.md lists all keys."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from dfer_data.loading.holdout_kinds import Validation
from dfer_data.settings import setting, validate, with_absent
from dfer_data.storage.files import canonical_json
from dfer_data.video.resize_rules import JpegScale, ResizeRule
from lstpnet.models.catalogue import DEFAULT_MODEL, is_custom
from lstpnet.models.network_config import DIRICHLET, AnyNetworkConfig, model_faults
from lstpnet.protocol import PRESETS
from lstpnet.recipes.augmentation_config import AugmentationConfig

InputNorm = Literal["none", "per-frame", "imagenet", "kinetics", "clip"]
TrainingPrecision = Literal["auto", "bf16", "f16", "tf32", "f32"]
ClassWeights = Literal["none", "inverse", "effective"]
Select = Literal["last", "val-best", "test-best"]
Targets = Literal["label", "votes", "labels"]
VotesLoss = Literal["cross-entropy", "dirichlet-multinomial"]
ClassSampling = Literal["natural", "sqrt", "balanced"]
SelectBy = Literal["war", "uar", "war+uar"]
SamplerName = Literal[
    "segments-8x2", "segments-16x1", "uniform", "m3dfel", "strided-window-4", "strided-window-1", "dense"
]
"""Names of `dfer_data.frame_sampling.SAMPLERS`."""
ShortRuleName = Literal["edge", "loop", "zero", "drop", "formula"]
"""Names of `dfer_data.frame_sampling.SHORT_RULES`."""
WeightDecayOn = Literal["all", "matrices"]
ClusteredForm = Literal["paper", "code", "ratio"]
LATER = frozenset(
    (
        *("clustered_form", "center", "test_size_px", "test_crops", "weight_decay_on"),
        *("warmup_learning_rate", "min_learning_rate"),
        *("randaugment_ops", "randaugment_magnitude", "randaugment_deviation", "depth", "drop_path", "head_scale"),
        *("neutral_class", "auxiliary", "votes_loss", "clip_tower", "adapter_rank"),
    )
)
"""Settings that the hash leaves out if they have the value that recipes without them mean, which keep their hash."""
_FRAMES_PER_SEGMENT = {"segments-8x2": 2}
_TRAINING, _INPUT = "Training", "Clips and protocol"
_SELECTION, _MODEL = "Holdout and choice of the epoch", "Model"


@dataclass(frozen=True, kw_only=True)
class Recipe(AugmentationConfig, AnyNetworkConfig):
    """Settings of a run. Two runs with the same recipe, data, fold and seed are the same experiment."""

    name: str
    """Name of the recipe file."""
    size_px: Annotated[int, Interval(ge=32)] = setting(
        224, "Side of the network's input frames, in pixels.", panel=_INPUT
    )
    input_norm: InputNorm = setting(
        "none",
        "none: pixels / 255, as in LSTPNet; per-frame: each frame has zero mean and unit standard deviation; imagenet "
        "(VideoMAE, MAE-DFER), kinetics (torchvision's 3-D ResNets), clip: that data's mean and deviation per channel.",
        panel=_INPUT,
        is_rare=True,
    )
    frame_epochs: Annotated[int, Interval(ge=0)] = setting(
        0, "Epochs of a first stage on single frames.", panel=_TRAINING, is_rare=True
    )
    test_size_px: Annotated[int, Interval(ge=0)] = setting(
        0,
        "Side at which test frames are read before they are cropped to size_px; 0: size_px.",
        panel=_INPUT,
        is_rare=True,
    )
    test_crops: Annotated[int, Interval(ge=1)] = setting(
        1,
        "Crops of each test view, averaged as probabilities: 1 in the middle, or several from corner to corner.",
        panel=_INPUT,
        is_rare=True,
    )
    epochs: Annotated[int, Interval(ge=1)] = setting(100, "Epochs on clips.", panel=_TRAINING)
    batch_size: Annotated[int, Interval(ge=2)] = setting(32, "Clips per batch.", panel=_TRAINING)
    optimizer: Literal["adamw", "sgd"] = setting("sgd", "adamw or sgd (momentum 0.9).", panel=_TRAINING, is_rare=True)
    learning_rate: Annotated[float, Interval(gt=0)] = setting(
        0.01, "Peak learning rate of each stage.", panel=_TRAINING
    )
    weight_decay: Annotated[float, Interval(ge=0, le=1)] = setting(
        1e-4, "Decay of the weights that weight_decay_on names.", panel=_TRAINING, is_rare=True
    )
    weight_decay_on: WeightDecayOn = setting(
        "all",
        "matrices: weights of 2 and more dimensions, without the positions and tokens that the model names, as in "
        "VideoMAE.",
        panel=_TRAINING,
        is_rare=True,
    )
    schedule: Literal["one-cycle", "cosine", "step"] = setting(
        "step",
        "one-cycle and cosine span each stage; step multiplies the rate by step_factor every step_epochs.",
        panel=_TRAINING,
        is_rare=True,
    )
    step_epochs: Annotated[int, Interval(ge=1)] = setting(
        40, "Epochs between two reductions of the schedule step.", panel=_TRAINING, is_rare=True
    )
    step_factor: Annotated[float, Interval(gt=0)] = setting(
        0.1, "Factor of each reduction of the schedule step.", panel=_TRAINING, is_rare=True
    )
    warmup_epochs: Annotated[int, Interval(ge=0)] = setting(
        0,
        "Epochs in which the rate rises from near 0 to its peak; one-cycle has its own warm-up.",
        panel=_TRAINING,
        is_rare=True,
    )
    warmup_learning_rate: Annotated[float, Interval(ge=0)] = setting(
        0.0,
        "Rate of the first warm-up step, from which it rises evenly; 0: near 0. VideoMAE: 1e-6 * batch / 256.",
        panel=_TRAINING,
        is_rare=True,
    )
    min_learning_rate: Annotated[float, Interval(ge=0)] = setting(
        0.0,
        "Rate at which the schedule cosine ends. VideoMAE: 1e-6 * batch / 256; M3DFEL: 5e-6.",
        panel=_TRAINING,
        is_rare=True,
    )
    layer_decay: Annotated[float, Interval(gt=0, le=1)] = setting(
        1.0,
        "Learning rate of each part of the model, as a multiple of the rate of the next part.",
        panel=_TRAINING,
        is_rare=True,
    )
    accumulate: Annotated[int, Interval(ge=1)] = setting(
        1, "Batches per optimizer step.", panel=_TRAINING, is_rare=True
    )
    clip_norm: Annotated[float, Interval(ge=0)] = setting(
        0.0, "Maximum norm of all gradients together; 0: no limit.", panel=_TRAINING, is_rare=True
    )
    ema: Annotated[float, Interval(ge=0, lt=1)] = setting(
        0.0,
        "Decay of an exponential moving average of the weights, which is tested and saved instead of them; 0: none.",
        panel=_TRAINING,
        is_rare=True,
    )
    freeze_norms: bool = setting(False, "Batch norms keep their initial statistics.", panel=_TRAINING, is_rare=True)
    class_weights: ClassWeights = setting(
        "none",
        "Weight of each class in the loss: inverse to its number of clips, or to their effective number.",
        panel=_TRAINING,
        is_rare=True,
    )
    class_beta: Annotated[float, Interval(ge=0, lt=1)] = setting(
        0.999, "Beta of the effective number.", panel=_TRAINING, is_rare=True
    )
    focal_gamma: Annotated[float, Interval(ge=0)] = setting(
        0.0, "Gamma of the focal loss; 0: plain cross-entropy.", panel=_TRAINING, is_rare=True
    )
    intensity: Annotated[float, Interval(ge=0)] = setting(
        0.0, "Weight of the intensity-aware loss; its authors use 0.1.", panel=_TRAINING, is_rare=True
    )
    clustered: Annotated[float, Interval(ge=0)] = setting(
        0.0,
        "Weight of the expression-clustered loss (EC-STFL, ACM MM 2020); its authors use 10.",
        panel=_TRAINING,
        is_rare=True,
    )
    clustered_form: ClusteredForm = setting(
        "paper",
        "paper: EC-STFL's Equation 9, Euclidean distances; code: its official code, L1 distances; ratio: in runs of "
        "earlier versions only.",
        panel=_TRAINING,
        is_rare=True,
        absent=lambda stored: "ratio" if stored.get("clustered") else "paper",
    )
    center: Annotated[float, Interval(ge=0)] = setting(
        0.0, "Weight of the center loss (ECCV 2016); EC-STFL's paper uses 1e-4.", panel=_TRAINING, is_rare=True
    )
    auxiliary: Annotated[float, Interval(ge=0)] = setting(
        0.0,
        "Weight of the cross-entropy of a network's auxiliary classifier, which GCA has; its authors use 0.05.",
        panel=_TRAINING,
        is_rare=True,
    )
    targets: Targets = setting(
        "label",
        "Target of a training clip: its label; its annotators' votes as shares of the classes; or each of its labels, "
        "by binary cross-entropy.",
        panel=_TRAINING,
        is_rare=True,
    )
    votes_loss: VotesLoss = setting(
        "cross-entropy",
        "Loss with targets = votes: cross-entropy with their shares, or the Dirichlet-multinomial likelihood of their "
        "numbers, with softplus(z) + 1 as its parameters.",
        panel=_TRAINING,
        is_rare=True,
    )
    label_smoothing: Annotated[float, Interval(ge=0, le=1)] = setting(
        0.0, "Share of the target that is spread over all classes.", panel=_TRAINING, is_rare=True
    )
    class_sampling: ClassSampling = setting(
        "natural",
        "Share of each class in an epoch: proportional to its clips, to the square root of their number, or equal.",
        panel=_TRAINING,
        is_rare=True,
    )
    precision: TrainingPrecision = setting(
        "auto",
        "auto: bf16 autocast where the device supports it, else f32. f16 scales the loss. tf32: float32 with products "
        "rounded on CUDA; f32: IEEE float32 everywhere.",
        panel=_TRAINING,
    )
    compile: bool = setting(
        False,
        "Whether torch.compile compiles steps of whole batches, on CUDA as CUDA graphs; takes minutes and a compiler.",
        panel=_TRAINING,
        is_rare=True,
    )
    deterministic: bool = setting(
        False,
        "Whether a CUDA GPU uses only algorithms that give equal numbers in every run, as a CPU does anyway.",
        panel=_TRAINING,
        is_rare=True,
    )
    model: str = setting(
        DEFAULT_MODEL, "Name of the network (`dfer model list`), or package.module:build of a custom one.", panel=_MODEL
    )
    recompute: bool = setting(
        False,
        "Keep only half of the backbone's activations and recompute the rest: less memory, more time, same numbers.",
        panel=_TRAINING,
        is_rare=True,
    )
    controls: bool = setting(
        False, "Also test with one repeated frame and with shuffled frames.", panel=_INPUT, is_rare=True
    )
    protocol: str = setting(
        "default",
        "Use the clips, frames, epoch and folds of a paper's protocol, not its training.",
        panel=_INPUT,
        choices=tuple(PRESETS),
    )
    num_frames: Annotated[int, Interval(ge=1)] = setting(16, "Frames that the model reads of each clip.", panel=_INPUT)
    sampler: SamplerName = setting("segments-8x2", "How these frames are chosen.", panel=_INPUT)
    short: ShortRuleName = setting(
        "edge",
        "Rule for clips with fewer frames than num_frames; drop leaves them out of train and test.",
        panel=_INPUT,
        is_rare=True,
    )
    sample_by: Literal["frames", "time"] = setting(
        "frames",
        "What the sampler counts: stored frames, or the points of a uniform grid over the clip's time.",
        panel=_INPUT,
        is_rare=True,
    )
    reference_fps: Annotated[float, Interval(gt=0, le=1000)] = setting(
        25.0,
        "With sample_by = 'time': points of that grid per second, as if every clip had this frame rate.",
        panel=_INPUT,
        is_rare=True,
    )
    resize: ResizeRule = setting(
        "auto",
        "How stored frames of another size are resized: area averages pixels, linear interpolates, auto is linear for "
        "a shrink by less than 2 and area from there on.",
        panel=_INPUT,
        is_rare=True,
        absent="area",
    )
    decode: JpegScale = setting(
        "full",
        "scaled: a JPEG that shrinks by 2 or more is decoded at the next larger eighth of its size, which is faster.",
        panel=_INPUT,
        is_rare=True,
    )
    min_frames: Annotated[int, Interval(ge=0)] = setting(
        0, "Leave clips with fewer frames out of train and test.", panel=_INPUT, is_rare=True
    )
    val: Validation = setting(
        "none",
        "Train clips to hold out: one run of neighbouring ids over all classes, whole groups (people), random ones, or "
        "official: the owners' validation part (CAER, MELD).",
        panel=_SELECTION,
    )
    val_share: Annotated[float, Interval(gt=0, lt=1)] = setting(
        0.1, "Share of train that is held out; not for official.", panel=_SELECTION, is_rare=True
    )
    select: Select = setting(
        "last",
        "Epoch of the result: the last, the best on held-out clips, or on the test clips (marked in reports).",
        panel=_SELECTION,
    )
    select_by: SelectBy = setting("war", "Figure that decides which epoch is best.", panel=_SELECTION, is_rare=True)
    refit: bool = setting(
        False,
        "After a choice on held-out clips, train again on all of train for as many epochs: checkpoint refit.",
        panel=_SELECTION,
    )

    def rules(self) -> Iterator[str]:
        """Yield the faults between settings."""
        yield from self.network_rules()
        yield from model_faults(dataclasses.asdict(self))
        if self.num_frames % _FRAMES_PER_SEGMENT.get(self.sampler, 1):
            yield f"num_frames = {self.num_frames}: sampler {self.sampler} takes an even number"
        if self.test_size_px and self.test_size_px < self.size_px:
            yield f"test_size_px = {self.test_size_px}: must be 0, or at least size_px = {self.size_px}"
        elif self.test_crops > 1 and self.test_size_px <= self.size_px:
            yield "test_crops needs test_size_px > size_px: the crops of square frames of size_px are the same pixels"
        if self.warmup_learning_rate > 0 and self.warmup_epochs == 0:
            yield "warmup_learning_rate needs warmup_epochs"
        if self.min_learning_rate > 0 and self.schedule != "cosine":
            yield "min_learning_rate needs schedule = 'cosine'"
        for key in ("warmup_learning_rate", "min_learning_rate"):
            if getattr(self, key) > self.learning_rate:
                yield f"{key} is greater than learning_rate"
        if self.schedule == "one-cycle" and self.warmup_epochs > 0:
            yield "warmup_epochs: the schedule one-cycle has its own warm-up; use cosine or step"
        for key in ("intensity", "clustered", "center"):
            if getattr(self, key) > 0 and (self.mixup > 0 or self.cutmix > 0):
                yield f"{key} needs one label per clip, and mixup and cutmix mix labels"
            if getattr(self, key) > 0 and self.targets != "label":
                yield f"{key} needs one label per clip, and targets = {self.targets!r} has several"
        for key, value in (("label_smoothing", 0), ("focal_gamma", 0), ("class_weights", "none"), ("auxiliary", 0)):
            if self.targets == "labels" and getattr(self, key) != value:
                yield f"{key} weighs shares of classes, and targets = 'labels' has none"
        if self.votes_loss == DIRICHLET:
            yield from self.dirichlet_rules()
        if self.model != DEFAULT_MODEL and self.recompute:
            yield "recompute works only with LSTPNet"
        if self.val == "none" and (self.refit or self.select == "val-best"):
            cause = "refit = true" if self.refit else "select = 'val-best'"
            yield f"{cause} needs held-out clips: val = 'blocks', 'groups', 'random' or 'official' (--val blocks)"

    def dirichlet_rules(self) -> Iterator[str]:
        """Yield what does not go with the Dirichlet-multinomial loss."""
        subject = f"votes_loss = {DIRICHLET!r}"
        if self.targets != "votes":
            yield f"{subject} needs targets = 'votes'"
        if is_custom(self.model):
            yield f"{subject} works only with networks of `dfer model list`"
        others = ("label_smoothing", "focal_gamma", "mixup", "cutmix", "auxiliary")
        names = [key for key in others if getattr(self, key) > 0]
        names += ["class_weights"] if self.class_weights != "none" else []
        if names:
            yield f"{subject} does not go with {', '.join(names)}"

    def __post_init__(self) -> None:
        """Check all settings; raise one UsageError with every fault."""
        if self.model == "":  # runs of dfer 0.1 have no name for LSTPNet
            object.__setattr__(self, "model", DEFAULT_MODEL)
        validate(self, rules=self.rules(), subject=f"recipe {self.name}: ")

    @property
    def class_power(self) -> float:
        """Exponent p: a class's share of an epoch is proportional to its number of clips to the power p."""
        return {"natural": 1.0, "sqrt": 0.5, "balanced": 0.0}[self.class_sampling]

    @property
    def label(self) -> str:
        """Name of the recipe, plus network and protocol if they are others; part of the path of a run's folder."""
        is_named = self.model == DEFAULT_MODEL or self.model in self.name
        name = self.name if is_named else f"{self.name}-{self.model.replace(':', '.')}"
        return name if self.protocol == "default" else f"{name}+{self.protocol}"

    @property
    def least_frames(self) -> int:
        """Minimum number of frames of a clip; shorter clips are left out."""
        return max(self.min_frames, self.num_frames if self.short == "drop" else 0)

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON of the settings, 64 hex digits; see `LATER`."""
        settings = dataclasses.asdict(self)
        settings["model"] = "" if self.model == DEFAULT_MODEL else self.model  # as it was written before
        hashed = {key: value for key, value in settings.items() if key not in LATER}
        absent = with_absent(Recipe, hashed)
        hashed |= {key: settings[key] for key in LATER if settings[key] != absent[key]}
        return hashlib.sha256(canonical_json(hashed)).hexdigest()
