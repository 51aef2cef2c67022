"""RAVDESS (Livingstone and Russo, 2018): `Actor_01/02-01-EE-II-SS-RR-AA.mp4`. Folds by actor.

The fields of a name: modality (01 with sound, 02 video-only, 03 sound only), channel (01 speech, 02 song), emotion,
intensity, sentence, take, actor. As in papers, only the 1,440 video-only clips of speech are listed.
"""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

from dfer_data.sources.base import Layout, SourceListing
from dfer_data.sources.class_labels import RAVDESS_NAMES
from dfer_data.sources.filename_codes import Named, list_coded


def list_ravdess(root: Path, *, layout: Layout, crops: str | None = None) -> SourceListing:
    """List RAVDESS' video-only clips of speech. See Source."""
    return list_coded("ravdess", root, layout=layout, crops=crops, read=_read)


def ravdess_ids() -> frozenset[str]:
    """Return the ids of all 1,440 clips; neutral has no strong intensity."""
    combinations = product(range(1, 9), range(1, 3), range(1, 3), range(1, 3), range(1, 25))
    return frozenset(
        f"02-01-{emotion:02d}-{intensity:02d}-{sentence:02d}-{take:02d}-{actor:02d}"
        for emotion, intensity, sentence, take, actor in combinations
        if (emotion, intensity) != (1, 2)
    )


def _read(name: str) -> Named | str | None:
    match = re.fullmatch(r"(0[1-3])-(0[12])-(\d\d)-0[12]-0[12]-0[12]-(\d\d)", name)
    if match is None:
        return f"{name!r} is not seven two-digit numbers in their range, as in 02-01-03-01-02-01-05"
    modality, channel, emotion, actor = match.groups()
    if not 1 <= int(emotion) <= len(RAVDESS_NAMES):
        return f"emotion {emotion} in {name}; known: 01 to {len(RAVDESS_NAMES):02d}"
    return Named(name, RAVDESS_NAMES[int(emotion) - 1], actor) if (modality, channel) == ("02", "01") else None
