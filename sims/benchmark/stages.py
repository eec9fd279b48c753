"""Where the time goes in what the bars time: how much longer each further stage makes a call.

A stage costs what the chain up to it takes more than the chain up to the stage before. The chains
are functions of their own, compiled like the whole, as a compiler fuses stages and a probe within
would stop that; so a stage may come out a little below zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend, recurrence
from rx_fixedpole.readout import ARDRidge, BlockRLS, RLSState
from rx_fixedpole.receivers import FixedPoleEqualizer
from rx_fixedpole.receivers.frontend import default_delay
from rx_fixedpole.receivers.layout import noise_variance
from rx_fixedpole.receivers.pilots import pilot_groups
from rx_fixedpole.receivers.time_frontend import TimeFrontEnd
from rx_fixedpole.recurrence.forward import start
from sims.benchmark import recurrences
from sims.benchmark.bar import Budget, Found
from sims.benchmark.engine import compiled, graph
from sims.benchmark.receivers import draw, lmmse_chain
from sims.benchmark.timing import interleaved
from sims.receivers.estimated import fixed_pole_block
from sims.scenario import SCENARIOS


def shares(chains: Mapping[str, Callable[[], Any]], rounds: int) -> Found:
    """Time the chains up to each stage; the value is the largest stage's share of the whole.

    Args:
        chains: stage -> the chain that ends with it, the last one being the whole.
        rounds: turns of each.
    """
    seconds = interleaved(chains, rounds)
    ends = 1e3 * np.array([np.median(seconds[stage]) for stage in chains])
    costs = dict(zip(chains, np.diff(ends, prepend=0.0), strict=True))
    told = ", ".join(f"{stage} {cost:.3g}" for stage, cost in costs.items())
    return Found(max(costs.values()) / ends[-1], f"ms: {told}; all {ends[-1]:.3g}", {"ms": costs})


def output_stages(batch: int, samples: int, num_poles: int) -> Callable[[Budget], Found]:
    """The stages of `output`."""

    def measure(budget: Budget) -> Found:
        given = recurrences.problem(batch, samples, num_poles)

        def before(u: Any, weights: Any) -> Any:
            run = start(u, given.poles, given.input_weights, "parallel", None)
            return run.before + 0 * weights[0, 0]

        inputs = (given.u, given.weights)
        chains = {
            "call": compiled(lambda u, weights: u[:, :1, :2] + weights[0], *inputs),
            "states between chunks": compiled(before, *inputs),
            "outputs": graph(recurrences.our_output(given), *inputs),
        }
        return shares(chains, budget.rounds)

    return measure


def gram_stages(samples: int, num_poles: int) -> Callable[[Budget], Found]:
    """The stages of `gram`, which works in double precision."""

    def measure(budget: Budget) -> Found:
        given = recurrences.problem(1, samples, num_poles)
        mixing = given.input_weights

        def before(u: Any) -> Any:
            return start(ops.cast(u, "complex128"), given.poles, mixing, "parallel", None).before

        chains = {
            "call": compiled(lambda u: ops.cast(u[:, :1], "complex128"), given.u),
            "states between chunks": compiled(before, given.u),
            "moments and displacement": compiled(
                lambda u: recurrence.gram(u, given.poles, input_weights=mixing), given.u
            ),
        }
        return shares(chains, budget.rounds)

    return measure


def slot_stages(batch: int, samples: int, num_poles: int) -> Callable[[Budget], Found]:
    """The stages of training and output."""

    def measure(budget: Budget) -> Found:
        given = recurrences.problem(batch, samples, num_poles)
        look = recurrences.gram_of_pilots(given)

        def seen(u: Any, targets: Any) -> Any:
            return RLSState(*look(u, targets))

        def weights(u: Any, targets: Any) -> Any:
            return BlockRLS().weights(seen(u, targets), recurrences.NO)

        inputs = (given.u, given.targets)
        chains = {
            "Gram matrix and moment": graph(seen, *inputs),
            "Cholesky solution": graph(weights, *inputs),
            "output": recurrences.our_slot(given),
        }
        return shares(chains, budget.rounds)

    return measure


def equalizer_stages(num_ant: int, batch: int) -> Callable[[Budget], Found]:
    """The stages of `FixedPoleEqualizer` with all its defaults: a delay line, ARDRidge."""

    def measure(budget: Budget) -> Found:
        scenario = SCENARIOS["nominal_2x2"].replace(num_tx_ant=num_ant, num_rx_ant=num_ant)
        link, slots = draw(scenario, batch)
        grid = link.resource_grid
        block = FixedPoleEqualizer(grid, link.stream_management, l_min=link.l_min)
        (group,), (window, *_) = pilot_groups(grid), block.sizes(num_ant)
        front_end = TimeFrontEnd(
            grid, np.zeros(0, complex), "orthonormal", window, default_delay(window, 0),
            _backend.dtype(slots.y_time), link.l_min,
        )  # fmt: skip

        def features(y: Any, no: Any) -> Any:
            rows = front_end.features(ops.reshape(y, (-1, *y.shape[2:])), group.elements)
            targets = _backend.constant(group.targets, _backend.dtype(rows)) + 0 * rows[..., :1]
            return rows, targets, noise_variance(no, tuple(y.shape[:3]), "float32")

        def products(y: Any) -> Any:
            y = ops.reshape(y, (-1, *y.shape[2:]))
            return front_end.products(y, group.elements, group.targets)

        def equations(y: Any, no: Any) -> Any:
            return features(y, no), products(y)

        inputs = (slots.y_time, slots.no)
        chains = {
            "features at pilots": graph(features, *inputs),
            "Gram matrix": graph(equations, *inputs),
            "prior powers, weights, leave-one-out": graph(
                lambda y, no: ARDRidge().fit(*features(y, no), products=products(y)), *inputs
            ),
            "output and reliability": graph(block, *inputs),
        }
        return shares(chains, budget.rounds)

    return measure


def estimator_stages(num_ant: int, batch: int) -> Callable[[Budget], Found]:
    """The stages of `FixedPoleChannelEstimator` and Sionna's LMMSEEqualizer."""

    def measure(budget: Budget) -> Found:
        scenario = SCENARIOS["nominal_2x2"].replace(num_tx_ant=num_ant, num_rx_ant=num_ant)
        link, slots = draw(scenario, batch)
        estimator, inputs = fixed_pole_block(link), (slots.y_time, slots.no)
        chains = {
            "demodulation": graph(lambda y, no: link.demodulate(y), *inputs),
            "channel estimate": graph(lambda y, no: estimator(link.demodulate(y), no), *inputs),
            "LMMSE": lmmse_chain(link, slots, estimator),
        }
        return shares(chains, budget.rounds)

    return measure
