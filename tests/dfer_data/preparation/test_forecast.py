"""The forecast of a pilot: what is measured on few videos, scaled to all."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from dfer_data.preparation.forecast import WorkMeter, wilson_interval
from tests.dfer_data.crop_source import source_of

IDS = [f"{label}/{number:02d}" for label in ("happy", "sad") for number in range(20)]


def test_the_interval_is_wilsons() -> None:
    low, high = wilson_interval(3, 30)  # by hand: (0.1 + z2/60 -+ z sqrt(0.003 + z2/3600)) / (1 + z2/30)
    z = 1.959964
    half = z * math.sqrt(0.1 * 0.9 / 30 + z**2 / 3600)
    assert (low, high) == pytest.approx(
        ((0.1 + z**2 / 60 - half) / (1 + z**2 / 30), (0.1 + z**2 / 60 + half) / (1 + z**2 / 30))
    )
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == 1.0


def test_the_interval_covers_the_share() -> None:
    rng = np.random.default_rng(0)
    intervals = {count: wilson_interval(count, 100) for count in range(101)}
    covered = [low <= 0.05 <= high for low, high in (intervals[count] for count in rng.binomial(100, 0.05, 4000))]
    assert 0.93 < np.mean(covered) < 0.99


def test_workers_that_wait_for_a_last_video_do_not_slow_the_forecast() -> None:
    """Two workers, three videos of 10 s: 20 s pass, in which all would be 15 s with endless videos."""
    meter = WorkMeter({"a": 5, "b": 5, "c": 5})
    meter.begin(0.0)
    meter.start("a", 1.0)
    meter.start("b", 1.0)
    meter.stop("a", 7, 11.0)
    meter.start("c", 11.0)
    meter.stop("b", 7, 11.0)
    meter.stop("c", 7, 21.0)
    assert (meter.busy_seconds, meter.num_parallel, meter.source_bytes, meter.num_frames) == (30.0, 2, 15, 21)


def test_without_starts_a_video_begins_when_the_one_before_it_ends() -> None:
    meter = WorkMeter({"a": 5, "b": 5})
    meter.begin(2.0)
    meter.stop("a", 7, 5.0)
    meter.skip("taken over", 9.0)
    meter.stop("b", 7, 10.0)
    assert (meter.busy_seconds, meter.num_parallel) == (4.0, 1)


def test_a_pilot_ends_with_a_forecast_for_all_videos(tmp_path: Path) -> None:
    source = source_of(tmp_path / "source", *IDS)
    for clip_id in IDS[::4]:
        (source.root / clip_id / "000.jpg").write_text("not a picture")
    out = tmp_path / "out"
    pilot = source.prepare(out, limit=16).forecast
    assert pilot is not None
    written = json.loads((out / "summary.json").read_bytes())
    assert written["result"]["forecast"] == pilot.as_result()
    assert written["times"]["forecast"] == pilot.as_times()
    assert (pilot.num_videos, pilot.num_measured, pilot.num_parallel) == (40, 16, 1)
    assert pilot.failed_low <= 0.25 <= pilot.failed_high
    assert pilot.seconds is not None
    assert 0 < pilot.seconds < 60
    again = source.prepare(out, limit=16).forecast
    assert again is not None
    assert again.seconds is None  # nothing was decoded
    assert again.as_result() == pilot.as_result()
    assert "time unknown" in str(again)
    full = source.prepare(out)
    assert full.forecast is None
    written = json.loads((out / "summary.json").read_bytes())
    assert "forecast" not in written["result"]
    assert pilot.output_bytes == pytest.approx(written["result"]["output_bytes"], rel=0.3)
    assert source.prepare(tmp_path / "all", limit=40).forecast is None  # no pilot
