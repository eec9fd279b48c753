"""The Eb/N0 at which a curve falls to a target rate, and gains there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from sims.statistics.rates import (
    RESAMPLES,
    SEED,
    Array,
    Estimate,
    Point,
    quantile_of_confidence,
    resampled_rates,
)


def ebno_at(target: float, curve: Mapping[float, Point], *, confidence: float = 0.95) -> Estimate:
    """Estimate the Eb/N0 at which a curve falls to a target error rate.

    The logarithm of the rate is interpolated linearly in dB after the last simulated point that
    is at or above the target, so a curve that dips and rises again has not crossed. A point
    without errors enters the interpolation as half a slot in error, with as many errors as such
    slots have at the nearest point with errors, and the interval with the rates that this leaves
    possible.

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
    quantile_of_confidence(confidence)
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
    quantile_of_confidence(confidence)
    our_exact, our_resampled = _crossings(target, ours)
    their_exact, their_resampled = _crossings(target, baseline)
    return _censored(
        _subtract(their_exact, our_exact), _subtract(their_resampled, our_resampled), tail
    )


def gains(
    target: float,
    curves: Mapping[str, Mapping[float, Point]],
    *,
    paired: bool = True,
    confidence: float = 0.95,
) -> dict[tuple[str, str], tuple[Estimate, tuple[float, float]]]:
    """Estimate the gain of every pair of curves, each curve resampled once.

    Args:
        target: the rate, between 0 and 1.
        curves: name -> Eb/N0 [dB] -> errors there.
        paired: whether slots are the same and in the same order in all of them.
        confidence: coverage of the intervals, between 0 and 1.

    Returns:
        (first, second), in the order of the curves -> the gain of the first over the second, see
        `gain`, and the lowest and highest simulated Eb/N0 [dB] that enter it.

    Raises:
        ValueError: if target or confidence is out of range.
    """
    tail = (1 - confidence) / 2
    quantile_of_confidence(confidence)
    found = {
        name: _crossings(target, curve, 0 if paired else index)
        for index, (name, curve) in enumerate(curves.items())
    }
    return {
        (ours, theirs): (
            _censored(
                _subtract(found[theirs][0], found[ours][0]),
                _subtract(found[theirs][1], found[ours][1]),
                tail,
            ),
            _span({*curves[ours], *curves[theirs]}, found[ours][0], found[theirs][0]),
        )
        for ours, theirs in itertools.combinations(curves, 2)
    }


def _span(ebno_db: set[float], first: Array, second: Array) -> tuple[float, float]:
    """The points next to two crossings, from bounds `[2, 1]` on these."""
    low, high = min(first[0, 0], second[0, 0]), max(first[1, 0], second[1, 0])
    below = [ebno for ebno in ebno_db if ebno <= low]
    above = [ebno for ebno in ebno_db if ebno >= high]
    return max(below, default=-math.inf), min(above, default=math.inf)


def _crossings(target: float, curve: Mapping[float, Point], luck: int = 0) -> tuple[Array, Array]:
    """Bounds `[2, 1]` on the crossing of the curve and `[2, RESAMPLES]` on resampled ones.

    Curves of equal `luck` are resampled alike.
    """
    if not 0 < target < 1:
        raise ValueError(f"target must lie between 0 and 1, got {target}")
    known = sorted(ebno for ebno, point in curve.items() if point.errors.size)
    if not known:
        nowhere = np.array([[-math.inf], [math.inf]])
        return nowhere, np.repeat(nowhere, RESAMPLES, axis=1)
    points = [curve[ebno] for ebno in known]
    halves = [_half_a_slot(curve, ebno) for ebno in known]
    exact = np.array([[point.rate or half] for point, half in zip(points, halves, strict=True)])
    resampled = np.stack(
        [
            _possible_rates(point, half, int(np.float64(ebno).view(np.uint64)) + (luck << 64))
            for ebno, point, half in zip(known, points, halves, strict=True)
        ]
    )
    ebno_db = np.array(known)
    return _cross(target, ebno_db, exact), _cross(target, ebno_db, resampled)


def _possible_rates(point: Point, half: float, stream: int) -> Array:
    """Positive rates `[RESAMPLES]`; no resampling brings errors where none were seen."""
    if point.errors.any():
        return resampled_rates(point, stream)
    # Jeffreys' posterior after no slot in error: its mean is half a slot, its tail reaches to 2.5.
    draws = np.random.default_rng([SEED, stream]).standard_gamma(0.5, RESAMPLES)
    return 2 * draws * half


def _half_a_slot(curve: Mapping[float, Point], ebno_db: float) -> float:
    """The rate that half a slot in error would give; errors come by the slot, not one by one."""
    with_errors = [ebno for ebno, point in curve.items() if point.errors.any()]
    errors = 1.0
    if with_errors:
        nearest = curve[min(with_errors, key=lambda ebno: (abs(ebno - ebno_db), ebno))].errors
        errors = float(nearest[nearest > 0].mean())
    point = curve[ebno_db]
    return 0.5 * errors / (point.errors.size * point.per_slot)


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
