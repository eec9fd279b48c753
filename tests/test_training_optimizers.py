"""Gradient methods against NumPy, and the loop around them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from sims.training import OPTIMIZERS, Adam, AdamW, Momentum, RMSprop, train

pytestmark = pytest.mark.tensorflow_only

STEPS = 7


def rate(t):
    return 0.1 * np.cos(np.pi * (t - 1) / (2 * STEPS)) ** 2


def sgd(x, slope):
    for t in range(1, STEPS):
        x = x - rate(t) * slope(x)
        yield x


def momentum(x, slope, mu=0.9):
    v = 0
    for t in range(1, STEPS):
        v = mu * v + slope(x)
        x = x - rate(t) * v
        yield x


def rmsprop(x, slope, rho=0.9):
    v = 0
    for t in range(1, STEPS):
        g = slope(x)
        v = rho * v + (1 - rho) * g**2
        x = x - rate(t) * g / (np.sqrt(v) + 1e-8)
        yield x


def adam(x, slope, decay=0.0):
    m = v = 0
    for t in range(1, STEPS):
        g = slope(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        step = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        x = x - rate(t) * (step + decay * x)
        yield x


REFERENCES = {
    "sgd": sgd,
    "momentum": momentum,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": lambda x, slope: adam(x, slope, decay=0.01),
}


def slope(x):
    """Neither linear nor the same for the two parts of a complex number."""
    sine = tf.sin if tf.is_tensor(x) else np.sin
    return 3 * x + sine(x)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_follows_its_recursion_on_real_pairs(name):
    pair = np.random.default_rng(0).normal(size=(2, 3, 2))
    optimizer = OPTIMIZERS[name](0.1, STEPS)
    actual = {"w": tuple(tf.constant(pair))}
    memory = optimizer.start(actual)
    for t, expected in enumerate(REFERENCES[name](pair, slope)):
        gradients = tf.nest.map_structure(slope, actual)
        actual, memory = optimizer.step(tf.constant(t), actual, gradients, memory)
        np.testing.assert_allclose(tf.stack(actual["w"]), expected, atol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_finds_a_minimum(name):
    start = tf.constant([[4.0], [-1.0]])

    def squares(x):
        return tf.reduce_sum(x**2, 1), tf.reduce_sum(x**2, 1)

    optimizer = OPTIMIZERS[name](0.1, 150)
    result = tf.function(
        lambda: train(squares, start, optimizer=optimizer, patience=150), jit_compile=True
    )()
    assert np.all(np.abs(result.parameters) < 0.05)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Adam, {"learning_rate": 0.0}), (Adam, {"num_steps": 0}), (Adam, {"beta_1": 1.0}),
        (Adam, {"beta_2": -0.1}), (Adam, {"epsilon": 0.0}), (AdamW, {"weight_decay": -1.0}),
        (Momentum, {"momentum": 1.0}), (RMSprop, {"rho": 1.0}), (RMSprop, {"epsilon": -1.0}),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_named(kind, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        kind(**{"learning_rate": 0.1, "num_steps": 10, **options})


# --- the loop ----------------------------------------------------------------------------------


def run_with(held_out, *, patience, compiled=True, **options):
    """Train slots whose held-out error at each step is given, [steps, B]; x tells the step."""
    held_out = np.asarray(held_out, np.float32)
    num_steps, batch = held_out.shape
    # Without memory Adam moves against the gradient's sign by its rate
    rates = np.cos(np.pi * np.arange(num_steps) / 2 / num_steps) ** 2
    places = -np.cumsum([0, *rates[:-1]])

    def objective(x):
        at = tf.argmin(tf.abs(x - tf.constant(places, tf.float32)), axis=1)
        return 3 * x[:, 0], tf.gather(tf.constant(held_out.T), at, batch_dims=1)

    def run():
        adam = Adam(1.0, num_steps, beta_1=0.0, beta_2=0.0)
        return train(objective, tf.zeros([batch, 1]), optimizer=adam, patience=patience, **options)

    result = tf.function(run, jit_compile=compiled)()
    np.testing.assert_allclose(result.parameters[:, 0], places[result.best_step], atol=1e-5)
    return result, places


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_each_slot_keeps_its_best_step_and_stops_after_its_patience(compiled):
    held_out = np.array([
        [5, 4, 3, 9, 9, 9, 1, 9],  # stops at step 4: never sees the 1
        [5, 4, 3, 9, 2, 9, 1, 9],  # never waits long enough to stop
        [5, 6, 7, 1, 1, 1, 1, 1],  # keeps its start
        [5, 4, np.nan, np.nan, 1, 1, 1, 1],  # not a number is not better
    ]).T  # fmt: skip
    result, _ = run_with(held_out, patience=2, compiled=compiled)
    assert result.best_step.numpy().tolist() == [2, 6, 0, 1]
    assert result.held_out.numpy().tolist() == [3, 1, 5, 4]
    seen = np.isfinite(result.losses[:, 1].numpy()).sum(axis=0)
    assert seen.tolist() == [5, 8, 3, 2]
    assert np.isfinite(result.gradient_norms.numpy()).sum(axis=0).tolist() == [5, 8, 3, 4]
    np.testing.assert_allclose(result.gradient_norms[:3], 3.0)
    assert result.snapshots is None


def test_the_loop_ends_with_its_last_slot():
    held_out = np.arange(50, dtype=float)[:, None] * np.ones(3)
    result, _ = run_with(held_out, patience=4)
    assert np.isfinite(result.losses[:, 0].numpy()).sum(axis=0).tolist() == [5, 5, 5]


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_snapshots_are_of_the_chosen_steps(compiled):
    held_out = np.arange(11, dtype=float)[:, None] * np.ones(2)
    result, places = run_with(
        held_out,
        patience=6,
        compiled=compiled,
        every=3,
        observe=lambda x: tf.complex(x, 2 * x),
    )
    assert result.snapshots.shape == (4, 2, 1)
    # Steps 0 .. 6 are run; step 9 is not reached
    expected = (1 + 2j) * places[[0, 3, 6]]
    np.testing.assert_allclose(result.snapshots[:3, 1, 0], expected, atol=1e-5)
    assert np.all(np.isnan(result.snapshots[3].numpy()))


@pytest.mark.parametrize("option", ["patience", "every"])
def test_counts_below_one_are_refused(option):
    with pytest.raises(ValueError, match=option):
        train(
            lambda x: (x[:, 0], x[:, 0]),
            tf.zeros([1, 1]),
            optimizer=Adam(0.1, 3),
            **{"patience": 1, option: 0},
        )
