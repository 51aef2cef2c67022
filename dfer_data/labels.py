"""Emotion vocabularies by NAME, and the numbers that each dataset's own files use for them.

Numberings differ between datasets and between papers on one dataset, so everything after an adapter speaks names only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DFEW_NAMES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
"""DFEW's seven single-label classes in the order of its annotation files."""

DFEW_NUMBERS: Mapping[int, str] = MappingProxyType(dict(enumerate(DFEW_NAMES, start=1)))
"""Label numbers of the official split CSVs; they start at 1."""
