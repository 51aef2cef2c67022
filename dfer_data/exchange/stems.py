"""Names of files for clips: unique, inside the export, and without what readers of lists split lines at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from dfer_data.video.reader import VIDEO_EXTENSIONS

_UNSAFE = re.compile(r"[\s%\"'\\:*?<>|,\x00-\x1f\x7f]")
_HIDDEN = re.compile(r"^\.+")


def stems_of(clip_ids: Iterable[str]) -> Mapping[str, str]:
    """Return clip id -> path without suffix, below the folder of a kind of files.

    The path is the id without the extension of its video, where that is unique. Spaces, commas, quotes and characters
    that some file systems refuse are written as `%20`; so are points at the beginning of a name.
    """
    ids = list(clip_ids)
    counts = Counter(_without_extension(clip_id) for clip_id in ids)
    plain = set(ids)
    return {clip_id: _safe(_chosen(clip_id, counts, plain)) for clip_id in ids}


def _chosen(clip_id: str, counts: Counter[str], plain: set[str]) -> str:
    short = _without_extension(clip_id)
    return short if counts[short] == 1 and (short == clip_id or short not in plain) else clip_id


def _without_extension(clip_id: str) -> str:
    stem, point, extension = clip_id.rpartition(".")
    is_video = f"{point}{extension}".lower() in VIDEO_EXTENSIONS and not stem.endswith(("/", "."))
    return stem if is_video and stem else clip_id


def _safe(path: str) -> str:
    return "/".join(_safe_name(name) for name in path.split("/"))


def _safe_name(name: str) -> str:
    """Return a file name; different names have different ones."""
    quoted = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name)
    return _HIDDEN.sub(lambda match: "%2E" * len(match[0]), quoted) or "%"
