"""Settings and summary of the demo dataset. This module deliberately imports nothing heavy."""

from dataclasses import dataclass
from typing import Literal

from dfer_data.errors import UsageError

Sound = Literal["tones", "speech", "none"]
NUM_FOLDS = 5
MIN_IDENTITIES = 10
MIN_WIDTH_PX = 160
MIN_HEIGHT_PX = 120


@dataclass(frozen=True)
class SynthConfig:
    """Size and seed of a demo dataset; the same values always give the same bytes.

    Raises:
        UsageError: one or more values are out of range; the message names all of them.
    """

    num_identities: int = 20
    """Number of rendered people; a multiple of 5 (one block per fold), at least 10."""
    takes: int = 2
    """Clips per identity and emotion, at least 1."""
    seed: int = 0
    """Seed of all random streams, 0 or more."""
    width_px: int = 640
    """Width of the videos in pixels: even, at least 160."""
    height_px: int = 320
    """Height of the videos in pixels: even, at least 120 and at most the width."""
    sound: Sound = "tones"
    """What the videos sound like: a tone, or speech of the installed espeak-ng, as loud as the jaw is open; or none."""

    def __post_init__(self) -> None:
        faults = []
        if self.num_identities < MIN_IDENTITIES or self.num_identities % NUM_FOLDS:
            faults.append(f"num_identities is {self.num_identities}: give a multiple of {NUM_FOLDS}, at least 10")
        if self.takes < 1:
            faults.append(f"takes is {self.takes}: give 1 or more")
        if self.seed < 0:
            faults.append(f"seed is {self.seed}: give 0 or more")
        if self.width_px < MIN_WIDTH_PX or self.width_px % 2:
            faults.append(f"width_px is {self.width_px}: give an even number, at least {MIN_WIDTH_PX}")
        if not MIN_HEIGHT_PX <= self.height_px <= self.width_px or self.height_px % 2:
            faults.append(f"height_px is {self.height_px}: give an even number from {MIN_HEIGHT_PX} to width_px")
        if faults:
            raise UsageError("The demo dataset cannot be made: " + "; ".join(faults) + ".")


@dataclass(frozen=True)
class SynthSummary:
    """Counts of a written demo dataset."""

    num_clips: int
    """Number of videos written."""
    num_frames: int
    """Number of frames in all videos together."""
    num_identities: int
    """Number of rendered people."""
    num_bytes: int
    """Size of all files together, in bytes."""
    num_test_clips_by_fold: tuple[int, ...]
    """Number of test clips per fold, from fold 1."""
