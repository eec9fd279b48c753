"""What a file of results holds that a plan cannot use, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from sims.store import Row, canonical_json
from sims.sweep.plan import Contender, Plan


def unused(plan: Plan, rows: Iterable[Row]) -> list[str]:
    """Say which rows would be the plan's own if versions, revisions and chunks were the same.

    Rows of other scenarios, receivers, options, points and seeds are no news: one file may hold
    many sweeps.

    Args:
        plan: what is to be computed.
        rows: what the file holds.

    Returns:
        One line a receiver and way of computing.
    """
    contenders = {(c.name, canonical_json(c.options)): c for c in plan.contenders}
    keys = {plan.key(c, ebno) for c in plan.contenders for ebno in plan.ebno_db}
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        contender = contenders.get((row.receiver, canonical_json(row.options)))
        if row.key in keys or contender is None or row.seed != plan.seed:
            continue
        if row.ebno_db in plan.ebno_db and row.scenario.get("name") == plan.scenario.get("name"):
            difference = _difference(plan, contender, row)
            if difference:
                counts[contender.name, difference] += 1
    return [
        f"{count} chunks of {name} there were computed with {difference}; they are kept but "
        "not used"
        for (name, difference), count in counts.items()
    ]


def _difference(plan: Plan, contender: Contender, row: Row) -> str:
    """Name what keeps a row from being the plan's; empty where its scenario is another one."""
    shared = row.scenario.keys() & plan.scenario.keys()
    if any(row.scenario[name] != plan.scenario[name] for name in shared):
        return ""
    known = {
        "revision": (row.revision, contender.revision),
        "Sionna": (row.versions.get("sionna"), plan.versions.get("sionna")),
        "slots a chunk:": (len(row.bit_errors), plan.slots_per_chunk),
    }
    then = [f"{name} {old}" for name, (old, new) in known.items() if old != new]
    now = [f"{name} {new}" for name, (old, new) in known.items() if old != new]
    for title, names in (
        ("a scenario without", plan.scenario.keys() - row.scenario.keys()),
        ("a scenario with", row.scenario.keys() - plan.scenario.keys()),
    ):
        if names:
            then.append(f"{title} {', '.join(sorted(names))}")
    return " / ".join(then) + (f" (now {' / '.join(now)})" if now else "")
