"""From a sweep's counts to curves, a table and files."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sims.plots import Curve, RatePoint
from sims.statistics import Estimate, Point, ebno_at, error_rate, gain
from sims.sweep.ledger import Ledger

COLUMNS = (
    "receiver",
    "ebno_db",
    "complete",
    "slots",
    "blocks",
    "block_errors",
    "bler",
    "bler_low",
    "bler_high",
    "bits",
    "bit_errors",
    "ber",
    "ber_low",
    "ber_high",
)


def points(ledger: Ledger, label: str, quantity: str) -> dict[float, Point]:
    """Return Eb/N0 [dB] -> errors of one receiver; `quantity` is "bler" or "ber"."""
    per_slot = ledger.blocks if quantity == "bler" else ledger.bits
    found = {}
    for ebno in sorted(ledger.plan.ebno_db):
        cell = ledger.cells[label, ebno]
        counts = cell.block_errors if quantity == "bler" else cell.bit_errors
        found[ebno] = Point(np.array(counts, dtype=np.int64), per_slot)
    return found


def curves(ledger: Ledger, quantity: str) -> list[Curve]:
    """Return one curve a receiver, with 95 % intervals; `quantity` is "bler" or "ber"."""
    return [
        Curve(
            contender.label,
            contender.genie,
            [
                RatePoint(ebno, _rate(point))
                for ebno, point in points(ledger, contender.label, quantity).items()
            ],
        )
        for contender in ledger.plan.contenders
    ]


def table(ledger: Ledger, quantity: str, *, target: float, reference: str | None = None) -> str:
    """Write the error rates, Eb/N0 at a target rate and gains over a reference.

    Args:
        ledger: the sweep.
        quantity: "bler" or "ber".
        target: the rate at which receivers are compared, between 0 and 1.
        reference: label of the receiver to compare with; None: no gains.

    Returns:
        The table; `<` gives the upper end of the interval where no error was seen, `*` marks
        points that have not met the stopping rule, `-` what the data do not tell.
    """
    ebno_db = sorted(ledger.plan.ebno_db)
    name = quantity.upper()
    header = [
        f"{name} at Eb/N0 =",
        *(f"{ebno:g} dB" for ebno in ebno_db),
        f"dB at {name} {target:g} [95 %]",
    ]
    base = None
    if reference is not None:
        header.append(f"dB gained over {reference} [95 %]")
        base = points(ledger, reference, quantity)
    rows = [header]
    for contender in ledger.plan.contenders:
        curve = points(ledger, contender.label, quantity)
        row = [contender.label + (" (genie)" if contender.genie else "")]
        row += [
            _cell(_rate(curve[ebno]), ledger.cells[contender.label, ebno].done) for ebno in ebno_db
        ]
        row.append(_interval(ebno_at(target, curve)))
        if base is not None:
            same = contender.label == reference
            row.append("" if same else _interval(gain(target, curve, base), signed=True))
        rows.append(row)
    return aligned(rows)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Write rows of equal length as text in columns, the first one to the left, a rule below the
    first row.

    >>> print(aligned([["a", "b"], ["long", "1.0"]]))
    a       b
    ---------
    long  1.0
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0].rstrip(), "-" * len(lines[0]), *map(str.rstrip, lines[1:])])


def write_csv(ledger: Ledger, path: Path) -> None:
    """Write one line a receiver and point; rates of points without data are `nan`."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for contender in ledger.plan.contenders:
            blers = points(ledger, contender.label, "bler")
            bers = points(ledger, contender.label, "ber")
            for ebno in blers:
                cell = ledger.cells[contender.label, ebno]
                writer.writerow(
                    [
                        contender.label,
                        ebno,
                        cell.done,
                        blers[ebno].errors.size,
                        *_totals(blers[ebno]),
                        *_totals(bers[ebno]),
                    ]
                )


def _totals(point: Point) -> Sequence[float]:
    estimate = _rate(point)
    return (
        point.errors.size * point.per_slot,
        int(point.errors.sum()),
        estimate.value,
        estimate.low,
        estimate.high,
    )


def _rate(point: Point) -> Estimate:
    # Before the first chunk nobody knows what a slot carries.
    return error_rate(point.errors, max(point.per_slot, 1))


def _cell(rate: Estimate, done: bool) -> str:
    if math.isnan(rate.value):
        return "-"
    shown = f"{rate.value:.2g}" if rate.value else f"<{rate.high:.1g}"
    return shown + ("" if done else "*")


def _interval(estimate: Estimate, signed: bool = False) -> str:
    """Write value [low, high], or the side on which the value is known to be."""
    sign = "+" if signed else ""
    if not math.isnan(estimate.value):
        return f"{estimate.value:{sign}.2f} [{estimate.low:{sign}.2f}, {estimate.high:{sign}.2f}]"
    if math.isfinite(estimate.low):
        return f"> {estimate.low:{sign}.2f}"
    if math.isfinite(estimate.high):
        return f"< {estimate.high:{sign}.2f}"
    return "-"
