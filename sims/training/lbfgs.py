"""L-BFGS on all parameters of a slot, through SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from scipy.optimize import minimize

from sims.training.fit import Training
from sims.training.outside import Record, Solved, Stopped, slot_by_slot
from sims.training.regression import Data, Regression, Weights

# Curvature pairs remembered.
_MEMORY = 20


class LBFGS:
    """Minimises the loss of each slot by L-BFGS; keeps the iterate that held-out rows like best.

    Args:
        regression: the network, its rows and its loss.
        num_steps: most iterations, >= 1.
        patience: iterations without a smaller held-out error after which a slot stops, >= 1.

    Raises:
        ValueError: if an argument is out of range.

    Notes:
        Double precision whatever the data's; one compiled function gives value and gradient.
    """

    def __init__(self, regression: Regression, *, num_steps: int, patience: int) -> None:
        for name, value in (("num_steps", num_steps), ("patience", patience)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}")
        self._regression, self._num_steps, self._patience = regression, num_steps, patience
        self._value = tf.function(self._losses, jit_compile=True, autograph=False)

    def __call__(self, data: Data, initial: Weights) -> Training:
        """Train B slots from given weights, one after the other."""
        return slot_by_slot(self._solve, data, initial)

    def _losses(self, data: Data, weights: Weights) -> tuple[tf.Tensor, tf.Tensor, Weights]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            loss, held_out = self._regression.losses(weights, data)
        gradient = tape.gradient(loss, weights, unconnected_gradients="zero")
        return loss[0], held_out[0], gradient

    def _solve(self, data: Data, initial: Weights) -> Solved:
        constants = Data(*(tf.constant(x) for x in data))
        record = Record(_flat(initial), self._num_steps, self._patience)
        seen: dict[bytes, tuple[float, float]] = {}

        def value(x: np.ndarray) -> tuple[float, np.ndarray]:
            weights = tf.nest.map_structure(tf.constant, _unflat(x, initial))
            loss, held_out, gradient = self._value(constants, weights)
            slope = _flat(gradient)
            seen[x.tobytes()] = float(held_out), float(np.linalg.norm(slope))
            return float(loss), slope

        def accepted(intermediate_result: Any) -> None:
            x = np.array(intermediate_result.x)
            if x.tobytes() not in seen:
                value(x)
            record.add(x, float(intermediate_result.fun), *seen[x.tobytes()])
            seen.clear()

        start = _flat(initial)
        try:
            record.add(start, value(start)[0], *seen[start.tobytes()])
            minimize(
                value,
                start,
                jac=True,
                method="L-BFGS-B",
                callback=accepted,
                options={
                    "maxiter": self._num_steps,
                    "maxfun": 4 * self._num_steps,
                    "maxcor": _MEMORY,
                    "ftol": 1e-12,
                    "gtol": 1e-9,
                },
            )
        except Stopped:
            pass
        return Solved(_unflat(record.best, initial), record)


def _flat(weights: Any) -> np.ndarray:
    return np.concatenate([np.asarray(x).reshape(-1) for x in tf.nest.flatten(weights)])


def _unflat(x: np.ndarray, like: Weights) -> Weights:
    parts = tf.nest.flatten(like)
    ends = np.cumsum([part.size for part in parts])[:-1]
    split = [p.reshape(like.shape) for p, like in zip(np.split(x, ends), parts, strict=True)]
    return tf.nest.pack_sequence_as(like, split)
