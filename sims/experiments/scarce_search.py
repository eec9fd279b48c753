"""Learning rates and steps of the gradient methods, found on slots that are not looked at again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sims.experiments.parallel import in_processes
from sims.experiments.record import Parts

Options = dict[str, Any]
# Twice the steps may change the bit errors by this share; otherwise they are doubled.
TOLERATED = 0.05
# Slots of the search are those of a seed that far away.
OTHER_SLOTS = 1000


def search(
    methods: Mapping[str, Options],
    rates: Mapping[str, list[float]],
    steps: list[int],
    *,
    key: Mapping[str, Any],
    measure: Callable[[Mapping[str, Any]], dict[str, Any]],
    parts: Parts,
) -> dict[str, Options]:
    """Choose the rate with the fewest bit errors, then the fewest steps that are enough.

    Args:
        methods: label -> options of the receiver.
        rates: label -> learning rates to try, with the fewest steps.
        steps: numbers of steps, each twice the one before.
        key: the other entries of a key of `measure`, one scenario.
        measure: counts errors, see `scarce_pilots`.
        parts: where what is finished is kept.

    Returns:
        Label -> "learning_rate", "num_steps", and "change", what twice these steps would change in
        the bit errors; NaN for the last number of steps.
    """

    def errors(variants: dict[str, dict[str, Options]]) -> list[dict[str, int]]:
        keys = [{**key, "seed": key["seed"] + OTHER_SLOTS, "options": v} for v in variants.values()]
        found = in_processes(parts, keys, measure)
        return [{k: int(np.sum(result["errors"][k])) for k in v}
                for v, result in zip(variants.values(), found, strict=True)]  # fmt: skip

    by_rate = errors({
        label: {str(rate): {**options, "learning_rate": rate, "num_steps": steps[0]}
                for rate in rates[label]}
        for label, options in methods.items()
    })  # fmt: skip
    best = {
        label: float(min(found, key=found.__getitem__))
        for label, found in zip(methods, by_rate, strict=True)
    }
    by_steps = errors({
        label: {str(n): {**options, "learning_rate": best[label], "num_steps": n}
                for n in steps[1:]}
        for label, options in methods.items()
    })  # fmt: skip
    chosen = {}
    for label, first, more in zip(methods, by_rate, by_steps, strict=True):
        counts = [first[str(best[label])], *more.values()]
        chosen[label] = {"learning_rate": best[label], **enough(steps, counts)}
    return chosen


def enough(steps: list[int], errors: list[int]) -> Options:
    """The fewest steps of which twice as many change the errors little, and that change.

    >>> enough([200, 400, 800], [100, 80, 79])
    {'num_steps': 400, 'change': -0.0125}
    """
    for n, now, doubled in zip(steps, errors, errors[1:], strict=False):
        change = doubled / max(now, 1) - 1
        if abs(change) < TOLERATED:
            return {"num_steps": n, "change": round(change, 6)}
    return {"num_steps": steps[-1], "change": float("nan")}
