"""The demo dataset: expression clips of rendered CC0 heads in DFEW's own tree; nobody in it is real."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dfer_data.synth.config import SynthConfig, SynthSummary

if TYPE_CHECKING:
    from dfer_data.synth.dfew import write_dfew as write_dfew

__all__ = ["SynthConfig", "SynthSummary", "write_dfew"]


def __getattr__(name: str) -> Any:
    """Import the writer, and with it PyAV and OpenCV, on first use."""
    if name == "write_dfew":
        from dfer_data.synth.dfew import write_dfew

        return write_dfew
    raise AttributeError(f"module 'dfer_data.synth' has no attribute {name!r}")
