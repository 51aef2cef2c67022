"""Names of the curves that convert HDR videos, apart from `tone_map`: settings are declared without FFmpeg."""

from typing import Literal

ToneMap = Literal["none", "mobius", "hable"]
"""`none` keeps pictures as decoded; the others are curves of FFmpeg's tonemap."""
