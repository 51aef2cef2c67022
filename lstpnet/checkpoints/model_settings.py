"""Settings of every command that opens a trained model: which checkpoint, and whether its code may run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dfer_data.settings import setting, validate

RuntimeName = Literal["torch", "openvino"]
_MODEL = "Trained model"


@dataclass(frozen=True, kw_only=True)
class CodeSettings:
    """Which code may run for a run that was trained with a custom model."""

    trust_model: bool = setting(
        False, "Run the code of the run's custom model, if it is the same as in its training.", panel=_MODEL, once=True
    )
    custom_model: str | None = setting(
        None, "package.module:build to run instead of the run's custom model.", panel=_MODEL, once=True
    )

    def __post_init__(self) -> None:
        """Check all settings; raise one UsageError with every fault."""
        validate(self, by_flag=True)


@dataclass(frozen=True, kw_only=True)
class ModelSettings(CodeSettings):
    """How to open a run, an exported model or a checkpoint of the authors' code."""

    checkpoint: str = setting("last", "Checkpoint of a run: last, best, refit or test-best.", panel=_MODEL)
    trained_on: str | None = setting(None, "Dataset of the authors' checkpoint: dfew, ferv39k or afew.", panel=_MODEL)


@dataclass(frozen=True, kw_only=True)
class RuntimeSettings:
    """What computes the logits."""

    runtime: RuntimeName = setting(
        "torch",
        "What computes the model; openvino: LSTPNet and exported models on a CPU, rounded differently "
        "(needs the extra openvino).",
        panel=_MODEL,
    )

    def __post_init__(self) -> None:
        """Check all settings; raise one UsageError with every fault."""
        validate(self, by_flag=True)
