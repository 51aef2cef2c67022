"""Check the names of a listing before the work: the prepared dataset writes each of them on one line."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from dfer_data.errors import AnnotationError
from dfer_data.sources.base import SourceListing
from dfer_data.sources.tree import is_text
from dfer_data.wording import counted

MAX_NAME_BYTES = 4096
"""As long as a path may be; the readers of CSV accept thirty times as much."""
_MAX_FAULTS = 20


def check_names(listing: SourceListing) -> None:
    """Raise AnnotationError for ids, paths, classes and groups with line breaks, control characters or no text."""
    faults = list(_faults(listing))
    if len(faults) > _MAX_FAULTS:
        faults = [*faults[:_MAX_FAULTS], f"and {counted(len(faults) - _MAX_FAULTS, 'more name')} like these"]
    if faults:
        raise AnnotationError(faults)


def name_fault(name: str) -> str:
    """Return why a name cannot be kept; empty if it can."""
    if not name.strip():
        return "is empty or blank"
    if not is_text(name):
        return "is not UTF-8"
    if len(name.encode("utf-8")) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") and character != "\t" for character in name):
        return "has a line break or a control character"
    return ""


def _faults(listing: SourceListing) -> Iterator[str]:
    for video in listing.videos:
        names = {"clip": video.clip_id, "file": video.path or video.clip_id, "subject": video.group or "-"}
        faults = [
            f"{kind} {name!r:.200} {fault}; rename it" for kind, name in names.items() if (fault := name_fault(name))
        ]
        yield from faults[-1:]  # the id of a clip repeats the path of its file
    for name in listing.class_names:
        if fault := name_fault(name):
            yield f"class {name!r:.200} {fault}; rename it"
