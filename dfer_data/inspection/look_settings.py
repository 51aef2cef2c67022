"""Settings of a look at one video."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

from dfer_data.config import MOST_DETECT_EVERY
from dfer_data.settings import setting, validate

MOST_SAMPLED = 64
"""Maximum frames of a clip that a page shows."""


@dataclass(frozen=True)
class LookSettings:
    """How much of a video `dfer look` looks at, and how closely."""

    detector: str = setting("retinaface", "retinaface or dlib.")
    detect_every: Annotated[int, Interval(ge=1, le=MOST_DETECT_EVERY)] | None = setting(
        None,
        "Detect every K-th frame, and the frames where faces change.",
        default_words="1 for a short video, more for a long one",
    )
    seconds: Annotated[float, Interval(ge=0)] = setting(60.0, "Seconds of the video to look at; 0: all of it.")

    num_frames: Annotated[int, Interval(ge=1, le=MOST_SAMPLED)] | None = setting(
        None, "Number of frames that each sampler takes.", default_words="those of the model, else 16"
    )

    def __post_init__(self) -> None:
        """Check all settings; raise one UsageError with every fault."""
        validate(self, by_flag=True)
