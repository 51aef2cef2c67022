"""What computes a model's logits, and in which number format: chosen here, and recorded with the results."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from dfer_data.errors import UsageError
from lstpnet.checkpoints.model_settings import RuntimeName
from lstpnet.checkpoints.onnx_model import ExportedModel
from lstpnet.checkpoints.open_model import OpenedModel
from lstpnet.checkpoints.openvino_model import OpenVinoModel
from lstpnet.device import computed_precision, pick_device


@dataclass(frozen=True)
class Computation:
    """What computed predictions."""

    runtime: str
    """torch, openvino, or onnxruntime for an exported model."""
    precision: str
    """f32, tf32, bf16 or f16."""

    @property
    def is_plain(self) -> bool:
        """Whether it is PyTorch in IEEE float32."""
        return (self.runtime, self.precision) == ("torch", "f32")


def with_runtime(
    opened: OpenedModel, runtime: RuntimeName, *, device: str | None = None
) -> tuple[OpenedModel, torch.device]:
    """Return a model that `runtime` computes, and its device; `device`: a name, None for the best available one.

    Raises UsageError for a runtime that lacks its package, or cannot compute this model or on this device; DferError
    for a device that is not available.
    """
    if runtime == "torch":
        return opened, pick_device(device)
    if device not in (None, "cpu"):
        raise UsageError(
            f"--runtime {runtime} computes on the CPU; leave out --device {device}, or use --runtime torch"
        )
    return replace(opened, model=OpenVinoModel(opened.model, precision=opened.recipe.precision)), pick_device("cpu")


def computation(opened: OpenedModel, device: torch.device) -> Computation:
    """Return what computes a model on a device."""
    if isinstance(opened.model, OpenVinoModel):
        return Computation("openvino", opened.model.precision)
    if isinstance(opened.model, ExportedModel):
        return Computation("onnxruntime", "f32")
    return Computation("torch", computed_precision(opened.recipe, device))
