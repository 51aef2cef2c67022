"""rebuilt.json of a dataset that was rebuilt from a lock: which lock, with what, and how equal the result is.

It is no part of the dataset, which has the hashes of the original where every byte is equal: dataset.json does not list
it. It holds no id of a clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from dfer_data.storage.files import read_sealed, sealed_json
from dfer_data.wording import counted

REBUILT_NAME = "rebuilt.json"
REBUILT_VERSION = 1
_DIGITS = 12


class _Place(Protocol):
    """Where a dataset is."""

    def size(self, name: str) -> int | None: ...

    def read(self, name: str) -> bytes: ...


def rebuilt_bytes(
    *, lock_sha256: str, original_sha256: str, tool_versions: Mapping[str, str], result: Mapping[str, Any] | None
) -> bytes:
    """Return rebuilt.json; `result`: None before the rebuild is finished."""
    return sealed_json(
        {
            "format": "dfer-rebuilt",
            "version": REBUILT_VERSION,
            "lock_sha256": lock_sha256,
            "original_sha256": original_sha256,
            "tool_versions": dict(tool_versions),
            "result": result,
        }
    )


def read_rebuilt(out: _Place) -> dict[str, Any] | None:
    """Return rebuilt.json; None for a dataset that was not rebuilt. Raises CorruptDataError, FormatVersionError."""
    if out.size(REBUILT_NAME) is None:
        return None
    step = "rebuild the dataset again with the same command, which keeps its shards"
    return read_sealed(out.read(REBUILT_NAME), name=f"{out}/{REBUILT_NAME}", version=REBUILT_VERSION, next_step=step)


def rebuilt_words(rebuilt: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Return how a protocol line tells that a dataset was rebuilt, and how equal it is; `document`: dataset.json."""
    lock, result = f"rebuilt from lock {rebuilt['lock_sha256'][:_DIGITS]}", rebuilt["result"]
    if result is None:
        return f"{lock}, unfinished"
    if result["dataset_sha256"] != document["sha256"]:
        lock += ", changed since"
    if result["equal"]["clips"]:
        return f"{lock}, all clips identical"
    frames, clips = result["frames"], result["clips"]
    words = [f"{counted(frames['identical'], 'frame')} identical"]
    words += [f"{frames['same']:,} the same picture"] if frames["same"] else []
    words += [f"{frames['moved']:,} with another time or flag"] if frames["moved"] else []
    words += [f"{counted(clips['failed'], 'clip')} failed"] if clips["failed"] else []
    return f"{lock}: {', '.join(words)}"
