"""Rates, intervals and comparisons from per-slot error counts.

Bit and block errors cluster in slots: a slot in a fade loses many at once. Everything here takes
the slot as the unit that is independent, and resamples or sums over slots. What was not simulated
is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

Array = NDArray[np.float64]

RESAMPLES = 2000
SEED = 20260  # resampling is part of the statistic: the same counts give the same interval
SLOTS_AT_ONCE = 256  # bounds the memory of resampling


@dataclass(frozen=True)
class Estimate:
    """A value with its interval; `value` is NaN where the data do not give one.

    An end of the interval may be infinite where the data bound the quantity on one side only.
    """

    value: float
    low: float
    high: float


UNKNOWN = Estimate(math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Point:
    """Errors of one receiver at one Eb/N0: `errors [slots]`, out of `per_slot` each."""

    errors: NDArray[np.int64]
    per_slot: int

    @property
    def rate(self) -> float:
        """Errors over trials, NaN without slots."""
        if not self.errors.size:
            return math.nan
        return float(self.errors.sum() / (self.errors.size * self.per_slot))


def error_rate(errors: ArrayLike, per_slot: int, *, confidence: float = 0.95) -> Estimate:
    """Estimate an error rate with an interval that knows that errors cluster in slots.

    Wilson's interval at the number of independent trials that would give the observed variance
    between slots (Kish's effective sample size),

        n = p (1 - p) / Var(p),   Var(p) = sum_i (e_i - mean(e))^2 / (S (S - 1) per_slot^2) .

    With one trial a slot this is Wilson's interval itself. Without any error, or with nothing
    but errors, there is no variance to see and every slot counts as one trial: the upper end
    after S clean slots is z^2 / (S + z^2), about 3.8 / S.

    Args:
        errors: errors in each slot, `[S]`, integers from 0 to per_slot.
        per_slot: trials in a slot (bits or blocks), at least 1.
        confidence: coverage of the interval, between 0 and 1.

    Returns:
        The estimate, NaN throughout when there are no slots.

    Raises:
        ValueError: if an argument is out of its range.

    >>> error_rate([1, 0, 0, 1, 0, 0, 0, 0], 1).value
    0.25
    >>> error_rate([], 1).value
    nan
    """
    counts = _checked_counts(errors, per_slot)
    z = _quantile_of_confidence(confidence)
    slots = counts.size
    if slots == 0:
        return UNKNOWN
    rate = float(counts.sum() / (slots * per_slot))
    trials = _effective_trials(counts / per_slot, rate, per_slot)
    centre = (rate + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(rate * (1 - rate) / trials + (z / (2 * trials)) ** 2)
    # Rounding must not move the ends that are exact.
    low = 0.0 if rate == 0.0 else centre - half
    high = 1.0 if rate == 1.0 else centre + half
    return Estimate(rate, low, high)


def compare(first: Point, second: Point, *, confidence: float = 0.95) -> Estimate:
    """Estimate how much higher the first receiver's error rate is on the slots both have seen.

    The interval is a Bayesian bootstrap over the per-slot differences, so what the two
    receivers owe to the same channel and noise cancels.

    Args:
        first, second: errors of two receivers on the same slots in the same order; of unequal
            lengths, the common beginning is used.
        confidence: coverage of the interval, between 0 and 1.

    Returns:
        rate(first) - rate(second), NaN when they share no slot.

    Raises:
        ValueError: if the trials per slot differ or confidence is out of range.

    >>> same = Point(np.array([0, 1, 1, 0]), 1)
    >>> compare(same, same)
    Estimate(value=0.0, low=0.0, high=0.0)
    """
    if first.per_slot != second.per_slot:
        raise ValueError(
            "first and second must count the same trials per slot, got "
            f"{first.per_slot} and {second.per_slot}"
        )
    _quantile_of_confidence(confidence)
    slots = min(first.errors.size, second.errors.size)
    if slots == 0:
        return UNKNOWN
    difference = Point(first.errors[:slots] - second.errors[:slots], first.per_slot)
    tail = (1 - confidence) / 2
    low, high = np.quantile(_resampled_rates(difference, 0), [tail, 1 - tail])
    return Estimate(difference.rate, float(low), float(high))


def ebno_at(target: float, curve: Mapping[float, Point], *, confidence: float = 0.95) -> Estimate:
    """Estimate the Eb/N0 at which a curve falls to a target error rate.

    The logarithm of the rate is interpolated linearly in dB after the last simulated point that
    is at or above the target, so a curve that dips and rises again has not crossed. A point
    without errors enters the interpolation as half an error, and the interval with the rates that
    this leaves possible.

    Args:
        target: the rate, between 0 and 1.
        curve: Eb/N0 [dB] -> errors there; points without slots are left out.
        confidence: coverage of the interval, between 0 and 1.

    Returns:
        Eb/N0 [dB]. Where the curve does not cross, the value is NaN and the interval says on
        which side the crossing is: [highest point, inf] or [-inf, lowest point]. The interval is
        a Bayesian bootstrap over slots in which resamples that do not cross count so.

    Raises:
        ValueError: if target or confidence is out of range.
    """
    tail = (1 - confidence) / 2
    _quantile_of_confidence(confidence)
    exact, resampled = _crossings(target, curve)
    return _censored(exact, resampled, tail)


def gain(
    target: float,
    ours: Mapping[float, Point],
    baseline: Mapping[float, Point],
    *,
    confidence: float = 0.95,
) -> Estimate:
    """Estimate how many dB less than a baseline our receiver needs for a target error rate.

    Both curves are resampled with the same slots, so their common luck cancels.

    Args:
        target: the rate, between 0 and 1.
        ours, baseline: Eb/N0 [dB] -> errors there; slots in the same order in both.
        confidence: coverage of the interval, between 0 and 1.

    Returns:
        Eb/N0 of the baseline less ours [dB], positive where ours is better; NaN with a one-sided
        interval where only one of them crosses.

    Raises:
        ValueError: if target or confidence is out of range.
    """
    tail = (1 - confidence) / 2
    _quantile_of_confidence(confidence)
    our_exact, our_resampled = _crossings(target, ours)
    their_exact, their_resampled = _crossings(target, baseline)
    return _censored(
        _subtract(their_exact, our_exact), _subtract(their_resampled, our_resampled), tail
    )


def curve_points(errors: Mapping[float, Sequence[int]], per_slot: int) -> dict[float, Point]:
    """Make a curve, Eb/N0 [dB] -> Point, of per-slot errors at each Eb/N0, ascending."""
    return {
        ebno: Point(_checked_counts(errors[ebno], per_slot), per_slot) for ebno in sorted(errors)
    }


def _checked_counts(errors: ArrayLike, per_slot: int) -> NDArray[np.int64]:
    counts = np.asarray(errors)
    if counts.ndim != 1:
        raise ValueError(f"errors must be one count a slot, [S], got shape {counts.shape}")
    if per_slot < 1:
        raise ValueError(f"per_slot must be at least 1, got {per_slot}")
    if counts.size and (counts.min() < 0 or counts.max() > per_slot):
        raise ValueError(
            f"errors must lie between 0 and per_slot = {per_slot}, got "
            f"{counts.min()} to {counts.max()}"
        )
    return counts.astype(np.int64)


def _quantile_of_confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return float(norm.ppf((1 + confidence) / 2))


def _effective_trials(rates: Array, rate: float, per_slot: int) -> float:
    slots = rates.size
    deviation = float(np.sum((rates - rate) ** 2))
    if slots == 1 or deviation == 0.0:
        return float(slots)
    # The Bessel factor cancels against that of a binomial variance, so that one trial a slot
    # gives n = S exactly.
    return min(rate * (1 - rate) * slots**2 / deviation, float(slots * per_slot))


def _resampled_rates(point: Point, stream: int) -> Array:
    """Rates `[RESAMPLES]` under the Bayesian bootstrap: exponential weights on the slots.

    The weights of slot i depend on the stream and i alone. Receivers that stopped after unlike
    numbers of slots are therefore still resampled together on the slots they share.
    """
    generator = np.random.default_rng([SEED, stream])
    errors, weights = np.zeros(RESAMPLES), np.zeros(RESAMPLES)
    for start in range(0, point.errors.size, SLOTS_AT_ONCE):
        counts = point.errors[start : start + SLOTS_AT_ONCE]
        draws = generator.standard_exponential((counts.size, RESAMPLES))
        errors += counts @ draws
        weights += draws.sum(axis=0)
    return errors / weights / point.per_slot


def _crossings(target: float, curve: Mapping[float, Point]) -> tuple[Array, Array]:
    """Bounds `[2, 1]` on the crossing of the curve and `[2, RESAMPLES]` on resampled ones."""
    if not 0 < target < 1:
        raise ValueError(f"target must lie between 0 and 1, got {target}")
    known = sorted(ebno for ebno, point in curve.items() if point.errors.size)
    if not known:
        nowhere = np.array([[-math.inf], [math.inf]])
        return nowhere, np.repeat(nowhere, RESAMPLES, axis=1)
    points = [curve[ebno] for ebno in known]
    exact = np.array([[point.rate or _half_an_error(point)] for point in points])
    resampled = np.stack(
        [
            _possible_rates(point, int(np.float64(ebno).view(np.uint64)))
            for ebno, point in zip(known, points, strict=True)
        ]
    )
    ebno_db = np.array(known)
    return _cross(target, ebno_db, exact), _cross(target, ebno_db, resampled)


def _possible_rates(point: Point, stream: int) -> Array:
    """Positive rates `[RESAMPLES]`; no resampling brings errors where none were seen."""
    if point.errors.any():
        return _resampled_rates(point, stream)
    # Jeffreys' posterior after no error: its mean is half an error, its tail reaches to 2.5.
    draws = np.random.default_rng([SEED, stream]).standard_gamma(0.5, RESAMPLES)
    return 2 * draws * _half_an_error(point)


def _half_an_error(point: Point) -> float:
    return 0.5 / (point.errors.size * point.per_slot)


def _cross(target: float, ebno_db: Array, rates: Array) -> Array:
    """Bounds `[2, N]` on where the columns of rates `[points, N]` fall below the target."""
    above = rates >= target
    last = np.where(above.any(axis=0), len(ebno_db) - 1 - above[::-1].argmax(axis=0), -1)
    bounds = np.empty((2, rates.shape[1]))
    bounds[:, last == -1] = [[-math.inf], [ebno_db[0]]]
    bounds[:, last == len(ebno_db) - 1] = [[ebno_db[-1]], [math.inf]]
    inside = np.flatnonzero((last >= 0) & (last < len(ebno_db) - 1))
    left = last[inside]
    log_left, log_right = np.log(rates[left, inside]), np.log(rates[left + 1, inside])
    share = (log_left - math.log(target)) / (log_left - log_right)
    bounds[:, inside] = ebno_db[left] + share * (ebno_db[left + 1] - ebno_db[left])
    return bounds


def _subtract(minuend: Array, subtrahend: Array) -> Array:
    """Bounds on a difference from bounds `[2, N]` on its terms."""
    return np.stack([minuend[0] - subtrahend[1], minuend[1] - subtrahend[0]])


def _censored(exact: Array, resampled: Array, tail: float) -> Estimate:
    """Estimate of a quantity that is known only within bounds."""
    low, high = exact[0, 0], exact[1, 0]
    # An order statistic, because interpolation between infinities is not a number.
    return Estimate(
        float(low) if low == high else math.nan,
        float(np.quantile(resampled[0], tail, method="lower")),
        float(np.quantile(resampled[1], 1 - tail, method="higher")),
    )
