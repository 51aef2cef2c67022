"""Settings and timer that every section of the GPU check shares."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Check:
    """Device, sizes and time budget of one check."""

    device: torch.device
    stop_at: float
    """Value of `time.monotonic()` at which the check must end."""
    is_tiny: bool
    """Use a narrow network on small images, to test the check itself."""

    @property
    def sizes_px(self) -> tuple[int, ...]:
        """Image sizes, most important first."""
        return (32,) if self.is_tiny else (224, 112, 64)

    @property
    def batches(self) -> tuple[int, ...]:
        """Clips per step, most important first."""
        return (4,) if self.is_tiny else (32, 8, 128)

    @property
    def width_multiplier(self) -> float:
        """Width multiplier of LSTPNet."""
        return 0.125 if self.is_tiny else 1.0

    @property
    def is_cuda(self) -> bool:
        """Whether the device is a CUDA GPU."""
        return self.device.type == "cuda"

    @property
    def seconds_left(self) -> float:
        """Seconds until the check must end."""
        return self.stop_at - time.monotonic()

    def synchronize(self) -> None:
        """Wait until the device has finished."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)

    def median_seconds(self, run: Callable[[], object], *, seconds: float = 1.0, least: int = 5) -> float:
        """Return the median time of `run` in seconds after two warm-up runs; CUDA is timed by events."""
        run()
        run()
        self.synchronize()
        times: list[float] = []
        stop = time.monotonic() + seconds
        while len(times) < least or (time.monotonic() < stop and len(times) < 200):
            if not self.is_cuda:
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
                continue
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            run()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end) / 1e3)
        return statistics.median(times)
