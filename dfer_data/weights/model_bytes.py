"""Read a model file once, and check the hash of the bytes that are used."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dfer_data.errors import UsageError, WeightsError


def read_model_file(path: Path, *, sha256: str = "") -> bytes:
    """Return the bytes of a model file.

    Nothing opens the path again: a file that is replaced after this call changes nothing.
    `sha256`: hash that the bytes must have; empty: any. Raises UsageError for what is not a readable file, WeightsError
    for other bytes.
    """
    if not path.is_file():
        raise UsageError(f"{path} is not a model file: there is no such file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    if sha256 and (actual := hashlib.sha256(content).hexdigest()) != sha256:
        raise WeightsError(
            f"{path} has sha256 {actual[:12]}, expected {sha256[:12]}: it was replaced during the run; keep the file "
            "as it is, then run the same command again"
        )
    return content
