"""What single precision loses against double."""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import recurrence
from rx_fixedpole.readout import Ridge
from sims.benchmark.bar import Budget, Found
from sims.benchmark.engine import Tensor, array
from sims.benchmark.recurrences import Problem, our_output, problem


def output_accuracy(budget: Budget) -> Found:
    """Error of single precision against double, relative to the output's power."""
    del budget
    worst = 0.0
    for batch, samples, num_poles in ((1, 4096, 64), (8, 1024, 64), (1, 15360, 256)):
        given = problem(batch, samples, num_poles, radius=0.999)
        exact = _double_output(given, given.weights)
        worst = max(worst, _relative(our_output(given)(given.u, given.weights), exact))
    return Found(worst, "three sizes, disc of radius 0.999")


def ridge_accuracy(budget: Budget) -> Found:
    """The same after a ridge with a relative regularisation of 1e-6, trained in each precision."""
    del budget
    given = problem(4, 4096, 64, radius=0.95)
    outputs = []
    for dtype in ("complex64", "complex128"):
        u, targets = ops.cast(given.u, dtype), ops.cast(given.targets, dtype)
        window = [(512, 1600)]
        states: Tensor = recurrence.states_within(
            u, given.poles, window, input_weights=given.input_weights
        )
        mean_power = float(np.mean(np.abs(array(states)) ** 2))
        no = 1e-6 * states.shape[1] * mean_power
        weights = Ridge().fit(states, targets[:, 512:1600], no).weights
        outputs.append(
            recurrence.output(u, given.poles, weights, input_weights=given.input_weights)
        )
    return Found(_relative(outputs[0], outputs[1]), "weights of each precision's own training")


def _double_output(given: Problem, weights: Tensor) -> Tensor:
    return recurrence.output(
        ops.cast(given.u, "complex128"), given.poles, ops.cast(weights, "complex128"),
        input_weights=given.input_weights,
    )  # fmt: skip


def _relative(found: Tensor, exact: Tensor) -> float:
    difference = array(found).astype(np.complex128) - array(exact)
    return float(np.linalg.norm(difference) / np.linalg.norm(array(exact)))
