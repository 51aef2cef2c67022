"""A video of two hours: it becomes clips of a minute, and its worker's memory stays flat and small."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from dfer_data.config import Request
from dfer_data.loading.prepared import open_dataset
from dfer_data.preparation.request import resolve_request
from dfer_data.preparation.run import PreparationEvent, run_preparation
from dfer_data.preparation.workers.crew import VideoStarted
from tests.dfer_data import tiny

HOURS_SOAK = 2.0
MAX_BYTES = 400 * 2**20


def watch_memory(source: Path, out: Path, **options: object) -> tuple[list[int], int]:
    """Prepare a folder with one worker; return its resident bytes over time, and the number of clips."""
    sizes: list[int] = []
    pids: list[int] = []
    is_over = threading.Event()

    def note(event: PreparationEvent) -> None:
        if isinstance(event, VideoStarted):
            pids.append(event.pid)

    def watch() -> None:
        while not is_over.wait(0.05):
            for pid in pids[-1:]:
                if psutil.pid_exists(pid):
                    sizes.append(psutil.Process(pid).memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        resolved = resolve_request(Request(dataset="folder", source=source, **options))  # type: ignore[arg-type]
        run_preparation(resolved, out, num_workers=1, on_event=note)
    finally:
        is_over.set()
        thread.join()
    return sizes, len(open_dataset(out).clips)


def write_long(path: Path, real_videos: dict[str, Path], *, seconds: float, frames_per_second: int) -> Path:
    """A face for ever: one second of a real video, again and again."""
    images = tiny.real_pictures(real_videos["single_face.mp4"], stop=25)
    number = round(seconds * frames_per_second)
    return tiny.write_video(
        path,
        [images[index % len(images)] for index in range(number)],
        codec="libx264",
        frames_per_second=frames_per_second,
        options={"preset": "ultrafast"},
    )


def test_memory_does_not_grow_with_the_length_of_a_video(real_videos: dict[str, Path], tmp_path: Path) -> None:
    """Two minutes in clips of two seconds; with all frames kept, 3,000 of them would take 130 MB."""
    write_long(tmp_path / "source" / "a.mp4", real_videos, seconds=120, frames_per_second=25)
    sizes, num_clips = watch_memory(tmp_path / "source", tmp_path / "out", det_size_px=64, clip_seconds=2.0)
    assert num_clips == 60
    later = sizes[len(sizes) // 3 :]
    assert np.max(later) - np.median(sizes[len(sizes) // 3 : len(sizes) // 2]) < 30 * 2**20
    assert np.max(sizes) < MAX_BYTES


@pytest.mark.soak
def test_a_two_hour_video(real_videos: dict[str, Path], tmp_path: Path) -> None:
    write_long(tmp_path / "source" / "a.mp4", real_videos, seconds=HOURS_SOAK * 3600, frames_per_second=25)
    start = time.monotonic()
    sizes, num_clips = watch_memory(tmp_path / "source", tmp_path / "out", det_size_px=320)
    tenths = [np.max(part) / 2**20 for part in np.array_split(sizes, 10)]
    print(
        f"\n{HOURS_SOAK:g} h, {num_clips} clips in {time.monotonic() - start:.0f} s; "
        f"MiB resident, greatest of each tenth of the time: {' '.join(f'{size:.0f}' for size in tenths)}"
    )
    assert num_clips == round(HOURS_SOAK * 60)
    assert max(tenths) * 2**20 < MAX_BYTES
    assert max(tenths[2:9]) - min(tenths[2:9]) < 10
    assert max(tenths) - min(tenths[2:]) < 60  # the contact sheet of all clips, at the end
