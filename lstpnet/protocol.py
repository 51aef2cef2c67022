"""Evaluation protocols by name: how a paper's code treats clips, frames, epochs and folds to get its figures.

A preset sets recipe keys. A run that uses another value deviates; its protocol line lists preset and deviations.
docs/protocol.md has the sources, and the arithmetic that shows the protocol behind published figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dfer_data.errors import UsageError


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


_DEFAULTS = {"sampler": "segments-8x2", "short": "edge", "min_frames": 0, "select": "last", "select_by": "war"}


def _preset(name: str, *, size_px: int | None, averaging: str, source: str, **values: Any) -> Preset:
    expected = {} if size_px is None else {"size_px": size_px}
    return Preset(name, MappingProxyType(_DEFAULTS | values), MappingProxyType(expected), averaging, source)


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _preset(
                "default", size_px=None, averaging="mean of folds and pooled, both shown", source="docs/protocol.md"
            ),
            _preset(
                "lstpnet",
                short="drop",
                select="test-best",
                select_by="war+uar",
                size_px=224,
                averaging="mean of folds",
                source="LLFabiann/LSTPNet 6d8364d",
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
    return Preset(base.name, {**base.values, **changes}, base.expected, base.averaging, base.source)


def deviations(name: str, settings: Mapping[str, Any], *, dataset: str = "") -> list[str]:
    """Return the differences of `settings` (recipe keys) from a preset, each as `KEY VALUE (preset VALUE)`."""
    reference = preset(name, dataset=dataset)
    expected = {**reference.values, **reference.expected}
    return [f"{key} {settings[key]} ({name} {value})" for key, value in expected.items() if settings[key] != value]
