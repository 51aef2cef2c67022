"""Settings of an export."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from dfer_data.settings import setting, validate
from dfer_data.shards.identity import OFFICIAL_SET

FORMATS = (*("former-dfer", "videomae", "s2d", "hicmae", "videofolder", "webdataset", "parquet", "frames.csv", "wav"),)
"""Names of the formats."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """What is exported, and how."""

    format: str = setting(help="Format of the export.", choices=FORMATS)
    fold: str = setting("all", "Folds to export: all, or numbers such as 3 or 1,2.")
    fold_set: str = setting(OFFICIAL_SET, "Name of the set of folds; `dfer folds` makes own sets.")
    frames: Literal["all", "16"] = setting("all", "Frames per clip: all, or the 16 frames that are tested.")
    label_order: str = setting(
        "",
        "Order of the classes, whose numbers count from 0: dfew, lstpnet-ferv39k, alphabetical, or a file with one "
        "name per line.",
        default_words="the format's own",
    )
    media: Literal["frames", "mp4"] = setting("frames", "Of videomae: folders of JPEG frames, or mp4 videos.")
    paths: Literal["relative", "absolute"] = setting(
        "relative", "Paths in lists: relative to the folder of the list, or absolute."
    )
    unlisted: Literal["refuse", "skip"] = setting(
        "refuse", "Clips without a label or in none of the folds, which lists cannot hold: refuse to export, or skip."
    )

    def __post_init__(self) -> None:
        """Check all settings; raise one UsageError with every fault."""
        validate(self, rules=self._rules(), by_flag=True)

    def _rules(self) -> Iterator[str]:
        if self.media == "mp4" and self.format != "videomae":
            yield f"--media mp4: {self.format} has one form only; leave it out"

    @property
    def fold_names(self) -> tuple[str, ...] | None:
        """Names of the chosen folds, as given; None: all."""
        names = tuple(dict.fromkeys(part.strip() for part in self.fold.split(",")))
        return None if names == ("all",) else names
