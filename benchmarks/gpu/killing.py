"""Section on a killed `dfer prepare`: what it holds while it runs, what is left of it, and what resuming gives."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.gpu.check import Check
from tests.dfer_data import tiny
from tests.videos import fetch_videos

_NUM_VIDEOS, _NUM_WORKERS = 48, 4
_GOALS = (1, 6)
"""Shards after which a run is killed, its whole group at once."""
_SECONDS = 120.0  # longest wait for a run


def killed(check: Check) -> dict[str, Any]:
    """Kill `prepare` twice, resume it, and compare with an undisturbed run; note the memory of workers and card."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        for number in range(12 if check.is_tiny else _NUM_VIDEOS):
            (source / f"class-{number % 2}").mkdir(parents=True, exist_ok=True)
            shutil.copy(fetch_videos()["single_face.mp4"], source / f"class-{number % 2}" / f"{number:04d}.mp4")
        before = _card_mib(check)
        undisturbed, figures = Path(folder) / "undisturbed", _run(check, source, Path(folder) / "undisturbed")
        left: list[float] = []
        figures["kills"] = 0
        for goal in _GOALS:
            figures["kills"] += _run(check, source, Path(folder) / "killed", num_shards=goal)["is_killed"]
            left.append(_card_mib(check) - before)
        _run(check, source, Path(folder) / "killed")
        del figures["is_killed"]
        figures["card_mib_at_most"] -= before
        figures["card_mib_left_after_a_kill"] = max(left)
        figures["has_the_bytes_of_an_undisturbed_run"] = tiny.tree(Path(folder) / "killed") == tiny.tree(undisturbed)
        return figures


def _run(check: Check, source: Path, out: Path, *, num_shards: int | None = None) -> dict[str, Any]:
    """Run `prepare` to its end, or kill its group once `out` has so many shards; return what it held at most."""
    command = [sys.executable, "-m", "dfer_cli", "prepare", "folder", "--source", str(source), "--out", str(out)]
    command += ["--workers", str(_NUM_WORKERS), "--device", check.device.type]
    worker_mib, card_mib, stop = 0.0, 0.0, time.monotonic() + _SECONDS
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None:
            if num_shards is not None and len(list((out / "shards").glob("*.safetensors"))) >= num_shards:
                os.killpg(process.pid, signal.SIGKILL)
            elif time.monotonic() > stop:
                os.killpg(process.pid, signal.SIGKILL)
                raise RuntimeError(f"prepare took more than {_SECONDS:.0f} s")
            worker_mib = max(worker_mib, _worker_mib(process.pid))
            card_mib = max(card_mib, _card_mib(check))
            time.sleep(0.05)
    if num_shards is None and process.returncode:
        raise RuntimeError(f"prepare ended with {process.returncode}")
    is_killed = process.returncode == -signal.SIGKILL
    return {"worker_mib_at_most": worker_mib, "card_mib_at_most": card_mib, "is_killed": is_killed}


def _worker_mib(pid: int) -> float:
    """Return the greatest resident memory of a process below `pid`; 0 without one."""
    try:
        sizes = [child.memory_info().rss for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return max(sizes, default=0) / 2**20


def _card_mib(check: Check) -> float:
    if not check.is_cuda:
        return 0.0
    free, total = torch.cuda.mem_get_info(check.device)
    return (total - free) / 2**20
