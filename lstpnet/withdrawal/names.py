"""Recognise withdrawn clips by their ids: in tables, in the paths of their videos, and as words of a text."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

from dfer_data.video.reader import VIDEO_EXTENSIONS

_WORD = re.compile(r"\w+")
_ESCAPE = re.compile(r"\\(?=[^a-zA-Z0-9\s])")
_DERIVED = re.compile(r"(-annotated|-person-\d+)$")
"""What `dfer predict` appends to a video's name."""


class Names:
    """The ids of withdrawn clips, and of their videos."""

    def __init__(self, clip_ids: Iterable[str], video_ids: Iterable[str] = ()) -> None:
        """`video_ids`: ids of the videos of which no clip is left."""
        self.clip_ids = frozenset(clip_ids)
        self._ids = self.clip_ids | frozenset(video_ids)
        forms = {form for name in self._ids for form in _forms(name)}
        self._words = {form for form in forms if _WORD.fullmatch(form)}
        self._phrases = sorted(forms - self._words)

    def has(self, name: str) -> bool:
        """Return whether this is the id of a withdrawn clip or video."""
        return name in self._ids

    def are_shown_by(self, origin: str) -> bool:
        """Return whether an id or the path of a video is a withdrawn one; the path may begin with any folders."""
        parts = unicodedata.normalize("NFC", origin).replace("\\", "/").split("/")
        tails = ("/".join(parts[start:]) for start in range(len(parts)))
        return any(tail in self._ids or _without_ending(tail) in self._ids for tail in tails)

    def are_in_path(self, path: str) -> bool:
        """Return whether a file is named after a withdrawn clip, as dfer and others name pictures and videos."""
        folder, slash, name = path.rpartition("/")
        stem = unquote(name).rpartition(".")[0] or unquote(name)
        return any(
            self.are_shown_by(folder + slash + form) for form in (name, unquote(name), stem, _DERIVED.sub("", stem))
        )

    def are_in_text(self, text: str) -> bool:
        """Return whether a text holds one of the ids as a whole word; digits in a decimal number are no word."""
        return self._are_in(text) or ("\\" in text and self._are_in(unescaped(text)))

    def _are_in(self, text: str) -> bool:
        if words := self._words.intersection(_WORD.findall(text)):
            pattern = "|".join(map(re.escape, words))
            if re.search(rf"(?<!\w)(?<!\d\.)(?:{pattern})(?!\w)(?!\.\d)", text):
                return True
        return any(phrase in text and re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) for phrase in self._phrases)


def unescaped(text: str) -> str:
    r"""Return a text without the backslashes that Markdown and LaTeX have before signs, as in `n\_test`."""
    return _ESCAPE.sub("", text)


def _forms(name: str) -> Iterator[str]:
    """Yield an id as texts write it: as it is, in JSON, in HTML and in URLs."""
    yield name
    yield json.dumps(name, allow_nan=False)[1:-1]
    yield html.escape(name)
    yield quote(name, safe=" #@()[]+=,")
    yield quote(name)


def _without_ending(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending}".lower() in VIDEO_EXTENSIONS else name
