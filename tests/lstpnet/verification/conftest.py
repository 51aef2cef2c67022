from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.lstpnet.conftest import Done


@pytest.fixture
def copy(validated: Done, tmp_path: Path) -> Path:
    """A copy of a finished run with two checkpoints."""
    return Path(shutil.copytree(validated.folder, tmp_path / "copy"))
