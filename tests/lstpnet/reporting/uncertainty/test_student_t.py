from __future__ import annotations

import math

import pytest
from scipy import special, stats

from lstpnet.reporting.uncertainty.student_t import incomplete_beta, quantile, two_sided_p


@pytest.mark.parametrize("df", [0.7, 1, 2, 3.3, 8, 50, 11_692, math.inf])
@pytest.mark.parametrize("t", [0, 0.3, -1, 2.7, 12, 200])
def test_p_is_that_of_scipy(t: float, df: float) -> None:
    assert two_sided_p(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("df", [0.7, 1, 2, 3.3, 8, 50, 11_692, math.inf])
@pytest.mark.parametrize("chance", [0.5, 0.05, 0.001, 1e-6])
def test_the_quantile_is_that_of_scipy(chance: float, df: float) -> None:
    assert quantile(chance, df) == pytest.approx(stats.t.isf(chance / 2, df), rel=1e-7)


@pytest.mark.parametrize(("a", "b", "x"), [(0.5, 0.5, 0.3), (4, 0.5, 0.99), (0.5, 7, 1e-9), (3, 2, 0), (3, 2, 1)])
def test_the_incomplete_beta_function_is_that_of_scipy(a: float, b: float, x: float) -> None:
    assert incomplete_beta(a, b, x) == pytest.approx(special.betainc(a, b, x), rel=1e-10)
