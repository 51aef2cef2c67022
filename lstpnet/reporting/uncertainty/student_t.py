"""Student's t distribution for any positive degrees of freedom, so that a report needs no SciPy."""

from __future__ import annotations

import math

_MAX_TERMS = 10_000
_TOLERANCE = 1e-15
_TINY = 1e-300
_NORMAL_FROM = 1e6
"""With more degrees of freedom, the normal distribution serves: p differs by less than 1e-6 of itself at p = 0.05."""


def two_sided_p(t: float, df: float) -> float:
    """Return the chance that |T| is at least |t|, for `df` degrees of freedom; `math.inf`: the normal distribution."""
    if df >= _NORMAL_FROM:
        return math.erfc(abs(t) / math.sqrt(2))
    return incomplete_beta(df / 2, 0.5, df / (df + t * t))


def quantile(two_sided: float, df: float) -> float:
    """Return the t that |T| exceeds with the chance `two_sided`, such as 0.05, to 1e-8 of itself.

    Newton's method from the normal distribution's value, which is lower: the chance is convex in t, so every step stays
    below the solution.
    """
    t = 0.0 if df >= _NORMAL_FROM else quantile(two_sided, math.inf)
    step = math.inf
    while step > 1e-8 * t:
        step = (two_sided_p(t, df) - two_sided) / (2 * _density(t, df))
        t += step
    return t


def _density(t: float, df: float) -> float:
    if df >= _NORMAL_FROM:
        return math.exp(-t * t / 2) / math.sqrt(2 * math.pi)
    logarithm = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - (df + 1) / 2 * math.log1p(t * t / df)
    return math.exp(logarithm) / math.sqrt(df * math.pi)


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), for 0 <= x <= 1.

    Source: its continued fraction (NIST Handbook of Mathematical Functions, 8.17.22), by Lentz's method.
    """
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1 - incomplete_beta(b, a, 1 - x)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return min(1.0, math.exp(logarithm) * _continued_fraction(a, b, x) / a)


def _continued_fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MAX_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            factor = c * d
            value *= factor
        if abs(factor - 1) < _TOLERANCE:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
