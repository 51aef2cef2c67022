"""LSTPNet for dynamic facial expression recognition: the model, its training, its evaluation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstpnet.checkpoints.reference import load_reference as load_reference
    from lstpnet.models.lstpnet import LSTPNet as LSTPNet

_LAZY = {"LSTPNet": "lstpnet.models.lstpnet", "load_reference": "lstpnet.checkpoints.reference"}
__all__ = ["LSTPNet", "load_reference"]


def __getattr__(name: str) -> Any:
    """Import the model on first use, so that `import lstpnet` needs no torch."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'lstpnet' has no attribute {name!r}")
