"""A folder or a named pipe where a file is expected is named in one line at once; nothing waits for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_cli._support.settings import FILE_NAME, load_settings
from dfer_data.errors import DferError
from dfer_data.faces.subject import read_subjects
from dfer_data.sources.registry import adapter
from dfer_data.storage.files import read_regular, read_regular_text
from dfer_data.weights.model_bytes import read_model_file
from lstpnet.checkpoints.open_model import open_model
from lstpnet.checkpoints.start_weights import read_start_weights
from lstpnet.recipe_files import resolve_recipe

_READERS: dict[str, Callable[[Path], object]] = {
    FILE_NAME: lambda path: load_settings(path.parent),
    "recipe.toml": lambda path: resolve_recipe(str(path)),
    "subjects.csv": read_subjects,
    "labels.csv": lambda path: adapter("csv").list(path, layout="videos"),
    "model.onnx": open_model,
    "authors.pth": lambda path: open_model(path, trained_on="dfew"),
    "start.safetensors": read_start_weights,
    "detector.onnx": read_model_file,
}


@pytest.mark.parametrize("kind", ["pipe", "folder"])
@pytest.mark.parametrize("name", _READERS)
def test_what_is_no_file_is_named_at_once(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    make: Callable[[Path], None] = os.mkfifo if kind == "pipe" else os.mkdir
    make(path)
    with pytest.raises(DferError) as caught:
        _READERS[name](path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_is_no_file() -> None:
    with pytest.raises(OSError, match="not a file"):
        read_regular(Path("/dev/zero"))


def test_any_line_endings_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_regular_text(tmp_path / "a.csv") == "a\nb\nc\n"
