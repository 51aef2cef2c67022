"""Class names of each dataset, and the numbers that the dataset's files use for them.

Numberings differ between datasets and between papers on one dataset, so all code after an adapter uses names only. An
emotion has the same name in all datasets (`happy`, even if a dataset writes `happiness`), so that classes match.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
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

ENTERFACE05_NAMES = ("angry", "disgust", "fear", "happy", "sad", "surprise")
"""eNTERFACE05's six classes in the order of its folders."""

CAER_NAMES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""CAER's seven classes in the order of its folders."""

MELD_NAMES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""MELD's seven classes in the order of its README's table; it writes `joy` for `happy`."""

MER_NAMES = ("neutral", "angry", "happy", "sad", "worried", "surprise")
"""The six classes of MER2023 and MER2024 in the order of the organisers' code."""

MAFW_COMPOUND_NAMES = (
    *MAFW_NAMES,
    *("angry_disgust", "anxiety_helplessness", "fear_surprise", "happy_contempt", "disgust_contempt", "sad_anxiety"),
    *("angry_surprise", "fear_anxiety", "fear_sad", "helplessness_disappointment", "surprise_anxiety"),
    *("happy_surprise", "sad_helplessness_disappointment", "fear_surprise_anxiety", "sad_helplessness", "angry_sad"),
    *("sad_disappointment", "angry_anxiety", "angry_helplessness", "disgust_helplessness", "sad_surprise"),
    *("anxiety_helplessness_disappointment", "sad_anxiety_helplessness", "disgust_disappointment", "disgust_anxiety"),
    *("angry_disgust_contempt", "disgust_surprise", "disgust_sad", "fear_sad_anxiety", "angry_disgust_anxiety"),
    *("disgust_anxiety_helplessness", "disgust_helplessness_disappointment"),
)
"""MAFW's 43 single and compound classes in the order of MSA-LMC/CLAIP-Emo's lists; their parts are MAFW_NAMES."""

EMOTIONS = frozenset((*DFEW_NAMES, *MAFW_NAMES, *CREMAD_NAMES, *RAVDESS_NAMES, *MER_NAMES))
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


def known_class(word: str, known: Container[str]) -> str:
    """Return the known class that a word names, in its spelling or in another of the same emotion, else the word."""
    return word if word in known or emotion(word) not in known else emotion(word)
