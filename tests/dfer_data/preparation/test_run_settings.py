"""Settings of how a run makes a dataset."""

from __future__ import annotations

import pytest

from dfer_data.errors import UsageError
from dfer_data.preparation.run_settings import RunSettings, failure_limit


@pytest.mark.parametrize(("text", "value"), [("100", 100), ("5%", 0.05), (" 2.5 %", 0.025), ("100%", 1.0)])
def test_a_limit_is_a_number_or_a_share(text: str, value: float) -> None:
    assert failure_limit(text) == value
    assert type(failure_limit(text)) is type(value)


@pytest.mark.parametrize("text", ["", "many", "-1", "5.5", "101%", "5%%", "1e3", "٣"])
def test_other_limits_are_refused(text: str) -> None:
    with pytest.raises(
        UsageError, match=r"--max-failures .*must be a number of videos such as 100, or a share such as"
    ):
        RunSettings(max_failures=text)
