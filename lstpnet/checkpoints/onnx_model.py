"""Load an exported model (`dfer model export`) for prediction: its ONNX graph, and the JSON next to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from dfer_data.errors import CorruptDataError, UsageError
from dfer_data.settings import with_absent
from dfer_data.storage.files import read_regular
from lstpnet.recipe import Recipe
from lstpnet.run_files import FileFacts, check_own_sha256, fault_of

_DATA_FOLDER = "session.model_external_initializers_file_folder_path"
_SETTINGS = ("sampler", "short", "size_px", "input_norm")
_LATER = frozenset(
    (
        *("num_frames", "resize", "decode", "sample_by", "reference_fps", "test_size_px", "test_crops"),
        *("min_frames", "targets"),
    ),
)
"""Settings that files of earlier versions lack."""


class ExportedModel(nn.Module):
    """An ONNX graph as a module on the CPU; it cannot be trained."""

    content: bytes
    """The file."""

    def __init__(self, path: Path, *, facts: FileFacts | None = None) -> None:
        """Load the file, which is read once; `facts`: size and hash that it must have.

        Raises CorruptDataError for other bytes, no ONNX, or tensors in other files, which no hash covers; UsageError
        if its inputs or outputs are different.
        """
        super().__init__()
        try:
            content = read_regular(path)
        except OSError as error:
            raise CorruptDataError(f"{path} is not an ONNX model: {error}") from error
        if facts is not None and (fault := fault_of(content, facts)):
            raise CorruptDataError(f"{path} is damaged: it {fault}; export it again with `dfer model export`")
        self.content = content
        options = onnxruntime.SessionOptions()
        options.add_session_config_entry(_DATA_FOLDER, str(path / "none"))  # no folder: tensors in other files fail
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
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

    The JSON next to it holds the model's hash and its own, except those of dfer 0.1. Raises UsageError if it is missing
    or of another kind, CorruptDataError for a damaged model or JSON.
    """
    json_path = path.with_suffix(".json")
    try:
        facts: Any = json.loads(read_regular(json_path))
        if facts["format"] != "dfer-model":
            raise ValueError(f"its format is {facts['format']!r}")
        model_facts = _checked_facts(json_path, facts)
        class_names = tuple(str(name) for name in facts["class_names"])
        settings = {key: facts[key] for key in _SETTINGS} | {key: facts[key] for key in _LATER & facts.keys()}
        recipe = Recipe(**with_absent(Recipe, {"name": "exported", **settings}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"{path} needs the JSON that `dfer model export` wrote next to it ({json_path}: {reason})"
        ) from error
    return ExportedModel(path, facts=model_facts), class_names, recipe, facts.get("synthetic") is True


def _checked_facts(path: Path, document: Mapping[str, Any]) -> FileFacts | None:
    """Return size and hash of the model, from the JSON next to it; None in a JSON of dfer 0.1, which has no hashes.

    Raises CorruptDataError if the JSON does not match its own hash, KeyError without a version.
    """
    if document["format_version"] == 1 and not document.keys() & {"sha256", "model"}:
        return None
    try:
        check_own_sha256(document)
        return FileFacts(**document["model"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{path} is damaged: {error}; export the model again with `dfer model export`"
        ) from error
