"""`dfer inspect` shows how many clips are in each state of sound, and how loud they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dfer_data.inspection.audio_levels import AudioLevels, audio_levels, audio_sections
from dfer_data.inspection.dataset_statistics import statistics_sections
from dfer_data.loading.prepared import open_dataset
from dfer_data.types import Floats
from tests.dfer_data.sounds import FILM_STATES


def level(samples: Floats) -> float:
    return float(20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))))


def test_states_and_levels_are_those_of_the_samples(heard: Path) -> None:
    data = open_dataset(heard)
    levels = {found.state: found for found in audio_levels(data)}
    assert list(levels) == ["all", "ok", "none", "short", "silent", "damaged"]
    assert {state: found.num_clips for state, found in levels.items()} == {
        "all": 7,
        **{state: list(FILM_STATES.values()).count(state) for state in ("ok", "none", "short", "silent", "damaged")},
    }
    assert levels["short"].share == pytest.approx(2 / 7)
    heard_ids = [clip_id for clip_id, state in FILM_STATES.items() if state not in ("none", "silent")]
    assert levels["all"].rms_dbfs == pytest.approx(
        np.median([level(data.read_audio(clip_id)) for clip_id in heard_ids]), abs=0.01
    )
    assert levels["silent"] == AudioLevels("silent", 1, 1 / 7, None, None)
    assert levels["ok"].clipped_share == 0


def test_the_page_has_the_table_only_with_sound(heard: Path, crops: Path) -> None:
    (section,) = audio_sections(open_dataset(heard))
    assert section.header == ("sound", "clips", "share %", "RMS dBFS median", "clips at full scale %")
    assert [cells[:3] for cells in section.cells][:2] == [("all", "7", "100.00"), ("ok", "2", "28.57")]
    assert section in statistics_sections(open_dataset(heard))
    assert audio_sections(open_dataset(crops)) == []
