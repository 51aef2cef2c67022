"""Settings of predictions for videos: windows over time, and the detector that finds the faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from dfer_data.config import FAST_DETECT_EVERY, MOST_DETECT_EVERY
from dfer_data.settings import setting, validate


@dataclass(frozen=True)
class Windows:
    """Length and stride of the prediction windows. The model's sampler takes its test frames from each window."""

    window_seconds: Annotated[float, Interval(gt=0)] = setting(2.0, "Length of a window, the model's input.")
    stride_seconds: Annotated[float, Interval(gt=0)] = setting(0.5, "Step from one window to the next.")

    def __post_init__(self) -> None:
        """Check all settings; raise one UsageError with every fault."""
        validate(self, by_flag=True)


@dataclass(frozen=True)
class VideoSettings(Windows):
    """Windows, and how faces are found."""

    detector: str = setting("retinaface", "retinaface or dlib.")
    detect_every: Annotated[int, Interval(ge=1, le=MOST_DETECT_EVERY)] = setting(
        FAST_DETECT_EVERY, "Detect every K-th frame, and the frames where faces change."
    )
