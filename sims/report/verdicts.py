"""A comparison as text, and whether it is cause for alarm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sims.report.comparison import Change, Matched, changes, gained
from sims.report.words import NAMES, bracketed, percent
from sims.statistics import Difference, Estimate, holm

TARGETS = {"bler": 0.1, "ber": 0.01}


def report(pairs: Sequence[Matched], *, target: float | None = None, confidence: float) -> str:
    """Write what became of each receiver at each Eb/N0, and the gains at a target rate.

    Args:
        pairs: what is compared.
        target: the rate at which gains are taken; None: BLER 10 %, uncoded BER 1 %.
        confidence: coverage of the intervals, between 0 and 1.

    Returns:
        One part a scenario and kind of rate: a table, then one line a receiver.

    Raises:
        ValueError: if two receivers carry unlike slots, or an argument is out of range.
    """
    return "\n\n".join(
        f"{scenario}: {NAMES[quantity]} before and after, intervals of {percent(confidence)}\n"
        + "\n".join([*_table(some, confidence), "", *_gains(some, target, confidence)])
        for (scenario, quantity), some in _grouped(pairs).items()
    )


def became_worse(pairs: Sequence[Matched], *, confidence: float) -> list[str]:
    """Name the rates that became worse, all comparisons taken together.

    Each of many intervals misses now and then, so the p-values are adjusted by Holm's rule: if
    nothing changed, anything is named with a probability of at most 1 - confidence.
    """
    found = [change for pair in pairs for change in changes(pair, confidence=confidence)]
    adjusted = holm([change.difference.p_value for change in found])
    return [
        f"{change.matched.scenario}, {change.matched.label} at {change.ebno_db:g} dB: "
        f"{NAMES[change.matched.quantity]} {change.before.value:.3g} -> {change.after.value:.3g}"
        for change, p_value in zip(found, adjusted, strict=True)
        if p_value <= 1 - confidence and change.difference.estimate.value > 0
    ]


def verdict(difference: Difference) -> str:
    """Say in a word what a difference of error rates, after less before, shows.

    >>> verdict(Difference(Estimate(-0.1, -0.2, -0.05), 0.001, True))
    'better'
    """
    if difference.estimate.value == difference.estimate.low == difference.estimate.high == 0:
        return "same"
    if not difference.shown:
        return "no difference shown"
    return "better" if difference.estimate.value < 0 else "worse"


def _grouped(pairs: Sequence[Matched]) -> dict[tuple[str, str], list[Matched]]:
    groups: dict[tuple[str, str], list[Matched]] = {}
    for pair in pairs:
        groups.setdefault((pair.scenario, pair.quantity), []).append(pair)
    return groups


def _table(pairs: Sequence[Matched], confidence: float) -> Iterator[str]:
    rows = [["receiver", "dB", "before", "after", "difference", "p", "slots", "verdict"]]
    for pair in pairs:
        for change in changes(pair, confidence=confidence):
            rows.append(_row(change))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if place in (0, 7) else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _row(change: Change) -> list[str]:
    difference = change.difference.estimate
    return [
        change.matched.label,
        f"{change.ebno_db:g}",
        f"{change.before.value:.3g}",
        f"{change.after.value:.3g}",
        f"{difference.value:+.2g} [{difference.low:+.2g}, {difference.high:+.2g}]",
        f"{change.difference.p_value:.2g}",
        f"{change.slots}" + ("" if change.matched.paired else " not paired"),
        verdict(change.difference),
    ]


def _gains(pairs: Sequence[Matched], target: float | None, confidence: float) -> Iterator[str]:
    for pair in pairs:
        rate = TARGETS[pair.quantity] if target is None else target
        difference = gained(pair, rate, confidence=confidence)
        yield (
            f"{pair.label}: {_gain_in_words(difference)} at {NAMES[pair.quantity]} {percent(rate)}"
        )


def _gain_in_words(difference: Difference) -> str:
    gain: Estimate = difference.estimate
    if gain.value == gain.low == gain.high == 0:
        return "not moved"
    if gain.value == gain.value:
        value, interval = bracketed(gain, signed=True).split(" ", 1)
        return ("" if difference.shown else "no gain or loss is shown, ") + (
            f"{value} dB {interval} gained"
        )
    if difference.shown and gain.low > 0:
        return f"more than {gain.low:+.2f} dB gained"
    if difference.shown and gain.high < 0:
        return f"more than {-gain.high:.2f} dB lost"
    return "no gain in dB, for want of crossings,"
