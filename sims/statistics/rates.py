"""Error rates of receivers and their differences, with intervals over slots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

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

    With one trial a slot, or slots that err as a whole, this is Wilson's interval itself.
    Otherwise the variance between slots is an estimate, from the slots in error (or those free
    of it, if they are fewer), and the normal quantile gives way to Student's with one degree of
    freedom more than there are such slots: the interval covers at 3 slots in error too, where
    z would give 88 to 92 %. Without any error, or with nothing
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
    z = _quantile(counts, per_slot, confidence)
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


def compare(
    first: Point, second: Point, *, paired: bool = True, confidence: float = 0.95
) -> Estimate:
    """Estimate how much higher the first receiver's error rate is on the slots both have seen.

    The interval is a Bayesian bootstrap over the per-slot differences, so what the two
    receivers owe to the same channel and noise cancels.

    Args:
        first, second: errors of two receivers on the same slots in the same order; of unequal
            lengths, the common beginning is used.
        paired: False if the slots are not the same ones; then all count, and each receiver is
            resampled by itself.
        confidence: coverage of the interval, between 0 and 1.

    Returns:
        rate(first) - rate(second), NaN when they share no slot, or one has none.

    Raises:
        ValueError: if the trials per slot differ or confidence is out of range.

    >>> same = Point(np.array([0, 1, 1, 0]), 1)
    >>> compare(same, same)
    Estimate(value=0.0, low=0.0, high=0.0)
    """
    quantile_of_confidence(confidence)
    slots = _common_slots(first, second)
    if slots == 0:
        return UNKNOWN
    tail = (1 - confidence) / 2
    if not paired:
        apart = resampled_rates(first, 0) - resampled_rates(second, 1)
        low, high = np.quantile(apart, [tail, 1 - tail])
        return Estimate(first.rate - second.rate, float(low), float(high))
    difference = Point(first.errors[:slots] - second.errors[:slots], first.per_slot)
    low, high = np.quantile(resampled_rates(difference, 0), [tail, 1 - tail])
    return Estimate(difference.rate, float(low), float(high))


def ratio(first: Point, second: Point, *, confidence: float = 0.95) -> Estimate:
    """Estimate the ratio of two receivers' error rates on the slots both have seen.

    Both are resampled with the same weights on the slots (Bayesian bootstrap), as in `compare`.

    Args:
        first, second: errors of two receivers on the same slots in the same order; of unequal
            lengths, the common beginning is used.
        confidence: coverage of the interval, between 0 and 1.

    Returns:
        rate(first) / rate(second); NaN throughout when they share no slot or the second made no
        error.

    Raises:
        ValueError: if the trials per slot differ or confidence is out of range.

    >>> twice = ratio(Point(np.array([0, 2, 4]), 9), Point(np.array([0, 1, 2]), 9))
    >>> twice.value, round(twice.low, 9), round(twice.high, 9)
    (2.0, 2.0, 2.0)
    """
    quantile_of_confidence(confidence)
    slots = _common_slots(first, second)
    ours, theirs = (Point(point.errors[:slots], point.per_slot) for point in (first, second))
    if slots == 0 or not theirs.errors.any():
        return UNKNOWN
    tail = (1 - confidence) / 2
    resampled = resampled_rates(ours, 0) / resampled_rates(theirs, 0)
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return Estimate(ours.rate / theirs.rate, float(low), float(high))


def curve_points(errors: Mapping[float, Sequence[int]], per_slot: int) -> dict[float, Point]:
    """Make a curve, Eb/N0 [dB] -> Point, of per-slot errors at each Eb/N0, ascending."""
    return {
        ebno: Point(_checked_counts(errors[ebno], per_slot), per_slot) for ebno in sorted(errors)
    }


def _common_slots(first: Point, second: Point) -> int:
    if first.per_slot != second.per_slot:
        raise ValueError(
            "first and second must count the same trials per slot, got "
            f"{first.per_slot} and {second.per_slot}"
        )
    return min(first.errors.size, second.errors.size)


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


def quantile_of_confidence(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return float(norm.ppf((1 + confidence) / 2))


def _quantile(counts: NDArray[np.int64], per_slot: int, confidence: float) -> float:
    """The normal quantile, or Student's where the variance has to be estimated."""
    z = quantile_of_confidence(confidence)
    if np.isin(counts, (0, per_slot)).all():
        return z  # slots are Bernoulli trials, whose variance their mean tells
    informative = min(np.count_nonzero(counts), np.count_nonzero(counts < per_slot))
    return float(t.ppf((1 + confidence) / 2, informative + 1))


def _effective_trials(rates: Array, rate: float, per_slot: int) -> float:
    slots = rates.size
    deviation = float(np.sum((rates - rate) ** 2))
    if slots == 1 or deviation == 0.0:
        return float(slots)
    # The Bessel factor cancels against that of a binomial variance, so that one trial a slot
    # gives n = S exactly.
    return min(rate * (1 - rate) * slots**2 / deviation, float(slots * per_slot))


def resampled_rates(point: Point, stream: int) -> Array:
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
