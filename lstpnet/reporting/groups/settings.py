"""Settings of a report by groups of clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from dfer_data.settings import setting, validate

_PANEL = "Groups"


@dataclass(frozen=True)
class GroupSettings:
    """Which groups of clips get their own figures; none without `by`. Raises one UsageError with every fault."""

    by: str | None = setting(
        None,
        "Show figures per group: a column of --groups, or of the prepared dataset's clips.parquet (group, label...).",
        panel=_PANEL,
        once=True,
    )
    groups: Path | None = setting(
        None, "CSV with clip_id and the column of --by, such as sex, age or skin tone.", panel=_PANEL, once=True
    )
    quantiles: Annotated[int, Interval(ge=2, le=20)] | None = setting(
        None, "Cut the numbers of --by into this many groups of about equal size.", panel=_PANEL, once=True
    )

    def __post_init__(self) -> None:
        """Check all settings."""
        validate(self, rules=self._contradictions(), by_flag=True)

    def _contradictions(self) -> Iterator[str]:
        if self.by is not None and not self.by.strip():
            yield "--by '' names no column"
        for option, value in (("--groups", self.groups), ("--quantiles", self.quantiles)):
            if value is not None and self.by is None:
                yield f"{option} needs --by COLUMN"
