"""Stored settings of `prepare`."""

from __future__ import annotations

import pytest

from dfer_data.config import PrepareConfig
from dfer_data.errors import FormatVersionError
from tests.dfer_data.tiny import CONFIG


def test_settings_survive_their_file() -> None:
    assert PrepareConfig.from_dict(CONFIG.as_dict()) == CONFIG
    assert PrepareConfig.from_dict(CONFIG.as_dict()).sha256 == CONFIG.sha256


def test_settings_of_a_newer_dfer_are_refused() -> None:
    with pytest.raises(FormatVersionError, match=r"settings of a newer dfer \(colour\): update"):
        PrepareConfig.from_dict(CONFIG.as_dict() | {"colour": "red"})
