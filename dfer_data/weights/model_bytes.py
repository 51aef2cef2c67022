"""Read a model file once, and check the hash of the bytes that are used."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dfer_data.errors import UsageError, WeightsError

_Model = TypeVar("_Model")


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


def opened_model(path: Path, open_file: Callable[[str], _Model], *, what: str, sha256: str = "") -> _Model:
    """Return what `open_file` makes of a model file, for libraries that read only files: of a copy no one can replace.

    `what`: kind of model, for messages. Raises as `read_model_file`, and UsageError for a file of another kind.
    """
    content = read_model_file(path, sha256=sha256)
    with tempfile.TemporaryDirectory(prefix="dfer-model-") as folder:  # mode 0700
        copy = Path(folder) / "model.dat"
        copy.write_bytes(content)  # closed: Windows opens no file twice that deletes itself
        try:
            return open_file(str(copy))
        except RuntimeError as error:
            reason = str(error).replace(str(copy), path.name)
            raise UsageError(f"{path} is not {what}: {reason}") from error
