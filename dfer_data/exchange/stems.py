"""Names of files for clips: unique, inside the export, and without what readers of lists split lines at."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from dfer_data.video.reader import VIDEO_EXTENSIONS

_UNSAFE = re.compile(r"[\s%\"'\\:*?<>|,\x00-\x1f\x7f]")
_HIDDEN = re.compile(r"^\.+")
_CUT_CODE = re.compile(r"%[0-9A-F]?$")
_MOST_BYTES = 240
"""Of a file name, which file systems limit to 255 with its suffix."""
_KEPT_BYTES, _DIGITS = 200, 16


def stems_of(clip_ids: Iterable[str]) -> Mapping[str, str]:
    """Return clip id -> path without suffix, below the folder of a kind of files.

    The path is the id without the extension of its video, where that is unique. Spaces, commas, quotes and characters
    that some file systems refuse are written as `%20`, byte by byte in UTF-8; so are points at the beginning of a name,
    and the slash after the path of another clip, since a clip's folder holds its frames alone. A name that would be too
    long ends with `%~` and digits of its sha256 instead.
    """
    ids = list(clip_ids)
    counts = Counter(_without_extension(clip_id) for clip_id in ids)
    plain = set(ids)
    paths = {clip_id: _safe(_chosen(clip_id, counts, plain)) for clip_id in ids}
    taken = set(paths.values())
    return {clip_id: _short(_apart(path, taken)) for clip_id, path in paths.items()}


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
    quoted = _UNSAFE.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8")), name)
    return _HIDDEN.sub(lambda match: "%2E" * len(match[0]), quoted) or "%"


def _apart(path: str, taken: Collection[str]) -> str:
    """Return a path that is in the folder of no other one."""
    name, *others = path.split("/")
    before = name
    for other in others:
        name += f"{'%2F' if before in taken else '/'}{other}"
        before += f"/{other}"
    return name


def _short(path: str) -> str:
    return "/".join(_short_name(name) for name in path.split("/"))


def _short_name(name: str) -> str:
    """Return a name that is short enough; different names have different ones."""
    content = name.encode("utf-8")
    if len(content) <= _MOST_BYTES:
        return name
    begin = _CUT_CODE.sub("", content[:_KEPT_BYTES].decode("utf-8", "ignore"))
    return f"{begin}%~{hashlib.sha256(content).hexdigest()[:_DIGITS]}"
