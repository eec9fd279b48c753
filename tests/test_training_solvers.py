"""Closed forms and SciPy's solvers on systems whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from rx_fixedpole.readout import ARDRidge
from sims.training import (
    LBFGS,
    Adam,
    Data,
    DenseRNN,
    Descent,
    DiagonalRNN,
    Regression,
    VarPro,
    Weights,
    pretrain,
)
from sims.training.networks import Network
from tests import oracles
from tests.modes import complex_normal

pytestmark = pytest.mark.tensorflow_only

TRUE_POLES = np.array([0.7 * np.exp(0.6j), 0.5 * np.exp(-1.9j)])
SAMPLES = 60


class Fixed(Network):
    """Nothing to learn: the inputs are the states."""

    def __init__(self, num_states):
        super().__init__((np.zeros(0),), num_states)

    def states(self, recurrent, u):
        return u


def bank(poles, parametrization="stable"):
    poles = np.asarray(poles, complex)
    inputs = np.sqrt(1 - np.abs(poles) ** 2)[:, None] + 0j
    return DiagonalRNN(poles, inputs, parametrization=parametrization)


def regression_of(network, num_rows=SAMPLES, reg=1.0):
    learnt = np.arange(num_rows) % 4 > 0
    return Regression(network, lambda signal: signal, learnt=learnt, held_out=~learnt, reg=reg)


def system(batch=2, no=1e-12, seed=1, dtype="complex128"):
    """White inputs, a lag beside the bank, and the true bank's output with no noise."""
    u = complex_normal(seed, batch, SAMPLES, 1)
    gains = complex_normal(seed + 1, batch, 2, 1)
    line = np.roll(u, 1, axis=1)
    target = np.stack([
        oracles.bank_states(u[b : b + 1], TRUE_POLES)[0] @ gains[b] + 0.3 * line[b]
        for b in range(batch)
    ])  # fmt: skip
    arrays = [x.astype(dtype) for x in (u, line, target)]
    return Data(*map(tf.constant, arrays), tf.constant(np.full(batch, no), arrays[0].real.dtype))


def noisy(data, no=0.02):
    noise = np.sqrt(no) * complex_normal(8, *data.targets.shape)
    return data._replace(targets=data.targets + noise, no=tf.fill([len(noise)], np.float64(no)))


# --- the closed form ---------------------------------------------------------------------------


@pytest.mark.parametrize("unit_power", [False, True])
def test_solve_is_the_ridge_of_states_and_lags(unit_power):
    regression, data = regression_of(bank([0.3, 0.6j])), noisy(system())
    recurrent = regression.network.initial(2, tf.float64)
    rows = np.arange(SAMPLES) % 3 > 0
    solved = regression.solve(recurrent, data, rows, unit_power=unit_power)
    states = regression.network.states(recurrent, data.u).numpy()
    for b in range(2):
        scale = np.ones(3)
        if unit_power:
            scale[:2] = 1 / np.sqrt(np.mean(np.abs(states[b, rows]) ** 2, axis=0))
        features = np.concatenate([states[b], data.line[b]], axis=1)[rows] * scale
        targets = data.targets[b].numpy()[rows]
        expected = oracles.weighted_ridge(features, targets, 0.02) * scale[:, None]
        actual = np.concatenate([tf.complex(*solved.readout)[b], tf.complex(*solved.taps)[b]])
        np.testing.assert_allclose(actual, expected, atol=1e-10)
        keep = np.arange(len(features)) != 5
        without = oracles.weighted_ridge(features[keep], targets[keep], 0.02)
        left_out = targets[5] - features[5] @ without
        np.testing.assert_allclose(solved.leave_one_out[b, 5], left_out, atol=1e-9)


def test_solve_may_learn_its_prior():
    regression, data = regression_of(bank([0.3, 0.6j])), noisy(system())
    recurrent = regression.network.initial(2, tf.float64)
    rows = np.ones(SAMPLES, bool)
    solved = regression.solve(recurrent, data, rows, readout=ARDRidge())
    expected = ARDRidge().fit(regression.features(recurrent, data), data.targets, data.no)
    np.testing.assert_allclose(tf.complex(*solved.readout), expected.weights[:, :2], atol=1e-12)
    np.testing.assert_allclose(solved.leave_one_out, expected.leave_one_out, atol=1e-12)


def test_ridge_start_has_no_gradient_in_the_readout():
    """The loss that is descended and the ridge regression on the learnt rows are the same."""
    regression, data = regression_of(bank([0.3, 0.6j])), noisy(system())
    weights = regression.start(data, ridge=True)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        loss, _ = regression.losses(weights, data)
    slopes = tape.gradient(loss, weights)
    for part in tf.nest.flatten((slopes.readout, slopes.taps)):
        np.testing.assert_allclose(part, 0, atol=1e-12)
    assert np.abs(slopes.recurrent.poles[0]).max() > 1e-3


