"""Rates, intervals and comparisons from per-slot error counts.

Bit and block errors cluster in slots: a slot in a fade loses many at once. Everything here takes
the slot as the unit that is independent, and resamples or sums over slots. What was not simulated
is NaN.
"""

from sims.statistics.crossings import ebno_at, gain
from sims.statistics.rates import UNKNOWN, Estimate, Point, compare, curve_points, error_rate, ratio
from sims.statistics.significance import Difference, gain_differences, holm, rate_difference

__all__ = [
    "UNKNOWN",
    "Difference",
    "Estimate",
    "Point",
    "compare",
    "curve_points",
    "ebno_at",
    "error_rate",
    "gain",
    "gain_differences",
    "holm",
    "rate_difference",
    "ratio",
]
