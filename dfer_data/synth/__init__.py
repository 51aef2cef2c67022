"""Rendered datasets: expression clips of CC0 heads in the folder trees of real datasets; no person in them is real."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfer_data.synth.config import SynthConfig, SynthSummary

if TYPE_CHECKING:
    from dfer_data.synth.dfew import write_dfew as write_dfew
    from dfer_data.synth.trees import write_tree as write_tree

__all__ = ["SynthConfig", "SynthSummary", "write_dfew", "write_tree"]


def __getattr__(name: str) -> Any:
    """Import a writer, and with it PyAV and OpenCV, on first use."""
    if name == "write_dfew":
        from dfer_data.synth.dfew import write_dfew

        return write_dfew
    if name == "write_tree":
        from dfer_data.synth.trees import write_tree

        return write_tree
    raise AttributeError(f"module 'dfer_data.synth' has no attribute {name!r}")