def test_losses_are_means_over_their_rows_alone():
    network = bank([0.3, 0.6j])
    regression, data = regression_of(network), system(no=0.5)
    zero = regression.start(data)
    power = np.sum(np.abs(data.targets) ** 2, axis=-1)
    learnt, held_out = regression.losses(zero, data)
    np.testing.assert_allclose(learnt, power[:, regression.learnt].mean(axis=1))
    np.testing.assert_allclose(held_out, power[:, regression.held_out].mean(axis=1))
    ones = zero._replace(taps=tuple(x + 1 for x in zero.taps))
    charged, _ = regression.losses(ones, data)
    free, _ = Regression(
        network, regression.rows, learnt=regression.learnt, held_out=regression.held_out, reg=0
    ).losses(ones, data)
    np.testing.assert_allclose(charged - free, 0.5 * 2 / regression.learnt.sum())


# --- L-BFGS ------------------------------------------------------------------------------------


def test_lbfgs_reaches_the_ridge_solution_of_a_fixed_network():
    data = noisy(system())
    data = data._replace(u=tf.concat([data.u, tf.roll(data.u, 2, 1)], axis=2))
    regression = regression_of(Fixed(2))
    solver = LBFGS(regression, num_steps=200, patience=200)
    training = solver(data, regression.start(data))
    ridge = regression.start(data, ridge=True)
    last = training.losses.numpy()
    for b in range(2):
        steps = np.flatnonzero(np.isfinite(last[:, 0, b]))
        np.testing.assert_allclose(
            last[steps[-1], 0, b], regression.losses(ridge, data)[0][b], rtol=1e-10
        )
        assert np.all(np.diff(last[steps, 0, b]) <= 0)


def test_lbfgs_keeps_the_iterate_that_the_held_out_rows_like_best():
    regression, data = regression_of(bank([0.3, 0.6j])), noisy(system(), 0.3)
    training = LBFGS(regression, num_steps=30, patience=30)(data, regression.start(data))
    held_out = training.losses[:, 1].numpy()
    np.testing.assert_allclose(training.held_out, np.nanmin(held_out, axis=0))
    np.testing.assert_array_equal(training.best_step, np.nanargmin(held_out, axis=0))
    _, again = regression.losses(training.parameters, data)
    np.testing.assert_allclose(again, training.held_out, rtol=1e-9)


def test_lbfgs_stops_after_its_patience():
    regression, data = regression_of(bank([0.3, 0.6j])), noisy(system(), 0.3)
    training = LBFGS(regression, num_steps=60, patience=3)(data, regression.start(data))
    seen = np.isfinite(training.losses[:, 0].numpy()).sum(axis=0)
    assert np.all(seen <= training.best_step.numpy() + 4)


# --- variable projection -----------------------------------------------------------------------


