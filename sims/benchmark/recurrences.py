"""The recurrences against the naive form, against the machine, and over their sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend, recurrence
from rx_fixedpole import poles as placements
from rx_fixedpole.readout import BlockRLS, RLSState
from rx_fixedpole.recurrence import chunks
from sims.benchmark import engine, naive
from sims.benchmark.bar import Budget, Found
from sims.benchmark.engine import Tensor, compiled, constant, graph
from sims.benchmark.timing import compare, interleaved

INPUTS, STREAMS = 4, 2
NO = 0.1
# Two pilot symbols of a slot of fourteen, as shares of its samples.
PILOT_WINDOWS = ((2 / 14, 3 / 14), (11 / 14, 12 / 14))


class Problem(NamedTuple):
    """A random bank, its inputs and a readout."""

    u: Tensor  # [B, T, N] complex64
    poles: np.ndarray  # [K]
    input_weights: np.ndarray  # [K, N]
    weights: Tensor  # [K, S]
    targets: Tensor  # [B, T, S]


def problem(batch: int, samples: int, num_poles: int, *, radius: float = 0.95) -> Problem:
    """Draw a problem; the same sizes give the same one."""
    rng = np.random.default_rng([batch, samples, num_poles])
    u = constant(_gaussian(rng, batch, samples, INPUTS), "complex64")
    poles = placements.disc(num_poles, radius, seed=1)
    weights = constant(_gaussian(rng, num_poles, STREAMS), "complex64")
    targets = constant(_gaussian(rng, batch, samples, STREAMS), "complex64")
    return Problem(u, poles, _gaussian(rng, num_poles, INPUTS), weights, targets)


def _gaussian(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / math.sqrt(2)


def naive_states(given: Problem) -> Callable[[Tensor], Tensor]:
    poles = constant(given.poles, "complex64")
    matrix = constant(given.input_weights.T, "complex64")
    return lambda u: naive.states(u @ matrix, poles)


def our_output(given: Problem) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda u, weights: recurrence.output(
        u, given.poles, weights, input_weights=given.input_weights
    )


def output_speed(batch: int, samples: int, num_poles: int) -> Callable[[Budget], Found]:
    """`output` against the naive states times the weights."""

    def measure(budget: Budget) -> Found:
        given = problem(batch, samples, num_poles)
        states = naive_states(given)
        return compare(
            graph(our_output(given), given.u, given.weights),
            graph(lambda u, weights: states(u) @ weights, given.u, given.weights),
            budget.rounds,
        )

    return measure


def states_speed(batch: int, samples: int, num_poles: int) -> Callable[[Budget], Found]:
    """`states` against the naive ones."""

    def measure(budget: Budget) -> Found:
        given = problem(batch, samples, num_poles)
        return compare(
            graph(
                lambda u: recurrence.states(u, given.poles, input_weights=given.input_weights),
                given.u,
            ),
            graph(naive_states(given), given.u),
            budget.rounds,
        )

    return measure


def output_against_product(batch: int, samples: int, num_poles: int) -> Callable[[Budget], Found]:
    """`output` against one complex matrix product of as many operations as its chunks take."""

    def measure(budget: Budget) -> Found:
        given = problem(batch, samples, num_poles)
        length = chunks.chunk_length(samples, num_poles, INPUTS, STREAMS)
        num_chunks = batch * math.ceil(samples / length)
        inner = length * INPUTS
        # Ends of chunks, outputs from the chunk's inputs, outputs from the state before it.
        products = inner * num_poles + inner * length * STREAMS + num_poles * length * STREAMS
        rng = np.random.default_rng(0)
        left = constant(_gaussian(rng, num_chunks, inner), "complex64")
        right = constant(_gaussian(rng, inner, round(products / inner)), "complex64")
        return compare(
            graph(our_output(given), given.u, given.weights),
            graph(lambda a, b: a @ b, left, right),
            budget.rounds,
            faster=False,
        )

    return measure


def gram_speed(samples: int, num_poles: int) -> Callable[[Budget], Found]:
    """`gram` from the signal against the matrix product of states that are there already."""

    def measure(budget: Budget) -> Found:
        given = problem(1, samples, num_poles)
        states = recurrence.states(
            ops.cast(given.u, "complex128"), given.poles, input_weights=given.input_weights
        )
        return compare(
            compiled(
                lambda u: recurrence.gram(u, given.poles, input_weights=given.input_weights),
                given.u,
            ),
            graph(lambda s: _backend.adjoint_product(s, s), states),
            budget.rounds,
        )

    return measure


def slot_speed(batch: int, samples: int, num_poles: int) -> Callable[[Budget], Found]:
    """Training on two pilot symbols and the output of the whole slot, against the naive form."""

    def measure(budget: Budget) -> Found:
        given = problem(batch, samples, num_poles)
        return compare(
            our_slot(given),
            naive_slot(given),
            budget.rounds,
        )

    return measure


def pilot_windows(samples: int) -> list[tuple[int, int]]:
    """First sample and the one after the last of every pilot symbol."""
    return [(round(a * samples), round(b * samples)) for a, b in PILOT_WINDOWS]


def gram_of_pilots(given: Problem) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The compiled stage that training begins with: from the signal, without the states."""
    windows = pilot_windows(given.u.shape[1])

    @engine.stage
    def look(u: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        wanted = ops.concatenate([targets[:, a:b] for a, b in windows], axis=1)
        return recurrence.gram(
            u, given.poles, windows=windows, targets=wanted, input_weights=given.input_weights
        )

    return look


def our_slot(given: Problem) -> Callable[[], Any]:
    """Training and output: a compiled stage, a plain Cholesky solution, a compiled stage."""
    look = gram_of_pilots(given)

    def run(u: Tensor, targets: Tensor) -> Tensor:
        seen = look(u, targets)
        weights = ops.cast(BlockRLS().weights(RLSState(*seen), NO), _backend.dtype(u))
        return recurrence.output(u, given.poles, weights, input_weights=given.input_weights)

    return graph(run, given.u, given.targets)


def naive_slot(given: Problem) -> Callable[[], Any]:
    """States of all samples by the loop, a ridge on some of them, one product for the output."""
    states, windows = naive_states(given), pilot_windows(given.u.shape[1])

    def run(u: Tensor, targets: Tensor) -> Tensor:
        features = states(u)
        seen = ops.concatenate([features[:, a:b] for a, b in windows], axis=1)
        wanted = ops.concatenate([targets[:, a:b] for a, b in windows], axis=1)
        return features @ naive.train(seen, wanted, NO)

    return graph(run, given.u, given.targets)


def growth(axis: str) -> Callable[[Budget], Found]:
    """Exponent of the time of `output` as one size grows tenfold, the others fixed."""
    sizes = {
        "T": [(8, 2048, 64), (8, 6476, 64), (8, 20480, 64)],
        "K": [(8, 4096, 32), (8, 4096, 101), (8, 4096, 320)],
        "B": [(8, 2048, 64), (25, 2048, 64), (80, 2048, 64)],
    }[axis]
    places = {"B": 0, "T": 1, "K": 2}

    def measure(budget: Budget) -> Found:
        givens = {size: problem(*size) for size in sizes}
        seconds = interleaved(
            {
                str(size): graph(our_output(given), given.u, given.weights)
                for size, given in givens.items()
            },
            budget.rounds,
        )
        medians = [float(np.median(times)) for times in seconds.values()]
        grown = [size[places[axis]] for size in sizes]
        exponent = np.polyfit(np.log(grown), np.log(medians), 1)[0]
        told = ", ".join(f"{s:.3g} ms" for s in 1e3 * np.array(medians))
        return Found(float(exponent), f"{axis} = {grown}: {told}", {"seconds": medians})

    return measure
