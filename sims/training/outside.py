"""SciPy's solvers slot by slot, in double precision, inside a TensorFlow graph too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from sims.training.fit import Training
from sims.training.regression import Data, Weights


class Stopped(Exception):
    """Raised inside a solver's callback to end it: its best iterate is known outside."""


class Record:
    """The iterate that the held-out rows like best, and the course of the errors.

    Args:
        initial: the first parameters, in any form.
        num_steps: entries of the histories.
        patience: iterates without a new best after which `add` raises Stopped.
    """

    def __init__(self, initial: Any, num_steps: int, patience: int) -> None:
        self.best, self.held_out, self.best_step = initial, np.inf, 0
        self.losses = np.full((num_steps, 2), np.nan)
        self.gradient_norms = np.full(num_steps, np.nan)
        self._patience, self._step = patience, 0

    def add(self, parameters: Any, loss: float, held_out: float, gradient_norm: float) -> None:
        """One more iterate.

        Raises:
            Stopped: if the best one is too long ago, or the histories are full.
        """
        if self._step >= len(self.losses):
            raise Stopped
        self.losses[self._step] = loss, held_out
        self.gradient_norms[self._step] = gradient_norm
        if held_out < self.held_out:
            self.best, self.held_out, self.best_step = parameters, held_out, self._step
        self._step += 1
        if self._step - self.best_step > self._patience:
            raise Stopped


class Solved(NamedTuple):
    """What a solver made of one slot."""

    weights: Weights  # arrays with an axis of one slot
    record: Record


# (data, initial weights) of one slot, arrays in double precision with an axis of one slot
Solver = Callable[[Data, Weights], Solved]


def slot_by_slot(solve: Solver, data: Data, initial: Weights) -> Training:
    """Train every slot by a function of NumPy arrays.

    Args:
        solve: the solver of one slot.
        data, initial: of B slots.

    Returns:
        See :class:`Training`, in the precision of the data.
    """
    flat = tf.nest.flatten(initial)
    real = data.u.dtype.real_dtype

    def solve_one(arrays: list[np.ndarray]) -> list[np.ndarray]:
        one = tf.nest.pack_sequence_as(initial, arrays[len(data) :])
        weights, record = solve(Data(*arrays[: len(data)]), one)
        parts = [np.asarray(x) for x in tf.nest.flatten(weights)]
        histories = [record.losses[None], record.gradient_norms[None]]
        return [*parts, np.array([record.held_out]), *histories, np.array([record.best_step])]

    def run(*arrays: np.ndarray) -> list[np.ndarray]:
        doubled = [x.astype(np.complex128 if np.iscomplexobj(x) else np.float64) for x in arrays]
        batch = len(arrays[0])
        every = [solve_one([x[b : b + 1] for x in doubled]) for b in range(batch)]
        parts = [np.concatenate(part) for part in zip(*every, strict=True)]
        return [x.astype(t.as_numpy_dtype) for x, t in zip(parts, dtypes, strict=True)]

    dtypes = [*[x.dtype for x in flat], real, real, real, tf.int32]
    no = tf.broadcast_to(data.no, tf.shape(data.u)[:1])
    outputs = tf.numpy_function(run, [*data._replace(no=no), *flat], dtypes, stateful=False)
    for output, like in zip(outputs, flat, strict=False):
        output.set_shape(like.shape)
    held_out, losses, norms, best_step = outputs[len(flat) :]
    batch = data.u.shape[0]
    held_out.set_shape([batch])
    best_step.set_shape([batch])
    return Training(
        tf.nest.pack_sequence_as(initial, outputs[: len(flat)]),
        held_out,
        best_step,
        tf.transpose(losses, [1, 2, 0]),
        tf.transpose(norms, [1, 0]),
    )
