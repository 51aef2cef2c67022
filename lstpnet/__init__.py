"""LSTPNet and other networks for dynamic facial expression recognition: models, training, evaluation, reports.

import lstpnet

run = lstpnet.train("prepared/dfew-retinaface", fold=3)
model = lstpnet.load_model(run)
print(lstpnet.report("runs").to_markdown())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import dfer_data as _dfer_data  # noqa: F401  before onnxruntime, whose reports to its makers it turns off

if TYPE_CHECKING:
    from lstpnet.checkpoints.reference import load_reference as load_reference
    from lstpnet.finished_runs import open_run as open_run
    from lstpnet.models.lstpnet import LSTPNet as LSTPNet
    from lstpnet.models.registry import build_model as build_model
    from lstpnet.prediction.loaded_model import load_model as load_model
    from lstpnet.reporting.document import report as report
    from lstpnet.training.launch import train as train

_LAZY = {
    "LSTPNet": "lstpnet.models.lstpnet",
    "build_model": "lstpnet.models.registry",
    "load_model": "lstpnet.prediction.loaded_model",
    "load_reference": "lstpnet.checkpoints.reference",
    "open_run": "lstpnet.finished_runs",
    "report": "lstpnet.reporting.document",
    "train": "lstpnet.training.launch",
}
__all__ = ["LSTPNet", "build_model", "load_model", "load_reference", "open_run", "report", "train"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import lstpnet` needs no torch."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'lstpnet' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
