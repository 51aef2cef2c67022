"""Take the names of a source out of messages, since a path may spell the label, and put them back."""

from __future__ import annotations

from pathlib import PurePosixPath

_ID, _PATH, _NAME = "\ue000", "\ue001", "\ue002"
"""Characters for private use, which stand for the id, the path and the file name of a source."""


def _words(clip_id: str, path: str) -> list[tuple[str, str]]:
    """Return each mark with what it stands for, the longest first."""
    pairs = [(_ID, clip_id), (_PATH, path), (_NAME, PurePosixPath(path).name)]
    return sorted(((mark, word) for mark, word in pairs if word), key=lambda pair: -len(pair[1]))


def masked(text: str, *, clip_id: str, path: str) -> str:
    """Return a message without the id, path and file name of its source. ValueError if it could not be put back."""
    hidden = text
    for mark, word in _words(clip_id, path):
        hidden = hidden.replace(word, mark)
    if unmasked(hidden, clip_id=clip_id, path=path) != text:
        raise ValueError(f"{text!r:.200} holds characters for private use")
    return hidden


def unmasked(text: str, *, clip_id: str, path: str) -> str:
    """Return a message with the id, path and file name of its source."""
    for mark, word in ((_ID, clip_id), (_PATH, path), (_NAME, PurePosixPath(path).name)):
        text = text.replace(mark, word)
    return text
