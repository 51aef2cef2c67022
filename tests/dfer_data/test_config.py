"""Stored settings: a missing one gets the value that applied before it existed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from dfer_data.config import PrepareConfig, with_absent
from dfer_data.errors import FormatVersionError
from tests.dfer_data.tiny import CONFIG


@dataclass(frozen=True)
class Toy:
    """Settings of a later release."""

    size: int
    old: str = "default"
    rule: str = field(default="new rule", metadata={"absent": "rule of its time"})


def test_a_setting_added_later_means_the_rule_before_it() -> None:
    assert with_absent(Toy, {"size": 3}) == {"size": 3, "old": "default", "rule": "rule of its time"}
    assert with_absent(Toy, {"size": 3, "rule": "new rule"})["rule"] == "new rule"
    assert Toy(3).rule == "new rule"
    assert "size" not in with_absent(Toy, {})  # every plan states it


def test_settings_survive_their_file() -> None:
    assert PrepareConfig.from_dict(CONFIG.as_dict()) == CONFIG
    assert PrepareConfig.from_dict(CONFIG.as_dict()).sha256 == CONFIG.sha256


def test_settings_of_a_newer_dfer_are_refused() -> None:
    with pytest.raises(FormatVersionError, match=r"settings of a newer dfer \(colour\): update"):
        PrepareConfig.from_dict(CONFIG.as_dict() | {"colour": "red"})
