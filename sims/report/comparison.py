"""What a change to a receiver brought: two sets of results, paired where they share slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sims.report.sections import Section, Series
from sims.statistics import Difference, Estimate, error_rate, gain_differences, rate_difference


@dataclass(frozen=True)
class Matched:
    """The same receiver before and after, or two receivers; `paired`: on the same slots."""

    scenario: str
    label: str
    before: Series
    after: Series
    paired: bool
    quantity: str


@dataclass(frozen=True)
class Change:
    """What became of an error rate at one Eb/N0 [dB]; negative differences are improvements."""

    matched: Matched
    ebno_db: float
    before: Estimate
    after: Estimate
    difference: Difference
    slots: int


def match(
    before: Sequence[Section],
    after: Sequence[Section],
    *,
    receivers: tuple[str, str] | None = None,
) -> list[Matched]:
    """Find what can be compared in two sets of results.

    Args:
        before, after: the results.
        receivers: identities, see `identify`, of the receiver in `before` and of its rival in
            `after`; None: every receiver is compared with itself, whatever its revision.

    Returns:
        The pairs, in the order of `before`; of several revisions the highest. Slots are the same
        where scenario, seed, slots per chunk and Sionna's version are; else those of the same
        scenario are compared without pairing, if there is one set of them on each side.
    """
    found = []
    for section in before:
        for one in _newest(section, receivers and receivers[0]):
            identity = one.identity if receivers is None else receivers[1]
            other = _rival(section, before, after, identity)
            if other is None:
                continue
            rival, paired = other
            label = _label(one, rival)
            found.append(Matched(section.name, label, one, rival, paired, section.quantities[0]))
    return found


def changes(matched: Matched, *, confidence: float = 0.95) -> list[Change]:
    """Compare the rates of a pair at every Eb/N0 that both have, paired if they share slots.

    Args:
        matched: the pair.
        confidence: coverage of the intervals of the differences, between 0 and 1.

    Returns:
        One change a point, ascending in Eb/N0; the difference is after less before.

    Raises:
        ValueError: if the two carry unlike numbers of bits or blocks in a slot, or confidence is
            out of range.
    """
    before = matched.before.curves[matched.quantity]
    after = matched.after.curves[matched.quantity]
    found = []
    for ebno in sorted(set(before) & set(after)):
        first, second = before[ebno], after[ebno]
        difference = rate_difference(second, first, paired=matched.paired, confidence=confidence)
        rates = [error_rate(point.errors, point.per_slot) for point in (first, second)]
        sizes = (first.errors.size, second.errors.size)
        slots = min(sizes) if matched.paired else sum(sizes)
        found.append(Change(matched, ebno, rates[0], rates[1], difference, slots))
    return found


def gained(matched: Matched, target: float, *, confidence: float = 0.95) -> Difference:
    """Estimate how many dB less is needed after than before for a target rate; see `gain`."""
    curves = {
        "after": matched.after.curves[matched.quantity],
        "before": matched.before.curves[matched.quantity],
    }
    return gain_differences(target, curves, paired=matched.paired, confidence=confidence)[
        "after", "before"
    ]


def _label(one: Series, rival: Series) -> str:
    if one.identity != rival.identity:
        return f"{one.shown} → {rival.shown}"
    if one.revision != rival.revision:
        return f"{one.shown}, revision {one.revision} → {rival.revision}"
    return one.shown


def _newest(section: Section, identity: str | None) -> Iterator[Series]:
    newest: dict[str, Series] = {}
    for one in section.series:
        kept = newest.setdefault(one.identity, one)
        if one.revision > kept.revision:
            newest[one.identity] = one
    return (one for one in newest.values() if identity in (None, one.identity))


def _rival(
    section: Section, before: Sequence[Section], after: Sequence[Section], identity: str
) -> tuple[Series, bool] | None:
    """Find a receiver among the other results, and whether it counts on the section's slots."""
    for paired, alike in ((True, _slots), (False, _scenario)):
        if not paired and sum(_scenario(one) == _scenario(section) for one in before) > 1:
            return None
        rivals = [
            one
            for other in after
            if alike(other) == alike(section)
            for one in _newest(other, identity)
        ]
        if len(rivals) == 1:
            return rivals[0], paired
    return None


Key = Callable[[Section], object]


def _slots(section: Section) -> object:
    return section.scenario, section.seed, section.slots_per_chunk, section.sionna


def _scenario(section: Section) -> object:
    return section.scenario
