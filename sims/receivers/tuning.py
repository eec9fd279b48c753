"""The search for a trained receiver's learning rate, printed as it goes."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from sims.link import Link
from sims.receivers import RECEIVERS, resolve
from sims.receivers.bptt import DESCENT_STEPS, NUM_STEPS
from sims.training.search import Case, Receive, best, cases, change_by_doubling, search

_cases = functools.lru_cache(cases)


def tune(
    receiver: str,
    optimizer: str,
    rates: Sequence[float | None],
    *,
    num_steps: int | None = None,
    num_slots: int = 16,
    doubling: bool = True,
) -> float | None:
    """Print bit error rates for every learning rate, and what twice the steps change at the best.

    Args:
        receiver: a name of RECEIVERS whose builder has the options of `bptt`.
        optimizer: the method.
        rates: learning rates to try; None alone for a method without one.
        num_steps: most steps; None: the receiver's default.
        num_slots: slots of every scenario.
        doubling: whether to check the number of steps.

    Returns:
        The best rate.
    """

    def build(link: Link, rate: float | None, steps: int | None = num_steps) -> Receive:
        options = {"optimizer": optimizer, "learning_rate": rate, "num_steps": steps}
        return RECEIVERS[receiver].build(link, **resolve(receiver, options))

    drawn: dict[str, Case] = _cases(num_slots)
    print(f"{receiver}, {optimizer}:  " + "  ".join(drawn))
    table = {}
    for rate in rates:
        table.update(search(build, [rate], drawn))
        print(f"  {rate!s:8}" + "  ".join(f"{x:.4e}" for x in table[rate].values()), flush=True)
    found = best(table)
    print(f"  best: {found}", flush=True)
    if doubling:
        steps = num_steps or NUM_STEPS.get(optimizer, DESCENT_STEPS)
        change = change_by_doubling(lambda link, n: build(link, found, n), steps, drawn)
        print(f"  twice {steps} steps: {change:+.1%}", flush=True)
    return found
