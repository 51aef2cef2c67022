"""Class names of each dataset, and the numbers that the dataset's files use for them.

Numberings differ between datasets and between papers on one dataset, so all code after an adapter uses names only. An
emotion has the same name in all datasets (`happy`, even if a dataset writes `happiness`), so that classes match.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DFEW_NAMES = ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear")
"""DFEW's seven single-label classes in the order of its annotation files."""

DFEW_NUMBERS: Mapping[int, str] = MappingProxyType(dict(enumerate(DFEW_NAMES, start=1)))
"""Label numbers of the official split CSVs; they start at 1."""

MAFW_NAMES = (
    *("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"),
    *("contempt", "anxiety", "helplessness", "disappointment"),
)
"""MAFW's eleven classes in the order of its paper."""

CREMAD_NAMES = ("angry", "disgust", "fear", "happy", "neutral", "sad")
"""CREMA-D's six classes in the order of their codes ANG DIS FEA HAP NEU SAD."""

RAVDESS_NAMES = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")
"""RAVDESS' eight classes in the order of their codes 01 to 08."""

EMOTIONS = frozenset((*DFEW_NAMES, *MAFW_NAMES, *CREMAD_NAMES, *RAVDESS_NAMES))
"""The canonical names of all emotions of the known datasets."""

_SYNONYMS = MappingProxyType(
    {
        "anger": "angry",
        "anxious": "anxiety",
        "calmness": "calm",
        "contemptuous": "contempt",
        "disappointed": "disappointment",
        "disgusted": "disgust",
        "fearful": "fear",
        "happiness": "happy",
        "helpless": "helplessness",
        "joy": "happy",
        "neutrality": "neutral",
        "sadness": "sad",
        "surprised": "surprise",
    }
)


def emotion(word: str) -> str:
    """Return the canonical name of an emotion: `Happiness` -> `happy`; unknown words are returned in lower case."""
    name = word.strip().lower()
    return _SYNONYMS.get(name, name)
