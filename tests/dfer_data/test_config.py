"""Stored settings of `prepare`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dfer_data.config import TRACK_LIMITS, PrepareConfig, Request
from dfer_data.errors import FormatVersionError, UsageError
from tests.dfer_data.tiny import CONFIG


def test_settings_survive_their_file() -> None:
    assert PrepareConfig.from_dict(CONFIG.as_dict()) == CONFIG
    assert PrepareConfig.from_dict(CONFIG.as_dict()).sha256 == CONFIG.sha256


def test_settings_of_a_newer_dfer_are_refused() -> None:
    with pytest.raises(FormatVersionError, match=r"settings of a newer dfer \(colour\): update"):
        PrepareConfig.from_dict(CONFIG.as_dict() | {"colour": "red"})


def test_limits_of_tracks_that_are_off_are_not_stored() -> None:
    assert not CONFIG.as_dict().keys() & set(TRACK_LIMITS)
    every = replace(CONFIG, all_tracks=True)
    limited = replace(every, min_track_frames=16, min_brightness=8)
    assert every.as_dict() | {"min_track_frames": 16, "min_brightness": 8} == limited.as_dict()
    for config in (every, limited):
        assert PrepareConfig.from_dict(config.as_dict()) == config


def test_the_usual_alignment_is_not_stored() -> None:
    """Datasets made with it keep the bytes and the hash of the time before there was another one."""
    assert not CONFIG.as_dict().keys() & {"align_points", "align_scale"}
    other = replace(CONFIG, align_points="rigid", align_scale="track")
    assert CONFIG.as_dict() | {"align_points": "rigid", "align_scale": "track"} == other.as_dict()
    assert len({CONFIG.sha256, other.sha256, replace(CONFIG, align_points="rigid").sha256}) == 3
    for config in (CONFIG, other):
        assert PrepareConfig.from_dict(config.as_dict()) == config


def test_points_and_scale_of_the_alignment_need_a_template() -> None:
    with pytest.raises(UsageError, match=r"^--align-points rigid and --align-scale track: only with --align template$"):
        replace(CONFIG, align="box", align_points="rigid", align_scale="track")
    with pytest.raises(UsageError, match=r"^--align-scale track: only with --align template$"):
        Request(dataset="folder", source=Path(), align="given", align_scale="track")
    with pytest.raises(UsageError, match="--align-points mouth: must be all or rigid"):
        Request(dataset="folder", source=Path(), align_points="mouth")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TRACK_LIMITS)
@pytest.mark.parametrize(
    ("kind", "others"), [(Request, {"dataset": "folder", "source": Path()}), (PrepareConfig, CONFIG.as_dict())]
)
def test_limits_of_tracks_need_all_tracks(kind: Any, others: dict[str, Any], name: str) -> None:
    with pytest.raises(UsageError, match=f"^--{name.replace('_', '-')}: only with --all-tracks$"):
        kind(**others | {name: 1})
    assert getattr(kind(**others | {name: 1, "all_tracks": True}), name) == 1