def sorted_poles(network, training):
    poles = network.matrix(training.parameters.recurrent).numpy()
    return np.array([row[np.argsort(np.angle(row))] for row in poles])


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_varpro_recovers_the_poles_of_a_noiseless_system(dtype):
    data = system(dtype=dtype)
    regression = regression_of(bank([0.4, -0.4j]))
    training = VarPro(regression, num_steps=60, patience=60)(data, regression.start(data))
    expected = TRUE_POLES[np.argsort(np.angle(TRUE_POLES))]
    tolerance = 1e-6 if dtype == "complex128" else 1e-3
    for row in sorted_poles(regression.network, training):
        np.testing.assert_allclose(row, expected, atol=tolerance)
    assert np.all(training.held_out.numpy() < tolerance**2)
    assert training.held_out.dtype == data.no.dtype
    _, again = regression.losses(training.parameters, data)
    np.testing.assert_allclose(again, training.held_out, rtol=1e-2, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_varpro_never_costs_more_than_the_fixed_ring(seed):
    ring = 0.7 * np.exp(2j * np.pi * np.arange(4) / 4 + 0.1j)
    regression, data = regression_of(bank(ring)), noisy(system(seed=seed), 0.05)
    start = regression.start(data, ridge=True)
    training = VarPro(regression, num_steps=20, patience=20)(data, start)
    fixed, held_out = (x.numpy() for x in regression.losses(start, data))
    reached, _ = regression.losses(training.parameters, data)
    np.testing.assert_allclose(training.losses[0, 0], fixed, rtol=1e-9)
    assert np.all(reached.numpy() <= fixed * (1 + 1e-9))
    assert np.all(training.held_out.numpy() <= held_out * (1 + 1e-9))
    assert np.all(np.abs(sorted_poles(regression.network, training)) < 1)


def test_varpro_knows_its_slope():
    """The recorded gradient of the projected loss against finite differences in the poles."""
    regression, data = regression_of(bank([0.4, -0.4j])), noisy(system(batch=1))
    solver = VarPro(regression, num_steps=1, patience=1)

    def loss(nu, theta):
        """The ridge loss with every state at its first power for white input."""
        poles = np.exp(-np.exp(nu) + 1j * theta)
        start = regression_of(bank(poles)).start(data, ridge=True)
        return float(regression_of(bank(poles)).losses(start, data)[0][0])

    nu, theta = (np.array(x[0]) for x in regression.network.initial(1, tf.float64).poles)
    slopes = []
    for k in range(4):
        step = 1e-5 * np.eye(4)[k].reshape(2, 2)
        ends = [loss(nu + s * step[0], theta + s * step[1]) for s in (1, -1)]
        slopes.append((ends[0] - ends[1]) / 2e-5)
    training = solver(data, regression.start(data))
    np.testing.assert_allclose(training.gradient_norms[0, 0], np.linalg.norm(slopes), rtol=1e-5)


def test_varpro_refuses_what_it_cannot_train():
    dense = DenseRNN(np.eye(2) / 2 + 0j, np.ones((1, 2)) + 0j, activation="linear")
    for network in (dense, bank([0.5], "free")):
        with pytest.raises(ValueError, match="network"):
            VarPro(regression_of(network), num_steps=3, patience=3)


@pytest.mark.parametrize("solver", [LBFGS, VarPro])
@pytest.mark.parametrize("option", ["num_steps", "patience"])
def test_counts_below_one_are_refused(solver, option):
    with pytest.raises(ValueError, match=option):
        solver(regression_of(bank([0.5])), **{"num_steps": 3, "patience": 3, option: 0})


@pytest.mark.parametrize("solver", [LBFGS, VarPro])
def test_a_graph_gives_what_eager_execution_gives(solver):
    regression, data = regression_of(bank([0.4, -0.4j])), noisy(system())
    run = solver(regression, num_steps=6, patience=6)
    start = regression.start(data)
    expected, actual = run(data, start), tf.function(run)(data, start)
    for a, b in zip(tf.nest.flatten(actual[:5]), tf.nest.flatten(expected[:5]), strict=True):
        np.testing.assert_array_equal(a, b)
    swapped = tf.nest.map_structure(lambda x: x[::-1], (data, start))
    np.testing.assert_array_equal(run(*swapped).losses, expected.losses[..., ::-1])


# --- gradient descent and training offline -----------------------------------------------------


def test_descent_records_the_poles_and_lowers_the_loss():
    regression, data = regression_of(bank([0.4, -0.4j])), noisy(system())
    descent = Descent(regression, Adam(0.03, 40), patience=40, record_every=10)
    start = regression.start(data)
    training = descent(data, start)
    assert training.snapshots.shape == (4, 2, 2)
    np.testing.assert_allclose(training.snapshots[0, 0], [0.4, -0.4j], atol=1e-12)
    assert np.all(training.losses[-1, 0] < 0.8 * training.losses[0, 0])
    assert np.all(training.gradient_norms > 0)


def test_nothing_is_recorded_of_a_network_without_a_recurrent_matrix():
    regression = regression_of(Fixed(1))
    descent = Descent(regression, Adam(0.1, 3), patience=3, record_every=1)
    data = system()
    with pytest.raises(ValueError, match="record_every"):
        descent(data, regression.start(data))


def test_pretraining_finds_the_poles_that_all_slots_share():
    regression = regression_of(bank([0.6 * np.exp(0.4j), 0.4 * np.exp(-1.5j)]))
    seeds = iter(range(0, 1000, 2))

    def draw():
        return noisy(system(batch=4, seed=next(seeds)), 1e-3)

    recurrent = pretrain(regression, draw, Adam(0.05, 60))
    network = regression.network.starting_at(recurrent)
    poles = network.matrix(network.initial(1, tf.float64)).numpy()[0]
    np.testing.assert_allclose(np.sort_complex(poles), np.sort_complex(TRUE_POLES), atol=0.03)
    data = noisy(system(seed=2001), 1e-3)

    def held_out(net):
        regression = regression_of(net)
        return regression.losses(regression.start(data, ridge=True), data)[1]

    assert np.all(held_out(network).numpy() < 0.5 * held_out(regression.network).numpy())


def test_weights_are_a_structure_of_real_tensors():
    regression, data = regression_of(bank([0.4, -0.4j])), system(dtype="complex64")
    for ridge in (False, True):
        weights = regression.start(data, ridge=ridge)
        assert isinstance(weights, Weights)
        assert {x.dtype for x in tf.nest.flatten(weights)} == {tf.float32}
