"""Networks against independent recursions, and what all of them owe."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import lfilter

from sims.training import (
    ACTIVATIONS,
    GRU,
    LSTM,
    NETWORKS,
    Data,
    DenseRNN,
    DiagonalRNN,
    Regression,
    Weights,
)
from tests.modes import complex_normal, in_mode

pytestmark = pytest.mark.tensorflow_only

BATCH, SAMPLES, INPUTS, STATES = 2, 9, 2, 3


def diagonal(parametrization):
    poles = np.array([0.6 + 0.3j, -0.5j, -0.8 + 0.1j])
    return DiagonalRNN(poles, complex_normal(5, STATES, INPUTS), parametrization=parametrization)


def dense(activation):
    rng = np.random.default_rng(6)
    return DenseRNN.random(STATES, INPUTS, activation=activation, radius=0.8, rng=rng)


def gated(kind):
    return kind.random(STATES, INPUTS, rng=np.random.default_rng(7))


MADE = {
    "diagonal-free": lambda: diagonal("free"),
    "diagonal-stable": lambda: diagonal("stable"),
    **{f"dense-{name}": lambda name=name: dense(name) for name in ACTIVATIONS},
    "gru": lambda: gated(GRU),
    "lstm": lambda: gated(LSTM),
}


@pytest.fixture(params=MADE)
def network(request):
    return MADE[request.param]()


def test_every_network_is_tested():
    assert {type(make()) for make in MADE.values()} == set(NETWORKS.values())


def moved(network, batch=BATCH, dtype=tf.float64):
    """Parameters that differ from slot to slot and from the initial ones."""
    rng = np.random.default_rng(9)
    return tf.nest.map_structure(
        lambda x: x + tf.constant(0.2 * rng.normal(size=x.shape), dtype),
        network.initial(batch, dtype),
    )


def regression_of(network):
    learnt = np.arange(SAMPLES) % 3 > 0
    return Regression(network, lambda signal: signal, learnt=learnt, held_out=~learnt, reg=0.3)


def problem(network):
    """Weights and data of two slots, nothing of them zero."""
    rng = np.random.default_rng(2)
    pairs = [tuple(tf.constant(rng.normal(size=(2, BATCH, n, 2)))) for n in (STATES, 4)]
    data = Data(
        tf.constant(complex_normal(1, BATCH, SAMPLES, INPUTS)),
        tf.constant(complex_normal(2, BATCH, SAMPLES, 4)),
        tf.constant(complex_normal(3, BATCH, SAMPLES, 2)),
        tf.constant([0.5, 0.1], tf.float64),
    )
    return Weights(moved(network), *pairs), data


def test_gradients_are_those_of_finite_differences(network):
    regression, (weights, data) = regression_of(network), problem(network)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        total = tf.reduce_sum(regression.losses(weights, data)[0])
    gradients = tf.nest.flatten(tape.gradient(total, weights, unconnected_gradients="zero"))
    parts = tf.nest.flatten(weights)
    for i, (part, gradient) in enumerate(zip(parts, gradients, strict=True)):
        direction = np.random.default_rng(i).normal(size=part.shape)
        ends = []
        for sign in (1, -1):
            there = [*parts[:i], part + sign * 1e-5 * direction, *parts[i + 1 :]]
            there = tf.nest.pack_sequence_as(weights, there)
            ends.append(tf.reduce_sum(regression.losses(there, data)[0]).numpy())
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6, atol=1e-8)


def test_values_and_gradients_are_the_same_in_every_mode(network):
    regression, (weights, data) = regression_of(network), problem(network)

    def slopes(*flat):
        these = tf.nest.pack_sequence_as((weights, data), flat)
        with tf.GradientTape() as tape:
            tape.watch(these[0])
            loss, held_out = regression.losses(*these)
        gradient = tape.gradient(loss, these[0], unconnected_gradients="zero")
        return [loss, held_out, *tf.nest.flatten(gradient)]

    flat = tf.nest.flatten((weights, data))
    expected = in_mode(slopes, "eager")(*flat)
    for mode in ("graph", "xla"):
        for a, b in zip(in_mode(slopes, mode)(*flat), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_slots_do_not_mix_and_runs_are_slots_of_equal_parameters(network):
    weights = moved(network)
    u = tf.constant(complex_normal(4, BATCH, 3, SAMPLES, INPUTS))  # three runs
    states = network.states(weights, u).numpy()
    assert states.shape == (BATCH, 3, SAMPLES, STATES)
    for b in range(BATCH):
        one = tf.nest.map_structure(lambda x, b=b: x[b : b + 1], weights)
        for r in range(3):
            alone = network.states(one, u[b : b + 1, r])
            np.testing.assert_allclose(states[b, r], alone[0], atol=1e-13)


def test_output_is_the_readout_of_the_states(network):
    weights, u = moved(network), tf.constant(complex_normal(4, BATCH, 2, SAMPLES, INPUTS))
    readout = tf.constant(complex_normal(5, BATCH, STATES, 2))
    for inputs in (u, u[:, 0]):
        expected = np.einsum(
            "b...h,bhs->b...s", network.states(weights, inputs).numpy(), readout.numpy()
        )
        actual = network.output(weights, inputs, readout)
        np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_starts_where_it_is_told_to(network):
    weights = tf.nest.map_structure(lambda x: x[1].numpy(), moved(network))
    other = network.starting_at(weights)
    for copy in (0, 2):
        again = tf.nest.map_structure(lambda x: x[copy].numpy(), other.initial(3, tf.float64))  # noqa: B023
        tf.nest.map_structure(np.testing.assert_array_equal, again, weights)
    first = tf.nest.flatten(network.initial(1, tf.float64))[0]
    assert np.any(first != tf.nest.flatten(weights)[0])


@pytest.mark.parametrize("name", ["diagonal-free", "diagonal-stable", "dense-linear"])
def test_response_is_the_transform_of_the_impulse_response(name):
    network = MADE[name]()
    weights = network.initial(BATCH, tf.float64)
    omega = np.array([-2.0, 0.3, 1.1])
    impulse = np.zeros((BATCH, 400, INPUTS), complex)
    for a in range(INPUTS):
        impulse[:, 0] = np.eye(INPUTS)[a]
        h = network.states(weights, tf.constant(impulse)).numpy()
        expected = np.einsum("btk,tn->bkn", h, np.exp(-1j * np.outer(np.arange(400), omega)))
        np.testing.assert_allclose(network.response(weights, omega)[:, :, a], expected, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in MADE if not name.endswith(("e", "r"))])
def test_nonlinear_networks_have_no_response(name):
    network = MADE[name]()
    assert network.response(network.initial(1, tf.float64), np.zeros(1)) is None


@pytest.mark.parametrize("parametrization", ["free", "stable"])
def test_bank_is_a_set_of_one_pole_filters_of_each_slot(parametrization):
    network, u = diagonal(parametrization), complex_normal(1, BATCH, 50, INPUTS)
    weights = moved(network)
    pair = [part.numpy() for part in weights.poles]
    poles = pair[0] + 1j * pair[1]
    if parametrization == "stable":
        poles = np.exp(-np.exp(pair[0]) + 1j * pair[1])
    inputs = weights.input_weights[0].numpy() + 1j * weights.input_weights[1].numpy()
    states = network.states(weights, tf.constant(u))
    np.testing.assert_allclose(network.matrix(weights), poles, atol=1e-14)
    for b in range(BATCH):
        for k in range(STATES):
            expected = lfilter([1], [1, -poles[b, k]], u[b] @ inputs[b, k])
            np.testing.assert_allclose(states[b, :, k], expected, atol=1e-11)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_network_follows_its_recursion(activation):
    network, u = dense(activation), complex_normal(1, BATCH, 20, INPUTS)
    weights = moved(network)
    matrix, inputs, bias = (pair[0].numpy() + 1j * pair[1].numpy() for pair in weights)
    states = network.states(weights, tf.constant(u))
    np.testing.assert_array_equal(network.matrix(weights), matrix)
    for b in range(BATCH):
        state = np.zeros(STATES, complex)
        for n in range(20):
            z = state @ matrix[b] + u[b, n] @ inputs[b]
            if activation == "linear":
                state = z + bias[b]
            elif activation == "split_tanh":
                z = z + bias[b]
                state = np.tanh(z.real) + 1j * np.tanh(z.imag)
            else:
                state = np.maximum(np.abs(z) + bias[b].real, 0) * z / np.abs(z)
            np.testing.assert_allclose(states[b, n], state, atol=1e-9)


def test_random_dense_network_has_its_spectral_radius_and_unit_power():
    rng = np.random.default_rng(0)
    network = DenseRNN.random(8, INPUTS, activation="linear", radius=0.7, rng=rng)
    weights = network.initial(1, tf.float64)
    eigenvalues = np.linalg.eigvals(network.matrix(weights)[0].numpy())
    np.testing.assert_allclose(np.abs(eigenvalues).max(), 0.7)
    u = complex_normal(1, 1, 20, 40, INPUTS) / np.sqrt(2)  # runs beside each other
    states = network.states(weights, tf.constant(u))[:, :, 20:]
    np.testing.assert_allclose(np.mean(np.abs(states) ** 2), 1.0, rtol=0.2)


@pytest.mark.parametrize(
    ("kind", "layer"), [(GRU, keras.layers.GRU), (LSTM, keras.layers.LSTM)], ids=["gru", "lstm"]
)
def test_gated_networks_are_keras_layers(kind, layer):
    network, u = gated(kind), complex_normal(3, BATCH, SAMPLES, INPUTS)
    weights = moved(network)
    states = network.states(weights, tf.constant(u))
    assert not np.any(np.imag(states))
    reference = layer(STATES, return_sequences=True, dtype="float64")
    reference.build((None, SAMPLES, 2 * INPUTS))
    for b in range(BATCH):
        kernel, recurrent, bias = (part[b].numpy() for part in weights)
        if kind is GRU:  # two biases; which gates have them both does not matter but for the last
            bias = np.stack([bias[: 3 * STATES], np.zeros(3 * STATES)])
            bias[1, 2 * STATES :] = weights.bias[b, 3 * STATES :]
        reference.set_weights([kernel, recurrent, bias])
        expected = reference(np.concatenate([u.real, u.imag], axis=-1)[b : b + 1])
        np.testing.assert_allclose(np.real(states[b]), expected[0], atol=1e-12)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="parametrization.*exponential"):
        diagonal("exponential")
    with pytest.raises(ValueError, match="activation.*relu"):
        dense("relu")
