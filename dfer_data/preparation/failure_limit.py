"""Stop a run in which too many videos fail: a wrong folder, a full disk or a wrong setting costs no month."""

from __future__ import annotations

from collections import Counter

from dfer_data.errors import FailureLimitError
from dfer_data.preparation.run_settings import failure_limit
from dfer_data.preparation.tasks import VideoDone
from dfer_data.wording import counted

LEAST_VIDEOS = 50
"""A share is compared once this many videos are finished, and at the end."""


class FailureCounter:
    """Counts the videos of one run that have a failed clip, and compares them with `--max-failures`."""

    def __init__(self, max_failures: str | None) -> None:
        """`max_failures`: the setting, `100` or `5%`; None: no limit."""
        self._text = max_failures
        self._limit = None if max_failures is None else failure_limit(max_failures)
        self._num_done = self._num_failed = 0
        self._codes: Counter[str] = Counter()

    def count(self, event: VideoDone) -> None:
        """Count a finished video. Raises FailureLimitError if too many failed."""
        codes = [code for code in event.codes if code not in ("ok", "partial")]
        self._num_done += 1
        self._num_failed += bool(codes)
        self._codes.update(codes)
        if isinstance(self._limit, int) or self._num_done >= LEAST_VIDEOS:
            self.check()

    def check(self) -> None:
        """Compare what was counted with the limit, as at the end of a run. Raises FailureLimitError."""
        if self._limit is None:
            return
        most = self._limit if isinstance(self._limit, int) else self._limit * self._num_done
        if self._num_failed <= most:
            return
        codes = ", ".join(f"{code} {number}" for code, number in self._codes.most_common())
        raise FailureLimitError(
            f"stopped by --max-failures {self._text}: {self._num_failed} of {counted(self._num_done, 'video')} failed "
            f"({codes}); "
            "finished shards are kept: find the cause, then run the same command again, with a higher --max-failures "
            "if these failures are expected"
        )
