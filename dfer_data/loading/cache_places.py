"""Names of the places where decoded clips can stay between epochs."""

from __future__ import annotations

from typing import Literal

CachePlace = Literal["auto", "off", "host", "device"]
"""`auto` is host for clips that take up to 1 GiB, else off."""
