"""A trained model computed by OpenVINO on the CPU: LSTPNet, or the graph of an exported model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dfer_data.detect.openvino_core import openvino_core
from dfer_data.errors import UsageError
from dfer_data.extras import imported_package
from lstpnet.checkpoints.export import fold_batch_norms, logits_module
from lstpnet.checkpoints.onnx_model import ExportedModel
from lstpnet.models.lstpnet import LSTPNet

OpenVinoPrecision = Literal["f32", "bf16"]
_MAX_SHAPES = 4  # compiled shapes that are kept
_Shape = tuple[int, ...]


class OpenVinoModel(nn.Module):
    """LSTPNet or an exported model as a module on the CPU; it cannot be trained.

    Clips are computed one after another, so that the logits of a clip do not depend on its batch.
    """

    def __init__(self, model: nn.Module, *, precision: str) -> None:
        """Prepare a model; each shape of clips is compiled when it first occurs, which takes seconds.

        `precision`: of the recipe; `auto` is bf16 on a CPU that computes in it, else f32; tf32 is f32.

        Raises UsageError without the package openvino, for another model, and for a precision that is not available.
        """
        super().__init__()
        self._openvino = imported_package("openvino", "--runtime openvino", extra="openvino")
        self._core = openvino_core()
        self.precision: OpenVinoPrecision = _resolved(precision, self._core)
        self._read = self._reader(model)
        self._request = lru_cache(maxsize=_MAX_SHAPES)(self._compiled)

    def forward(self, clips: Tensor) -> Tensor:
        """Map (B, T, 3, H, W) float32 to logits (B, num_classes) float32."""
        arrays = np.ascontiguousarray(clips.detach().float().cpu().numpy())
        request = self._request((1, *arrays.shape[1:]))
        rows = [np.array(request.infer({0: clip[None]}, share_inputs=True)[0], np.float32) for clip in arrays]
        return torch.from_numpy(np.concatenate(rows))

    def _compiled(self, shape: _Shape) -> Any:
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": self.precision,
            "ENABLE_CPU_PINNING": False,  # with pinning, processes side by side would take the same cores
        }
        return self._core.compile_model(self._read(shape), "CPU", settings).create_infer_request()

    def _reader(self, model: nn.Module) -> Callable[[_Shape], Any]:
        """Return a function that makes OpenVINO's graph of a model for one shape of clips."""
        if isinstance(model, ExportedModel):
            content = model.content

            def read(shape: _Shape) -> Any:
                graph = self._core.read_model(content)
                graph.reshape(list(shape))
                return graph

            return read
        if not isinstance(model, LSTPNet):
            raise UsageError(
                "--runtime openvino computes LSTPNet and exported models; use --runtime torch for this one"
            )
        module = logits_module(fold_batch_norms(model))
        return lambda shape: self._traced(module, shape)

    def _traced(self, module: nn.Module, shape: _Shape) -> Any:
        example = torch.zeros(shape)
        with _without_warnings(), torch.inference_mode(False), torch.no_grad(), torch.autocast("cpu", enabled=False):
            trace = torch.jit.trace(module, example, check_trace=False)
            return self._openvino.convert_model(trace, example_input=example, input=list(shape))


def _resolved(precision: str, core: Any) -> OpenVinoPrecision:
    """Return the number format for a recipe's precision; UsageError if OpenVINO or this CPU lacks it."""
    if precision in ("f32", "tf32"):
        return "f32"
    if precision not in ("auto", "bf16"):
        raise UsageError(
            f"--runtime openvino computes in f32 or bf16, not in precision {precision}; use --runtime torch"
        )
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return "bf16"
    if precision == "bf16":
        raise UsageError(
            "--runtime openvino: this CPU does not support bf16 (AVX-512 BF16 or AMX), the model's precision; use "
            "--runtime torch"
        )
    return "f32"


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Suppress what tracing and OpenVINO report about shapes that are fixed here on purpose."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
