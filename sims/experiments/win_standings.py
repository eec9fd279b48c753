"""Who wins in a situation: receivers against the best rival there, by paired comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sims.statistics import (
    Difference,
    Estimate,
    Point,
    ebno_at,
    error_rate,
    gain_differences,
    rate_difference,
)

Curves = Mapping[str, Mapping[float, Point]]


@dataclass(frozen=True)
class Standing:
    """How a receiver stands in one situation.

    Args:
        name: the receiver's.
        role: "ours", "control", "rival" or "genie".
        needs: Eb/N0 [dB] at the target rate; NaN where the points do not tell, with an interval
            open on one side.
        floor: its error rate at the highest point.
        rival: the best rival there, itself if it is that one; None where there is none.
        gained: dB less than the best rival needs, paired.
        fewer: the best rival's error rate less its own at the highest point, paired; what decides
            where neither comes down to the target rate.
        shown: whether a test agrees with the interval that decides.
    """

    name: str
    role: str
    needs: Estimate
    floor: Estimate
    rival: str | None
    gained: Estimate
    fewer: Estimate
    shown: bool

    @property
    def verdict(self) -> str:
        """ "better" or "worse" than the best rival where interval and test show it, or "open"."""
        decides = self.fewer if both_floor(self.gained) else self.gained
        if not self.shown:
            return "open"
        return "better" if decides.low > 0 else "worse"

    @property
    def gain_db(self) -> float:
        """The gain, or what it is at least (at most) where only one curve crosses, else NaN."""
        if not math.isnan(self.gained.value):
            return self.gained.value
        known = [end for end in (self.gained.low, self.gained.high) if math.isfinite(end)]
        return known[0] if len(known) == 1 else math.nan


def both_floor(gained: Estimate) -> bool:
    """Whether neither curve comes down to the target rate, so that nothing is gained in dB."""
    return not any(map(math.isfinite, (gained.low, gained.high)))


def standings(curves: Curves, roles: Mapping[str, str], target: float) -> list[Standing]:
    """Compare receivers with the best rival.

    The best rival is the one that needs the least Eb/N0 for the target rate; rivals that do not
    come down to it rank behind, by their rate at the highest point.

    Args:
        curves: receiver -> Eb/N0 [dB] -> errors, of slots in the same order.
        roles: receiver -> "ours", "control", "rival" or "genie".
        target: the rate at which receivers are compared, between 0 and 1.
    """
    best = best_of([name for name in curves if roles[name] == "rival"], curves, target)
    return [_standing(name, curves, roles, best, target) for name in curves]


def best_of(names: list[str], curves: Curves, target: float) -> str | None:
    """Return the one of some receivers that needs the least Eb/N0, None of none."""
    return min(names, key=lambda name: _rank(curves[name], target), default=None)


def _rank(curve: Mapping[float, Point], target: float) -> tuple[float, float]:
    needs, lowest, highest = ebno_at(target, curve), min(curve), max(curve)
    if not math.isnan(needs.value):
        return needs.value, 0.0
    if curve[highest].rate < target:  # below it from the first point on
        return lowest - 1.0, curve[lowest].rate
    return math.inf, curve[highest].rate


def _standing(
    name: str, curves: Curves, roles: Mapping[str, str], best: str | None, target: float
) -> Standing:
    curve = curves[name]
    top = curve[max(curve)]
    unknown = Difference(Estimate(math.nan, -math.inf, math.inf), 1.0, False)
    gained = fewer = unknown
    if best is not None and best != name:
        pair = {name: curve, best: curves[best]}
        gained = gain_differences(target, pair)[name, best]
        fewer = rate_difference(curves[best][max(curves[best])], top)
    return Standing(
        name,
        roles[name],
        ebno_at(target, curve),
        error_rate(top.errors, top.per_slot),
        best,
        gained.estimate,
        fewer.estimate,
        (fewer if both_floor(gained.estimate) else gained).shown,
    )


def count_wins(cells: Mapping[str, Sequence[Standing]], by: str | None = None) -> tuple[int, int]:
    """Count the situations that one of ours wins, and those it wins by 2 dB or more.

    Args:
        cells: situation -> standings.
        by: the receiver that counts; None: the best of ours in each.
    """
    wins = large = 0
    for all_of_cell in cells.values():
        ours = [s for s in all_of_cell if s.role == "ours" and by in (None, s.name)]
        better = [s for s in ours if s.verdict == "better"]
        wins += bool(better)
        large += any(s.gain_db >= 2 for s in better)
    return wins, large
