"""What others offer for the same work: ReservoirPy, Keras' recurrent layers, the usual NumPy loop.

The peers come with the extra "benchmark"; without it these lines are not measured.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sims.benchmark.bar import Budget, Found
from sims.benchmark.recurrences import STREAMS, our_slot, pilot_windows, problem
from sims.benchmark.timing import compare

SAMPLES, WIDTH = 4096, 64


def against_reservoirpy(budget: Budget) -> Found:
    """One slot by ours, and a reservoir of as many units fitted on its pilots and run over it."""
    if importlib.util.find_spec("reservoirpy") is None:
        return Found(None, "ReservoirPy is not installed: pip install '.[benchmark]'")
    from reservoirpy.nodes import Reservoir, Ridge

    given = problem(1, SAMPLES, WIDTH)
    # ReservoirPy is real: real and imaginary parts stand side by side.
    inputs, targets = _real(given.u)[0], _real(given.targets)[0]
    windows = pilot_windows(SAMPLES)

    def theirs() -> Any:
        model = Reservoir(WIDTH, sr=0.95, seed=1) >> Ridge(ridge=0.1)
        model.fit([inputs[a:b] for a, b in windows], [targets[a:b] for a, b in windows])
        return model.run(inputs)

    return compare(our_slot(given), theirs, budget.rounds)


def against_bptt_step(kind: str) -> Callable[[Budget], Found]:
    """One slot by ours, trained and detected, and one compiled gradient step of a Keras layer."""

    def measure(budget: Budget) -> Found:
        given = problem(1, SAMPLES, WIDTH)
        layer, head, inputs, targets = _keras_network(given, kind)
        variables = [*layer.trainable_variables, *head.trainable_variables]
        optimizer = keras.optimizers.Adam(1e-3)
        optimizer.build(variables)

        @tf.function(jit_compile=True, autograph=False)
        def step(inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((head(layer(inputs)) - targets) ** 2)
            optimizer.apply(tape.gradient(loss, variables), variables)
            return loss

        return compare(our_slot(given), lambda: step(inputs, targets), budget.rounds)

    return measure


def against_forward(kind: str) -> Callable[[Budget], Found]:
    """One slot by ours, trained and detected, and a Keras layer run over it once, untrained."""

    def measure(budget: Budget) -> Found:
        given = problem(1, SAMPLES, WIDTH)
        layer, head, _, _ = _keras_network(given, kind)
        forward = tf.function(lambda u: head(layer(u)), autograph=False)
        inputs = tf.constant(_real(given.u))
        return compare(our_slot(given), lambda: forward(inputs), budget.rounds)

    return measure


def against_numpy_loop(budget: Budget) -> Found:
    """One slot by ours, and an echo state network as it is commonly published: a Python loop."""
    given = problem(1, SAMPLES, WIDTH)
    rng = np.random.default_rng(1)
    recurrent = rng.standard_normal((WIDTH, WIDTH))
    recurrent *= 0.95 / np.max(np.abs(np.linalg.eigvals(recurrent)))
    inputs, targets = given.u.numpy()[0], given.targets.numpy()[0]
    windows = pilot_windows(SAMPLES)
    pilots = np.concatenate([np.arange(a, b) for a, b in windows])

    def theirs() -> np.ndarray:
        states = np.zeros((SAMPLES, WIDTH), np.complex64)
        state = np.zeros(WIDTH, np.complex64)
        for n in range(SAMPLES):
            state = recurrent @ state + given.input_weights @ inputs[n]
            state = np.tanh(state.real) + 1j * np.tanh(state.imag)
            states[n] = state
        return states @ (np.linalg.pinv(states[pilots]) @ targets[pilots])

    return compare(our_slot(given), theirs, budget.rounds)


def _real(x: tf.Tensor) -> np.ndarray:
    return np.concatenate([x.numpy().real, x.numpy().imag], axis=-1).astype(np.float32)


def _keras_network(given: Any, kind: str) -> tuple[Any, Any, tf.Tensor, tf.Tensor]:
    """A layer of as many units, its dense head, and the pilots of the slot."""
    keras.utils.set_random_seed(1)
    layer = getattr(keras.layers, kind)(WIDTH, return_sequences=True)
    head = keras.layers.Dense(2 * STREAMS)
    windows = pilot_windows(SAMPLES)
    inputs, targets = (
        tf.constant(np.concatenate([_real(x)[:, a:b] for a, b in windows], axis=1))
        for x in (given.u, given.targets)
    )
    head(layer(inputs))
    return layer, head, inputs, targets
