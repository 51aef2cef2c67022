"""`--max-failures`: when a run stops, what it keeps, and how it resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dfer_data.errors import FailureLimitError
from dfer_data.inspection.verify import verify
from dfer_data.preparation.failure_limit import FailureCounter
from dfer_data.preparation.tasks import VideoDone
from tests.dfer_data.crop_source import contents, source_of

IDS = [f"happy/{number:02d}" for number in range(20)]


def count(limit: str | None, outcomes: str) -> int | None:
    """Return the number of videos after which the counter stops the run; `x` fails, `.` succeeds; None: it never does.

    The check at the end counts as one more.
    """
    counter = FailureCounter(limit)
    for number, outcome in enumerate(outcomes, start=1):
        try:
            counter.count(VideoDone(str(number), 3, ("ok", "NO_FACE") if outcome == "x" else ("partial",)))
        except FailureLimitError:
            return number
    try:
        counter.check()
    except FailureLimitError:
        return len(outcomes) + 1
    return None


@pytest.mark.parametrize(
    ("limit", "outcomes", "stops_at"),
    [
        (None, "x" * 100, None),
        ("0", "..x..", 3),
        ("2", "xx...", None),
        ("2", "xx..x", 5),
        ("5%", "x" * 49 + ".", 50),  # not before the fiftieth
        ("5%", "xx" + "." * 38, None),  # 2 of 40 are 5 %: not more
        ("5%", "xx" + "." * 37, 40),  # 2 of 39 are more: at the end
        ("5%", "." * 95 + "xxxxxx", 101),
        ("100%", "x" * 60, None),
        ("0%", "." * 60 + "x", 61),
    ],
)
def test_a_run_stops_when_more_videos_fail(limit: str | None, outcomes: str, stops_at: int | None) -> None:
    assert count(limit, outcomes) == stops_at


@pytest.mark.parametrize("options", [{}, {"engine": "processes", "workers": 2}], ids=["inline", "processes"])
def test_finished_shards_are_kept_and_the_same_command_resumes(tmp_path: Path, options: dict[str, Any]) -> None:
    source = source_of(tmp_path / "source", *IDS)
    for clip_id in (IDS[4], IDS[9], IDS[15]):
        (source.root / clip_id / "001.jpg").write_text("not a picture")
    undisturbed = tmp_path / "undisturbed"
    assert source.prepare(undisturbed).num_failed == 3
    out = tmp_path / "out"
    with pytest.raises(FailureLimitError, match=r"2 of \d+ videos failed \(BAD_PICTURE 2\); finished shards are kept"):
        source.prepare(out, max_failures="1", **options)
    num_kept = len(list((out / "shards").glob("*.json")))
    assert 0 < num_kept < len(list((undisturbed / "shards").glob("*.json")))
    assert not (out / "dataset.json").exists()
    summary = json.loads((out / "summary.json").read_bytes())
    assert summary["state"] == "failed"
    assert summary["message"].startswith("stopped by --max-failures 1: 2 of ")
    assert summary["result"]["shards_done"] == num_kept
    source.prepare(out, max_failures=3)
    assert contents(out) == contents(undisturbed)
    assert verify(out).damages == ()
    assert source.prepare(out, max_failures="0").num_shards_made == 0  # failures of earlier runs do not count
