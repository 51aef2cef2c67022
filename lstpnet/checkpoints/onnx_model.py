"""Load an exported model (`dfer model export`) for prediction: its ONNX graph, and the JSON next to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from dfer_data.errors import CorruptDataError, UsageError
from lstpnet.recipe import Recipe

_SETTINGS = ("sampler", "short", "size_px", "input_norm")


class ExportedModel(nn.Module):
    """An ONNX graph as a module on the CPU; it cannot be trained."""

    def __init__(self, path: Path) -> None:
        """Load the file; CorruptDataError if it is not ONNX, UsageError if its inputs or outputs are different."""
        super().__init__()
        try:
            self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes have no common public base
            raise CorruptDataError(f"{path} is not an ONNX model: {error}") from error
        inputs, outputs = (
            [value.name for value in values] for values in (self._session.get_inputs(), self._session.get_outputs())
        )
        if (inputs, outputs) != (["clips"], ["logits"]):
            raise UsageError(f"{path} maps {inputs} to {outputs}; a graph of `dfer model export` maps clips to logits")

    def forward(self, clips: Tensor) -> Tensor:
        """Map (B, T, 3, H, W) float32 to logits (B, num_classes) float32."""
        (logits,) = self._session.run(None, {"clips": clips.float().cpu().numpy()})
        return torch.from_numpy(logits)


def load_exported(path: Path) -> tuple[ExportedModel, tuple[str, ...], Recipe, bool]:
    """Return an exported model, its classes, its test settings, and whether it was trained on rendered heads.

    Raises UsageError if the JSON next to it is missing or of another kind, CorruptDataError for a damaged model.
    """
    json_path = path.with_suffix(".json")
    try:
        facts: Any = json.loads(json_path.read_bytes())
        if facts["format"] != "dfer-model":
            raise ValueError(f"its format is {facts['format']!r}")
        class_names = tuple(str(name) for name in facts["class_names"])
        recipe = Recipe(name="exported", **{key: facts[key] for key in _SETTINGS})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} needs the JSON that `dfer model export` wrote next to it ({json_path}: {error})"
        ) from error
    return ExportedModel(path), class_names, recipe, facts.get("synthetic") is True
