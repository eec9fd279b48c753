"""The table of statements: what was checked on random complex systems, and how far it was off."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from sims.experiments.record import Parts, Presentation, Record, Result
from sims.experiments.statement_checks import (
    CHECKS,
    GAINS,
    NUM_SAMPLES,
    NUM_SEGMENTS,
    RADII,
    SEPARATION,
    Check,
)
from sims.sweep.results import aligned


def settings(*, quick: bool) -> dict[str, Any]:
    """Return how many systems of each order are drawn, and from what."""
    return {
        "revision": 1,
        "systems": 20 if quick else 200,
        "orders": [1, 2, 3, 4, 5, 6],
        "radii": RADII,
        "gains": GAINS,
        "separation": SEPARATION,
        "samples": NUM_SAMPLES,
        "segments": NUM_SEGMENTS,
    }


def compute(settings: Mapping[str, Any], *, seed: int, parts: Parts) -> Result:
    """Make every check; all of them see the same systems."""
    del parts
    return Result({"rows": [_row(check, settings, seed) for check in CHECKS]})


def present(record: Record) -> Presentation:
    """Write the table and what it means."""
    verdicts = {True: "yes", False: "NO", None: "-"}
    rows = [["statement", "what was checked", "cases", "worst", "required", "holds"]]
    rows += [
        [
            row["statement"] or "(closed forms)",
            row["checked"],
            str(row["cases"]),
            f"{row['worst']:.2g}",
            row["required"] or "-",
            verdicts[row["holds"]],
        ]
        for row in record.data["rows"]
    ]
    widest = max(len(row[1]) for row in rows)
    rows = [[first, second.ljust(widest), *rest] for first, second, *rest in rows]
    return Presentation(_caption(record.settings), table=aligned(rows))


def _row(check: Check, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    orders, systems = (settings["orders"], settings["systems"]) if check.random else ([2], 1)
    values = [
        value
        for order in orders
        for index in range(systems)
        for value in check.measure(np.random.default_rng([seed, order, index]), order)
    ]
    worst = check.worst(values)
    return {
        "statement": check.statement,
        "checked": check.text,
        "cases": len(values),
        "worst": worst,
        "required": f"{check.relation} {check.bar:g}" if check.relation else "",
        "holds": check.holds(worst),
    }


def _caption(settings: Mapping[str, Any]) -> str:
    budget = settings["budget"]
    orders, radii, gains = budget["orders"], budget["radii"], budget["gains"]
    text = f"""\
        Statements about a bank of K poles with impulse response h[n] = sum_k b_k beta_k^n, and
        about the loss, the squared error of h summed over all n. Each is checked on
        {budget["systems"]} random complex systems for every K from {orders[0]} to {orders[-1]} to
        which it applies (seed {settings["seed"]}): poles uniform over the ring
        {radii[0]:g} <= |beta| <= {radii[1]:g}, pairwise at least {budget["separation"]:g} apart,
        gains of modulus {gains[0]:g} to {gains[1]:g} and any phase. "Worst" is the largest figure
        where an upper bound is required and the smallest where a lower one is; ratios minus 1 are
        relative to the largest entry, losses to the energy of h, errors of poles and gains are
        absolute. Between permutations: nine points on each of up to {budget["segments"]} segments
        a system. Gram matrices and losses are compared with sums over {budget["samples"]} samples,
        kappa (the condition number of the Hessian over the poles) of the pairs (0.75, 0.8),
        (0.79, 0.8), (0.799, 0.8) with exact fractions. K = 1 has no permutation but the identity,
        so the argument against convexity needs K >= 2. Known Gaussian noise has no requirement:
        it fixes the system as well, but rounding grows like the impulse response of 1 / x, the
        input's inverse, and may bury it."""
    return textwrap.fill(" ".join(text.split()), 100)
