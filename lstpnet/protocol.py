"""Evaluation protocols by name: how a paper's code treats clips, frames, epochs and folds to get its figures.

A preset sets the recipe keys of sampler, placement, short clips, filter and selection, and no key of the training
(`NOT_SET`). A run that uses another value deviates; its protocol line lists preset and deviations.
docs/explanation/protocol.md has the sources, and the arithmetic that shows the protocol behind published figures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dfer_data.errors import UsageError

NOT_SET: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "network": ("model",),
        "start weights": (),
        "normalisation": ("input_norm",),
        "augmentation": (
            *("flip", "crop", "rotation_degrees", "brightness", "contrast", "saturation", "erasing"),
            *("mixup", "cutmix", "randaugment_ops", "randaugment_magnitude", "randaugment_deviation"),
        ),
        "optimiser": (*("optimizer", "learning_rate", "weight_decay", "weight_decay_on", "layer_decay", "batch_size"),),
        "schedule": (
            *("schedule", "epochs", "frame_epochs", "warmup_epochs", "warmup_learning_rate", "min_learning_rate"),
            *("step_epochs", "step_factor"),
        ),
        "loss": (
            *("label_smoothing", "intensity", "clustered", "clustered_form", "center", "focal_gamma"),
            *("class_weights", "targets"),
        ),
    }
)
"""What no preset sets -> the recipe keys that set it (start weights: `--init`)."""
SCOPE = f"its clips, frames, epoch and folds, not its training ({', '.join(NOT_SET)})"
"""What a preset takes over from a paper's code, and what it does not."""
UNTRAINED = "train has no clip of "
"""Begins the part of a protocol line that names classes with test clips and without train clips."""


def placement(sample_by: str, reference_fps: float) -> str:
    """Return how a protocol line completes the name of a sampler that places frames by time; empty if it does not."""
    return f" by time (nearest frames to {reference_fps:g} points per second)" if sample_by == "time" else ""


def untrained(num_test: Mapping[str, int]) -> str:
    """Return that part of a protocol line; `num_test`: class -> number of its test clips."""
    return UNTRAINED + ", ".join(f"{name} ({number} of test)" for name, number in num_test.items())


@dataclass(frozen=True)
class Preset:
    """One protocol."""

    name: str
    """Name on the command line."""
    values: Mapping[str, Any]
    """Recipe key -> value."""
    expected: Mapping[str, Any]
    """Recipe keys that it does not set, because another value may be intended; differences are reported."""
    averaging: str
    """How its authors combine folds."""
    source: str
    """Source of the protocol."""
    inferred: str = ""
    """What is concluded and not read in that source; empty if nothing is."""

    @property
    def scope(self) -> str:
        """What a run under this preset shares with the paper's code, and what is inferred."""
        return SCOPE + (f", inferred: {self.inferred}" if self.inferred else "")


_DEFAULTS = {
    **{"num_frames": 16, "sampler": "segments-8x2", "sample_by": "frames", "short": "edge", "min_frames": 0},
    **{"select": "last", "select_by": "war", "test_size_px": 0, "test_crops": 1},
}


def _preset(
    name: str, *, size_px: int | None, averaging: str, source: str, inferred: str = "", **values: Any
) -> Preset:
    expected = {} if size_px is None else {"size_px": size_px}
    return Preset(name, MappingProxyType(_DEFAULTS | values), MappingProxyType(expected), averaging, source, inferred)


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _preset(
                "default",
                size_px=None,
                averaging="mean of folds and pooled, both shown",
                source="docs/explanation/protocol.md",
            ),
            _preset(
                "lstpnet",
                short="drop",
                select="test-best",
                select_by="war+uar",
                size_px=224,
                averaging="mean of folds",
                source="LLFabiann/LSTPNet 6d8364d",
                inferred="the best WAR + UAR on the test clips, from the names of its checkpoints (best_val_acc_uar)",
            ),
            _preset(
                "former-dfer",
                short="formula",
                select="test-best",
                size_px=112,
                averaging="mean of folds",
                source="zengqunzhao/Former-DFER 1b5ad6f",
            ),
            _preset(
                "dfer-clip",
                sampler="segments-16x1",
                select="test-best",
                size_px=224,
                averaging="mean of folds",
                source="zengqunzhao/DFER-CLIP d10d5a4",
            ),
            _preset(
                "mae-dfer",
                sampler="strided-window-4",
                short="formula",
                size_px=160,
                averaging="mean of folds",
                source="sunlicai/MAE-DFER 80b651d",
            ),
        )
    }
)
_BY_DATASET: Mapping[tuple[str, str], Mapping[str, Any]] = MappingProxyType(
    {("mae-dfer", "ferv39k"): {"sampler": "strided-window-1"}}
)


def preset(name: str, *, dataset: str = "") -> Preset:
    """Return the preset `name` as its authors use it on `dataset`. Raises UsageError with the known names."""
    if name not in PRESETS:
        raise UsageError(f"unknown protocol {name!r}; known: {', '.join(PRESETS)}")
    base = PRESETS[name]
    changes = _BY_DATASET.get((name, dataset), {})
    return dataclasses.replace(base, values={**base.values, **changes})


def deviations(name: str, settings: Mapping[str, Any], *, dataset: str = "") -> list[str]:
    """Return the differences of `settings` (recipe keys) from a preset, each as `KEY VALUE (preset VALUE)`."""
    reference = preset(name, dataset=dataset)
    expected = {**reference.values, **reference.expected}
    differing = {key: value for key, value in expected.items() if settings.get(key, value) != value}
    return [f"{key} {settings[key]} ({name} {value})" for key, value in differing.items()]
