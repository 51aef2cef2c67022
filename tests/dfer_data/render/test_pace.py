from __future__ import annotations

import pytest

from dfer_data.render.pace import Pace, rate


def lines(steps: list[tuple[float, float]]) -> list[float]:
    """Return at which of the steps (time, share of the work) a line is due."""
    now = 0.0
    pace = Pace(lambda: now)
    due = []
    for time, share in steps:
        now = time
        if pace.is_due(share):
            due.append(time)
    return due


@pytest.mark.parametrize(
    ("per_cent_per_second", "seconds_between"),
    [(20.0, 10), (0.1, 10), (1 / 15, 15), (1 / 29, 29), (1 / 31, 30), (1e-6, 30), (0.0, 30)],
)
def test_lines_are_a_hundredth_of_the_work_apart_but_10_to_30_seconds(
    per_cent_per_second: float, seconds_between: int
) -> None:
    steps = [(float(second), min(1.0, second * per_cent_per_second / 100)) for second in range(1, 301)]
    due = lines(steps)
    assert due[0] == seconds_between
    if per_cent_per_second < 1:
        assert due == list(range(seconds_between, 301, seconds_between))


def test_a_run_of_a_few_seconds_prints_nothing() -> None:
    assert lines([(tenth / 10, tenth / 99) for tenth in range(100)]) == []


def test_a_long_step_is_followed_by_one_line() -> None:
    assert lines([(1000.0, 0.001), (1001.0, 0.002), (1011.0, 0.003), (1031.0, 0.004)]) == [1000.0, 1031.0]


@pytest.mark.parametrize(
    ("number", "text"), [(0.0, "0"), (0.345, "0.34"), (4.21, "4.2"), (12.6, "13"), (1234.5, "1,234")]
)
def test_rates_have_two_digits_or_more(number: float, text: str) -> None:
    assert rate(number) == text
