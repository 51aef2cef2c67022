"""Evaluation protocols by name: what a paper's code does to clips, frames, epochs and folds before it prints a figure.

A preset sets recipe keys; whatever a run does otherwise is a deviation, and both stand in its protocol line. Sources
and the arithmetic that shows what published figures rest on: docs/protocol.md.
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
    """On the command line."""
    values: Mapping[str, Any]
    """Recipe key -> value."""
    expected: Mapping[str, Any]
    """Recipe keys that it does not set, because another value may be meant, and that are told where they differ."""
    averaging: str
    """How its authors put folds together."""
    source: str
    """Where this is known from."""


_OWN = {"sampler": "segments-8x2", "short": "edge", "min_frames": 0, "select": "last", "select_by": "war"}


def _preset(name: str, *, size_px: int | None, averaging: str, source: str, **values: Any) -> Preset:
    expected = {} if size_px is None else {"size_px": size_px}
    return Preset(name, MappingProxyType(_OWN | values), MappingProxyType(expected), averaging, source)


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
    """Return the preset called `name` as its authors run it on `dataset`; UsageError lists the known ones."""
    if name not in PRESETS:
        raise UsageError(f"unknown protocol {name!r}; known: {', '.join(PRESETS)}")
    found = PRESETS[name]
    changes = _BY_DATASET.get((name, dataset), {})
    return Preset(found.name, {**found.values, **changes}, found.expected, found.averaging, found.source)


def deviations(name: str, settings: Mapping[str, Any], *, dataset: str = "") -> list[str]:
    """Say where `settings` (recipe keys) differ from a preset, `KEY VALUE (preset VALUE)` each."""
    found = preset(name, dataset=dataset)
    wanted = {**found.values, **found.expected}
    return [f"{key} {settings[key]} ({name} {value})" for key, value in wanted.items() if settings[key] != value]
