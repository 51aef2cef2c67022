from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from dfer_data import export, open_dataset
from dfer_data.exchange.run import plan_export
from dfer_data.exchange.settings import ExportSettings
from tests.dfer_data import sounds


def samples_of(path: Path) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_each_clip_with_sound_has_a_file_that_begins_with_its_first_frame(heard: Path, tmp_path: Path) -> None:
    planned = plan_export(heard, ExportSettings(format="wav"), tmp_path / "out")
    calls: list[tuple[int, int]] = []
    summary = export(heard, format="wav", out=tmp_path / "out", on_clip=lambda *call: calls.append(call))
    assert calls[-1] == (6, 6)
    rows = [line.split(",") for line in (tmp_path / "out/clips.csv").read_text().splitlines()[1:]]
    paths = {row[0]: (row[1], row[-1]) for row in rows}
    assert paths["sad/mute.mp4"] == ("", "sound: none")
    assert paths["sad/junk.mp4"] == ("", "no face")
    assert {clip_id for clip_id, (path, _) in paths.items() if path} == {
        clip_id for clip_id, state in sounds.FILM_STATES.items() if state != "none"
    }
    dataset = open_dataset(heard)
    for clip_id, (path, _) in paths.items():
        if path:
            stored = np.rint(dataset.read_audio(clip_id) * 32768).astype(np.int16)
            np.testing.assert_array_equal(samples_of(tmp_path / "out" / path), stored)
    heard_at = sounds.onsets(samples_of(tmp_path / "out" / paths["happy/ok.webm"][0]).astype(np.float32))
    assert heard_at == pytest.approx(sounds.FILM_TIMES, abs=0.01)
    assert (summary.num_clips, summary.num_without_sound, summary.num_without_face) == (6, 1, 1)
    media = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.wav"))
    assert (planned.num_bytes, planned.num_files) == (media, summary.num_files)
