"""Differences in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

from sims.report.sections import Section, Series
from sims.statistics import Difference, Estimate, gain_differences, rate_difference

NAMES = {"bler": "BLER", "ber": "BER"}


def percent(rate: float) -> str:
    """Write a rate in percent.

    >>> percent(0.1), percent(0.0075)
    ('10 %', '0.75 %')
    """
    return f"{100 * rate:.3g} %"


def bracketed(estimate: Estimate, signed: bool = False) -> str:
    """Write a value in dB with its interval, to the digits that the interval leaves.

    >>> bracketed(Estimate(1.93, 1.61, 2.24)), bracketed(Estimate(0.131, 0.12, 0.14))
    ('1.9 [1.6, 2.2]', '0.13 [0.12, 0.14]')
    """
    fine = estimate.high - estimate.low < 0.3
    sign = "+" if signed else ""
    value, low, high = (
        f"{number + 0.0:{sign}.{2 if fine else 1}f}".replace("inf", "∞")
        for number in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} [{low}, {high}]"


def crossing(estimate: Estimate) -> str:
    """Write the Eb/N0 [dB] at a target rate, or on which side of the points it is known to be."""
    if not math.isnan(estimate.value):
        return bracketed(estimate)
    if math.isfinite(estimate.low):
        return f"> {estimate.low:g}"
    if math.isfinite(estimate.high):
        return f"< {estimate.high:g}"
    return "not known"


def gain_in_words(first: str, second: str, difference: Difference, level: str) -> str | None:
    """Say how two receivers compare at a target rate; None where their curves do not tell.

    Args:
        first, second: what they are called.
        difference: the gain of the first over the second [dB].
        level: the target, such as "BLER 10 %".

    >>> gain_in_words("A", "B", Difference(Estimate(1.9, 1.6, 2.2), 0.0, True), "BLER 10 %")
    'A beats B by 1.9 dB [1.6, 2.2] at BLER 10 %'
    """
    gain = difference.estimate
    if gain.high < 0 or (gain.value < 0 and difference.shown):
        swapped = Estimate(-gain.value, -gain.high, -gain.low)
        return gain_in_words(
            second, first, Difference(swapped, difference.p_value, difference.shown), level
        )
    if math.isnan(gain.value):
        if not (difference.shown and gain.low > 0):
            return None
        return f"{first} beats {second} by more than {gain.low:.1f} dB at {level}"
    value, interval = bracketed(gain).split(" ", 1)
    if difference.shown:
        return f"{first} beats {second} by {value} dB {interval} at {level}"
    return f"{first} and {second}: no difference is shown at {level}: {value} dB {interval}"


def rates_in_words(
    first: str, second: str, difference: Difference, quantity: str, ebno_db: float
) -> str:
    """Say how two receivers compare at one Eb/N0, where they cannot be compared in dB."""
    rate, place = difference.estimate, f"at {ebno_db:g} dB"
    if rate.value > 0:
        swapped = Estimate(-rate.value, -rate.high, -rate.low)
        return rates_in_words(
            second,
            first,
            Difference(swapped, difference.p_value, difference.shown),
            quantity,
            ebno_db,
        )
    interval = f"{-rate.value:.2g} [{-rate.high:.2g}, {-rate.low:.2g}]"
    name = NAMES[quantity]
    if difference.shown:
        return f"{first} beats {second} {place}: its {name} is lower by {interval}"
    return f"{first} and {second}: no difference is shown {place}: {name} differs by {interval}"


def pairs_in_words(section: Section, quantity: str, target: float) -> list[tuple[bool, str]]:
    """Compare every two receivers of a section.

    Where the two curves give no gain in dB, the rates are compared at the highest point that
    both have, or at the lowest if both are below the target there.

    Args:
        section: receivers on shared slots.
        quantity: "bler" or "ber".
        target: the rate at which they are compared, between 0 and 1.

    Returns:
        (whether a difference is shown, the sentence), one a pair that shares a slot.

    Raises:
        ValueError: if target is out of range.
    """
    by_label = {one.label: one for one in section.series}
    curves = {label: one.curves[quantity] for label, one in by_label.items()}
    level = f"{NAMES[quantity]} {percent(target)}"
    found = []
    for (first, second), difference in gain_differences(target, curves).items():
        ours, theirs = by_label[first], by_label[second]
        text = gain_in_words(ours.shown, theirs.shown, difference, level)
        if text is None:
            ebno = _place(ours, theirs, quantity, target)
            if ebno is None:
                continue
            difference = rate_difference(curves[first][ebno], curves[second][ebno])
            text = rates_in_words(ours.shown, theirs.shown, difference, quantity, ebno)
        found.append((difference.shown, text))
    return found


def _place(first: Series, second: Series, quantity: str, target: float) -> float | None:
    curves: tuple[Mapping[float, object], ...] = (first.curves[quantity], second.curves[quantity])
    shared = sorted(set(curves[0]) & set(curves[1]))
    if not shared:
        return None
    lowest = shared[0]
    below = all(one.curves[quantity][lowest].rate < target for one in (first, second))
    return lowest if below else shared[-1]
