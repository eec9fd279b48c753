"""Choosing learning rates and budgets on slots that no sweep draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from sims.link import Link, Slots
from sims.link.randomness import own_stream
from sims.scenario import SCENARIOS

# Seed of the slots for searching; the link's own searches have others.
SEED = 40_001
# Where the search is made: bit error rates before decoding of a few per cent.
POINTS = {"cdl_2x2": 12.0, "nominal_siso": 8.0, "short_cp": 14.0}

Value = TypeVar("Value")
Receive = Callable[[Slots], tf.Tensor]


class Case(NamedTuple):
    """A link and slots of it to search on."""

    link: Link
    slots: Slots


def cases(
    num_slots: int, points: Mapping[str, float] = POINTS, *, seed: int = SEED
) -> dict[str, Case]:
    """Draw the slots of a search, from a random stream of its own.

    Args:
        num_slots: slots of every scenario, >= 1.
        points: name of a scenario -> Eb/N0 in dB.
        seed: of the stream.

    Returns:
        Name -> case.
    """
    drawn = {}
    for name, ebno_db in points.items():
        link = Link(SCENARIOS[name])
        with own_stream(seed):
            drawn[name] = Case(link, link.transmit(num_slots, ebno_db))
    return drawn


def bit_errors(receive: Receive, slots: Slots) -> np.ndarray:
    """Share ``[B]`` of a slot's coded bits whose LLR has the wrong sign, before decoding."""
    llr = tf.function(receive, autograph=False)(slots).numpy()
    wrong = (llr > 0) != (slots.coded_bits.numpy() > 0.5)
    return wrong.mean(axis=(1, 2, 3))


def search(
    build: Callable[[Link, Value], Receive], values: Sequence[Value], cases: Mapping[str, Case]
) -> dict[Value, dict[str, float]]:
    """Bit error rates of a receiver for values of one of its options.

    Args:
        build: makes the receiver for a link and a value.
        values: to try.
        cases: where, see :func:`cases`.

    Returns:
        Value -> scenario -> bit error rate before decoding.
    """
    return {
        value: {
            name: float(bit_errors(build(case.link, value), case.slots).mean())
            for name, case in cases.items()
        }
        for value in values
    }


def best(rates: Mapping[Value, Mapping[str, float]]) -> Value:
    """The value with the least geometric mean of bit error rates over the scenarios.

    >>> best({0.1: {"a": 1e-2, "b": 4e-3}, 0.3: {"a": 2e-2, "b": 1e-3}})
    0.3
    """
    return min(rates, key=lambda value: sum(np.log(list(rates[value].values()))))


def change_by_doubling(
    build: Callable[[Link, int], Receive], num_steps: int, cases: Mapping[str, Case]
) -> float:
    """By how much twice the steps change the bit error rate: 0.05 is 5 %, negative is better.

    Args:
        build: makes the receiver for a link and a number of steps.
        num_steps: steps of the budget to check.
        cases: where, see :func:`cases`.

    Returns:
        Ratio of the geometric means over the scenarios, less one.
    """
    once, twice = search(build, (num_steps, 2 * num_steps), cases).values()
    logs = [np.mean(np.log(list(rates.values()))) for rates in (twice, once)]
    return float(np.expm1(logs[0] - logs[1]))
