"""Times of several functions in one process, in turns, so that they share good and bad moments."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sims.benchmark.bar import Found
from sims.benchmark.engine import how, wait

# Calls are repeated within a turn: what counts is a receiver at work, not one that finds its
# threads asleep and its caches cold after the other side took its turn.
SHORTEST_TURN = 20e-3


def interleaved(functions: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds a call of every function took in each round.

    Args:
        functions: label -> what is timed, until its result is there.
        rounds: turns of each, after two calls that compile and warm up.
    """
    calls = {}
    for label, function in functions.items():
        wait(function())
        start = time.perf_counter()
        wait(function())
        calls[label] = max(1, int(SHORTEST_TURN / (time.perf_counter() - start)))
    seconds: dict[str, list[float]] = {label: [] for label in functions}
    for _ in range(rounds):
        for label, function in functions.items():
            start = time.perf_counter()
            for _ in range(calls[label]):
                result = function()
            wait(result)
            seconds[label].append((time.perf_counter() - start) / calls[label])
    return seconds


def compare(
    ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, *, faster: bool = True
) -> Found:
    """Return how many times faster ours is (or, not `faster`, its share of their time).

    The value is the ratio of medians; beside it stand the quartiles of the ratio over the rounds.
    """
    seconds = interleaved({"ours": ours, "theirs": theirs}, rounds)
    mine, other = (np.array(seconds[label]) for label in ("ours", "theirs"))
    upper, lower = (other, mine) if faster else (mine, other)
    low, high = np.percentile(upper / lower, [25, 75])
    medians = {"ours_ms": 1e3 * float(np.median(mine)), "theirs_ms": 1e3 * float(np.median(other))}
    ways = [way for way in (how(ours), how(theirs)) if way]
    told = "; " + ", theirs ".join(dict.fromkeys(ways)) if ways else ""
    return Found(
        float(np.median(upper) / np.median(lower)),
        f"{medians['ours_ms']:.3g} ms, theirs {medians['theirs_ms']:.3g} ms{told}",
        {**medians, "quartiles": [float(low), float(high)]},
    )
