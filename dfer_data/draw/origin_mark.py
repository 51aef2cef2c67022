"""Mark drawn pictures and videos with the clip or video that they show, so that all of a person can be found again.

A PNG gets a chunk iTXt with the keyword `Source`, an mp4 the field `comment`; the text is `dfer: ` and the origin.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

_KEYWORD, _START = b"Source", "dfer: "
_PNG = b"\x89PNG\r\n\x1a\n"
_IHDR_END = len(_PNG) + 25
_MOST_CHUNK_BYTES = 1 << 20
_PROBE_BYTES = 1 << 16


def origin_text(origin: str) -> str:
    """Return the text of the mark, for the field `comment` of a video."""
    return _START + origin.encode("utf-8", "backslashreplace").decode("utf-8")


def marked_png(png: bytes, origin: str) -> bytes:
    """Return a PNG with a mark of what it shows, a path or the id of a clip."""
    body = b"iTXt" + _KEYWORD + bytes(5) + origin_text(origin).encode("utf-8")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_IHDR_END] + chunk + png[_IHDR_END:]


def origin_of(path: Path) -> str | None:
    """Return what a picture or video of dfer shows; None for any other file, and for those of dfer 0.1.

    Raises OSError for a file that cannot be read.
    """
    text = _png_text(path) if path.suffix.lower() == ".png" else _video_comment(path)
    return text.removeprefix(_START) if text is not None and text.startswith(_START) else None


def _png_text(path: Path) -> str | None:
    with path.open("rb") as file:
        if not file.read(_IHDR_END).startswith(_PNG):
            return None
        while len(head := file.read(8)) == 8:
            num_bytes, kind = struct.unpack(">I4s", head)
            if kind in (b"IDAT", b"IEND") or num_bytes > _MOST_CHUNK_BYTES:
                return None
            content = file.read(num_bytes + 4)[:-4]
            if kind == b"iTXt" and content.startswith(_KEYWORD + bytes(5)):
                return content[len(_KEYWORD) + 5 :].decode("utf-8", "replace")
    return None


def _video_comment(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(_PROBE_BYTES)
        file.seek(-min(_PROBE_BYTES, path.stat().st_size), 2)
        if _START.encode() not in head + file.read():  # most videos need not be opened
            return None
    import av

    try:
        with av.open(str(path)) as container:
            return container.metadata.get("comment")
    except (av.FFmpegError, ValueError):
        return None
