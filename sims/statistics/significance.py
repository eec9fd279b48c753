"""Whether a difference between two receivers is more than the luck of few slots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sims.statistics.crossings import gains
from sims.statistics.rates import SEED, Estimate, Point, compare

FLIPS = 10_000
ENUMERATED = 13  # so many slots have fewer sign patterns than FLIPS
VALUES_AT_ONCE = 2**22  # bounds the memory of flipping


@dataclass(frozen=True)
class Difference:
    """A difference with its interval, the p-value of there being none, and whether it is shown.

    It is `shown` where the interval leaves zero out and the p-value agrees. The bootstrap alone
    would take one slot in which two receivers differ for a difference, since no resampling of one
    slot changes its sign.
    """

    estimate: Estimate
    p_value: float
    shown: bool


def rate_difference(
    first: Point, second: Point, *, paired: bool = True, confidence: float = 0.95
) -> Difference:
    """Estimate how much higher the first receiver's error rate is, and whether that is shown.

    Args:
        first, second: errors of two receivers.
        paired: whether both count on the same slots in the same order.
        confidence: coverage of the interval, between 0 and 1; its complement is the level of the
            test.

    Returns:
        rate(first) - rate(second), see `compare`.

    Raises:
        ValueError: if the trials per slot differ or confidence is out of range.

    >>> rate_difference(Point(np.array([0, 1]), 1), Point(np.array([0, 0]), 1)).shown
    False
    """
    estimate = compare(first, second, paired=paired, confidence=confidence)
    test = flipped if paired else shuffled
    return _difference(estimate, test([(first, second)]), confidence)


def gain_differences(
    target: float,
    curves: Mapping[str, Mapping[float, Point]],
    *,
    paired: bool = True,
    confidence: float = 0.95,
) -> dict[tuple[str, str], Difference]:
    """Estimate for every pair of curves how many dB less the first needs for a target error rate.

    Args:
        target: the rate, between 0 and 1.
        curves: name -> Eb/N0 [dB] -> errors there.
        paired: whether all count on the same slots in the same order.
        confidence: coverage of the intervals, between 0 and 1; its complement is the level of the
            tests, each on the points on both sides of the two crossings.

    Returns:
        (first, second) -> Eb/N0 of the second less that of the first [dB], see `gain`.

    Raises:
        ValueError: if target or confidence is out of range.
    """
    test = flipped if paired else shuffled
    differences = {}
    for (first, second), (estimate, span) in gains(
        target, curves, paired=paired, confidence=confidence
    ).items():
        ours, theirs = curves[first], curves[second]
        shared = [ebno for ebno in ours if ebno in theirs and span[0] <= ebno <= span[1]]
        p_value = test([(ours[ebno], theirs[ebno]) for ebno in shared])
        differences[first, second] = _difference(estimate, p_value, confidence)
    return differences


def flipped(pairs: Iterable[tuple[Point, Point]]) -> float:
    """Return the p-value of two receivers on shared slots being interchangeable.

    If they are, the difference of each slot's errors is as likely as its negative, so the sum of
    the differences is compared with that under random signs; two-sided, exact for few slots.

    Args:
        pairs: errors of both at each Eb/N0, slots in the same order; the common beginning is used.

    Returns:
        The p-value, 1 where they never differ.

    >>> flipped([(Point(np.array([1, 2, 1]), 2), Point(np.array([0, 0, 0]), 2))])
    0.25
    """
    parts = [_common(first, second) for first, second in pairs]
    differences = np.concatenate([a - b for a, b in parts] or [np.zeros(0, np.int64)])
    differences = differences[differences != 0]
    seen = abs(int(differences.sum()))
    if differences.size <= ENUMERATED:
        patterns = np.arange(2**differences.size)[:, None] >> np.arange(differences.size) & 1
        return float(np.mean(np.abs((2 * patterns - 1) @ differences) >= seen))
    sums = np.zeros(FLIPS, np.int64)
    generator = np.random.default_rng(SEED)
    for part in np.array_split(differences, -(-differences.size * FLIPS // VALUES_AT_ONCE)):
        bits = np.frombuffer(generator.bytes(part.size * FLIPS // 8), np.uint8)
        # In float64, whose products are fast and exact for counts.
        signs = 2.0 * np.unpackbits(bits).reshape(FLIPS, part.size) - 1
        sums += (signs @ part.astype(np.float64)).astype(np.int64)
    return float((1 + np.count_nonzero(np.abs(sums) >= seen)) / (1 + FLIPS))


def shuffled(pairs: Iterable[tuple[Point, Point]]) -> float:
    """Return the p-value of two receivers on slots of their own being interchangeable.

    If they are, it does not matter which slots are whose, so the difference of the rates, summed
    over the Eb/N0, is compared with that after shuffling the slots at each; two-sided.

    Args:
        pairs: errors of both at each Eb/N0.

    Returns:
        The p-value, 1 without data.
    """
    generator = np.random.default_rng(SEED)
    seen, sums = 0.0, np.zeros(FLIPS)
    for first, second in pairs:
        size, both = first.errors.size, np.concatenate([first.errors, second.errors])
        if not size or size == both.size:
            continue
        seen += first.errors.mean() - second.errors.mean()
        # The first `size` places of a random order; the rest follows from the total.
        rows = max(1, VALUES_AT_ONCE // both.size)
        drawn = np.concatenate(
            [
                _shuffled_sums(generator, both, size, min(rows, FLIPS - start))
                for start in range(0, FLIPS, rows)
            ]
        )
        sums += drawn / size - (both.sum() - drawn) / (both.size - size)
    # A tie must count as one in spite of rounding.
    return float(
        (1 + np.count_nonzero(np.abs(sums) >= abs(seen) * (1 - 1e-12) - 1e-12)) / (1 + FLIPS)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values so that one below a level anywhere is as rare as the level says.

    Holm's step-down rule: the smallest of m counts m times, the next m - 1 times, and so on.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def _difference(estimate: Estimate, p_value: float, confidence: float) -> Difference:
    apart = estimate.low > 0 or estimate.high < 0
    return Difference(estimate, p_value, bool(apart and p_value <= 1 - confidence))


def _common(first: Point, second: Point) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    slots = min(first.errors.size, second.errors.size)
    return first.errors[:slots], second.errors[:slots]


def _shuffled_sums(
    generator: np.random.Generator, values: NDArray[np.int64], size: int, rows: int
) -> NDArray[np.float64]:
    orders = generator.permuted(np.broadcast_to(values, (rows, values.size)), axis=1)
    return orders[:, :size].sum(axis=1).astype(np.float64)
