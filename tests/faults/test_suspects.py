"""A video that takes its worker down: once is forgiven, twice is a coded row, and no other clip suffers either way."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dfer_data.config import Request
from dfer_data.errors import WorkerError
from dfer_data.inspection.verify import verify
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import ResolvedRequest, resolve_request
from dfer_data.preparation.run import PreparationEvent, run_preparation
from dfer_data.preparation.run_settings import Limits, Revision
from dfer_data.preparation.workers.crew import VideoStarted, WorkerLost
from tests.dfer_data import tiny

SUSPECT = "copy-01/happy/single.mp4"
QUICK = Limits(max_stall_seconds=1.0)
Blow = Callable[[int], None]


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def abort(pid: int) -> None:
    os.kill(pid, signal.SIGABRT)


def hang(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


class Blows:
    """Strikes the worker that takes the suspect, up to `most` times; remembers all events."""

    def __init__(self, blow: Blow, *, most: int, suspect: str = SUSPECT) -> None:
        self._blow, self._most, self._suspect = blow, most, suspect
        self.events: list[PreparationEvent] = []
        self.starts: Counter[str] = Counter()

    def __call__(self, event: PreparationEvent) -> None:
        self.events.append(event)
        if isinstance(event, VideoStarted):
            self.starts[event.clip_id] += 1
            if event.clip_id == self._suspect and self.starts[event.clip_id] <= self._most:
                self._blow(event.pid)

    @property
    def lost(self) -> list[WorkerLost]:
        return [event for event in self.events if isinstance(event, WorkerLost)]


WAYS = [
    pytest.param(kill, "CRASHED", "its process was killed by SIGKILL", id="kill"),
    pytest.param(hang, "TIMEOUT", "no sign of progress in 1 s", id="hang"),
]


@pytest.mark.parametrize(
    ("blow", "code", "words"),
    [*WAYS, pytest.param(abort, "CRASHED", "its process was killed by SIGABRT", id="abort")],
)
def test_once_is_forgiven(
    quick: ResolvedRequest, quick_expected: dict[str, str], tmp_path: Path, blow: Blow, code: str, words: str
) -> None:
    blows = Blows(blow, most=1)
    run_preparation(quick, tmp_path / "out", num_workers=2, limits=QUICK, on_event=blows)
    assert tiny.tree(tmp_path / "out") == quick_expected
    assert [(event.clip_id, event.code, event.is_final) for event in blows.lost] == [(SUSPECT, code, False)]
    assert words in blows.lost[0].message
    assert blows.starts.pop(SUSPECT) == 2
    assert set(blows.starts.values()) == {1}  # nobody else's finished work was done again


@pytest.mark.parametrize(("blow", "code", "words"), WAYS)
def test_twice_is_a_row_that_can_be_retried(
    quick: ResolvedRequest, quick_expected: dict[str, str], tmp_path: Path, blow: Blow, code: str, words: str
) -> None:
    out = tmp_path / "out"
    blows = Blows(blow, most=2)
    summary = run_preparation(quick, out, num_workers=2, limits=QUICK, on_event=blows)
    assert [event.is_final for event in blows.lost] == [False, True]
    assert summary.num_clips[code] == 1
    row = open_dataset(out).clip(SUSPECT)
    assert (row["status"], row["code"], row["reason"], row["label"]) == ("failed", code, words, "copy-01")
    assert verify(out, deep=True).damages == ()
    clips = [
        name for name, digest in tiny.tree(out).items() if quick_expected.get(name) == digest and "shards/" in name
    ]
    assert len(clips) == 3 * 10  # shards, sidecars and sound: all but the suspect's are as they should be
    assert run_preparation(quick, out, num_workers=1).num_shards_made == 0  # done is done
    run_preparation(quick, out, num_workers=1, revision=Revision(retry_code=code))
    assert tiny.tree(out) == quick_expected


def test_what_takes_too_much_memory_is_a_row_and_other_clips_do_not_suffer(
    source: Path, real_videos: dict[str, Path], tmp_path: Path
) -> None:
    """Ten frames of 4K beside videos of 160 x 90, in workers that may not grow beyond what those need."""
    shutil.copytree(source / "copy-00" / "happy", tmp_path / "source" / "happy")
    images = tiny.real_pictures(real_videos["single_face.mp4"], stop=10)
    large = [np.asarray(cv2.resize(image, (3840, 2160)), np.uint8) for image in images]
    tiny.write_video(tmp_path / "source" / "happy" / "4k.mp4", large, codec="libx264", options={"preset": "ultrafast"})
    resolved = resolve_request(Request(dataset="folder", source=tmp_path / "source", det_size_px=160))
    limits = Limits(max_memory_mb=350)
    blows = Blows(kill, most=0)
    summary = run_preparation(resolved, tmp_path / "out", num_workers=2, limits=limits, on_event=blows)
    assert summary.num_clips == {"ok": 3, "OUT_OF_MEMORY": 1}
    row = open_dataset(tmp_path / "out").clip("happy/4k.mp4")
    assert (row["code"], row["reason"]) == ("OUT_OF_MEMORY", "used more than 350 MiB of memory")
    assert [(event.clip_id, event.is_final) for event in blows.lost] == [
        ("happy/4k.mp4", False),
        ("happy/4k.mp4", True),
    ]
    retried = Revision(retry_code="OUT_OF_MEMORY")
    summary = run_preparation(resolved, tmp_path / "out", num_workers=2, revision=retried)
    assert summary.num_clips == {"ok": 4}


def test_a_cap_that_no_worker_keeps_ends_the_run(quick: ResolvedRequest, tmp_path: Path) -> None:
    """Two videos a second would otherwise be given up one after the other."""
    with pytest.raises(WorkerError, match=r"lost .*: 10 workers; .* not finished after 0.0001 s"):
        run_preparation(quick, tmp_path / "out", num_workers=2, limits=Limits(max_video_seconds=0.0001))


def test_what_takes_too_long_is_a_row(quick: ResolvedRequest, tmp_path: Path) -> None:
    def slow_down(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)

    limits = Limits(max_stall_seconds=60, max_video_seconds=1.0)
    summary = run_preparation(quick, tmp_path / "out", num_workers=2, limits=limits, on_event=Blows(slow_down, most=2))
    assert summary.num_clips["TIMEOUT"] == 1
    assert open_dataset(tmp_path / "out").clip(SUSPECT)["reason"] == "not finished after 1 s"


def test_two_suspects_are_tried_one_after_the_other(
    quick: ResolvedRequest, quick_expected: dict[str, str], tmp_path: Path
) -> None:
    first, second = Blows(kill, most=1), Blows(kill, most=1, suspect="copy-02/sad/none.mp4")

    def both(event: PreparationEvent) -> None:
        first(event)
        second(event)

    run_preparation(quick, tmp_path / "out", num_workers=4, on_event=both)
    assert tiny.tree(tmp_path / "out") == quick_expected
    assert {event.clip_id for event in first.lost} == {SUSPECT, "copy-02/sad/none.mp4"}
