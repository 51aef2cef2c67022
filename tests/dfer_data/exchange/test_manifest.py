from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_data.errors import FormatVersionError
from dfer_data.exchange.manifest import parse_sums, sums_bytes, verify_export
from dfer_data.storage.files import sealed_json
from tests.dfer_data.exchange.conftest import Exported


@pytest.fixture
def copy(exported: Exported, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported("s2d"), tmp_path / "copy"))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def other_digit(path: Path, place: int) -> None:
    text = path.read_text()
    path.write_text(text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :])


CHANGES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a frame": (lambda root: flip(root / "clips/00001/00001.jpg", 200), "clips/00001/00001.jpg", "sha256"),
    "a list": (lambda root: flip(root / "test_set_1.csv", 30), "test_set_1.csv", "sha256"),
    "the card": (lambda root: flip(root / "README.md", 30), "README.md", "sha256"),
    "a missing frame": (lambda root: (root / "clips/00002/00001.jpg").unlink(), "clips/00002/00001.jpg", "is missing"),
    "another file": (lambda root: (root / "clips/x.jpg").touch(), "clips/x.jpg", "is not part of the export"),
    "the sums": (lambda root: other_digit(root / "SHA256SUMS", 3), "SHA256SUMS", "does not match"),
    "export.json": (lambda root: flip(root / "export.json", 30), "export.json", "was changed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_found(copy: Path, change: str) -> None:
    assert verify_export(copy).damages == ()
    make, name, fault = CHANGES[change]
    make(copy)
    damages = dict(verify_export(copy).damages)
    assert fault in damages[name]


def test_an_export_of_a_newer_dfer_is_not_judged(copy: Path) -> None:
    document = json.loads((copy / "export.json").read_text())
    (copy / "export.json").write_bytes(sealed_json({**document, "version": 2}))
    with pytest.raises(FormatVersionError, match="version 2"):
        verify_export(copy)


def test_sums_are_read_back_and_a_cut_last_line_is_dropped() -> None:
    hashes = {"b c": "0" * 64, "a/é": "1" * 64}
    content = sums_bytes(hashes)
    assert parse_sums(content) == hashes
    assert parse_sums(content[:-3], is_cut=True) == {"a/é": "1" * 64}
    with pytest.raises(ValueError, match="is not a hash and a path"):
        parse_sums(content[:-3])
