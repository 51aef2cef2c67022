"""One export per format, shared by the tests that only read it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dfer_data import export
from tests.crops import prepare_crops, write_crops

Exported = Callable[[str], Path]


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """21 clips, for exports that encode them."""
    root = tmp_path_factory.mktemp("few")
    return prepare_crops(write_crops(root / "source", num_clips=21), root / "dfew-none")


@pytest.fixture(scope="session")
def exported(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return the export of `crops` in a format, made once."""
    made: dict[str, Path] = {}
    root = tmp_path_factory.mktemp("exports")

    def of(name: str) -> Path:
        if name not in made:
            media = "mp4" if name.endswith("-mp4") else "frames"
            export(crops, format=name.removesuffix("-mp4"), media=media, out=root / name)
            made[name] = root / name
        return made[name]

    return of
