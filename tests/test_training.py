"""Training on pilots: gradients, early stopping, and what the trained receiver may not see."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.signal import lfilter
from sionna.phy import config

from sims.link import Link
from sims.receivers import RECEIVERS, resolve
from sims.receivers.bptt import bptt
from sims.scenario import SCENARIOS, Scenario
from sims.training import Adam, LinearRNN, PilotLoss, held_out_mask, train
from tests.modes import complex_normal

pytestmark = pytest.mark.tensorflow_only

TINY = Scenario(
    name="tiny", fft_size=32, cp_length=6, num_ofdm_symbols=5, pilot_symbols=(1, 3),
    channel="tdl-a", delay_spread=5e-7, num_rx_ant=2, num_bits_per_symbol=2, coderate=None,
    normalize_channel=True,
)  # fmt: skip
OPTIONS = dict(num_poles=3, window=6, num_steps=120)


@pytest.fixture(scope="module")
def link():
    return Link(TINY)


@pytest.fixture(scope="module")
def receiver(link):
    return bptt(link, **OPTIONS)


@pytest.fixture(scope="module")
def slots(link):
    config.seed = 3
    return link.transmit(4, 30.0)


@pytest.fixture(scope="module")
def training(receiver, slots):
    return receiver.train(slots)


def flat(structure):
    return [part.numpy() for part in tf.nest.flatten(structure)]


# --- the network and its loss ------------------------------------------------------------------


def network(parametrization="stable", seed=5):
    poles = np.array([0.6 + 0.3j, -0.5j, -0.8 + 0.1j])
    inputs = complex_normal(seed, 3, 2)
    return LinearRNN(poles, inputs, window=1, num_streams=2, parametrization=parametrization)


def random_weights(net, batch):
    """Weights of every slot away from the initial ones, readout and taps included."""
    rng = np.random.default_rng(9)
    return tf.nest.map_structure(
        lambda x: x + 0.2 * rng.normal(size=x.shape), net.initial(batch, tf.float64)
    )


def as_complex(pair):
    return pair[0].numpy() + 1j * pair[1].numpy()


@pytest.mark.parametrize("parametrization", ["free", "stable"])
def test_bank_is_a_sum_of_one_pole_filters_of_each_slot(parametrization):
    net, u = network(parametrization), complex_normal(1, 2, 50, 2)
    weights = random_weights(net, 2)
    pair = [part.numpy() for part in weights.poles]
    poles = pair[0] + 1j * pair[1]
    if parametrization == "stable":
        poles = np.exp(-np.exp(pair[0]) + 1j * pair[1])
    inputs, readout = as_complex(weights.input_weights), as_complex(weights.readout)
    expected = np.zeros((2, 50, 2), complex)
    for b in range(2):
        for k in range(3):
            state = lfilter([1], [1, -poles[b, k]], u[b] @ inputs[b, k])
            expected[b] += state[:, None] * readout[b, k]
    np.testing.assert_allclose(net.bank_output(weights, tf.constant(u)), expected, atol=1e-11)


def test_response_is_the_transform_of_the_impulse_response():
    net = network()
    weights = random_weights(net, 2)
    omega = np.array([-2.0, 0.3, 1.1])
    impulse = np.zeros((2, 400, 2), complex)
    for a in range(2):
        impulse[:, 0] = np.eye(2)[a]
        h = net.bank_output(weights, tf.constant(impulse)).numpy()
        expected = np.einsum("bts,tn->bsn", h, np.exp(-1j * np.outer(np.arange(400), omega)))
        actual = net.bank_response(weights, omega)[:, :, a]
        np.testing.assert_allclose(actual, expected, atol=1e-10)


@pytest.mark.parametrize("parametrization", ["free", "stable"])
def test_gradient_of_the_pilot_loss_is_that_of_finite_differences(parametrization):
    net, u = network(parametrization), tf.constant(complex_normal(2, 2, 40, 2))
    elements = np.arange(20)
    loss = PilotLoss(elements, complex_normal(3, 20, 2), held_out_mask(20, 0.3), 20)
    line = tf.constant(complex_normal(4, 2, 20, 2))

    def value(weights):
        spectra = tf.signal.fft(tf.transpose(net.bank_output(weights, u)[:, 13:33], [0, 2, 1]))
        outputs = tf.transpose(spectra, [0, 2, 1]) + line @ tf.complex(*weights.taps)
        return tf.reduce_sum(loss(outputs)[0] + 0.1 * net.readout_power(weights))

    weights = random_weights(net, 2)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        total = value(weights)
    gradients = tf.nest.flatten(tape.gradient(total, weights))
    parts = tf.nest.flatten(weights)
    for i, (part, gradient) in enumerate(zip(parts, gradients, strict=True)):
        direction = np.random.default_rng(i).normal(size=part.shape)
        ends = []
        for sign in (1, -1):
            moved = [*parts[:i], part + sign * 1e-5 * direction, *parts[i + 1 :]]
            ends.append(value(tf.nest.pack_sequence_as(weights, moved)).numpy())
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6)


def test_pilot_loss_counts_pilots_alone():
    held_out = np.array([False, True, False])
    loss = PilotLoss(np.array([17, 18, 34]), complex_normal(1, 3, 2), held_out, 16)
    assert loss.symbols.tolist() == [1, 2]
    outputs = complex_normal(2, 1, 32, 2)
    learnt, held = loss(tf.constant(outputs))
    power = np.sum(np.abs(complex_normal(1, 3, 2) - outputs[0, [1, 2, 18]]) ** 2, axis=1)
    np.testing.assert_allclose([learnt[0], held[0]], [(power[0] + power[2]) / 2, power[1]])


@pytest.mark.parametrize("comb", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.5])
def test_every_comb_of_pilots_is_held_out_alike(share, comb):
    mask = held_out_mask(480, share)
    counts = [mask[i::comb].sum() for i in range(comb)]
    np.testing.assert_allclose(counts, 480 * share / comb, atol=3)


# --- the loop ----------------------------------------------------------------------------------


def test_adam_follows_its_recursion():
    x = np.random.default_rng(0).normal(size=(3, 2))
    adam = Adam(0.1, 7, beta_1=0.8, beta_2=0.9)
    actual, moments = tf.constant(x), adam.start(tf.constant(x))
    m = v = np.zeros_like(x)
    for t in range(1, 6):
        gradient = 3 * x + np.sin(x)
        actual, moments = adam.step(tf.constant(t - 1), actual, tf.constant(gradient), moments)
        m, v = 0.8 * m + 0.2 * gradient, 0.9 * v + 0.1 * gradient**2
        rate = 0.1 * np.cos(np.pi * (t - 1) / 14) ** 2
        x = x - rate * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 1e-8)
        np.testing.assert_allclose(actual, x, atol=1e-12)


def run_with(held_out, *, patience, compiled=True):
    """Train slots whose held-out error at each step is given, [steps, B]; x tells the step."""
    held_out = np.asarray(held_out, np.float32)
    num_steps, batch = held_out.shape
    # Without memory Adam moves against the gradient's sign by its rate
    rates = np.cos(np.pi * np.arange(num_steps) / 2 / num_steps) ** 2
    places = -np.cumsum([0, *rates[:-1]])

    def objective(x):
        at = tf.argmin(tf.abs(x - tf.constant(places, tf.float32)), axis=1)
        return x[:, 0], tf.gather(tf.constant(held_out.T), at, batch_dims=1)

    def run():
        adam = Adam(1.0, num_steps, beta_1=0.0, beta_2=0.0)
        return train(objective, tf.zeros([batch, 1]), optimizer=adam, patience=patience)

    result = tf.function(run, jit_compile=compiled)()
    np.testing.assert_allclose(result.parameters[:, 0], places[result.best_step], atol=1e-5)
    return result


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_each_slot_keeps_its_best_step_and_stops_after_its_patience(compiled):
    held_out = np.array([
        [5, 4, 3, 9, 9, 9, 1, 9],  # stops at step 4: never sees the 1
        [5, 4, 3, 9, 2, 9, 1, 9],  # never waits long enough to stop
        [5, 6, 7, 1, 1, 1, 1, 1],  # keeps its start
        [5, 4, np.nan, np.nan, 1, 1, 1, 1],  # not a number is not better
    ]).T  # fmt: skip
    result = run_with(held_out, patience=2, compiled=compiled)
    assert result.best_step.numpy().tolist() == [2, 6, 0, 1]
    assert result.held_out.numpy().tolist() == [3, 1, 5, 4]
    seen = np.isfinite(result.losses[:, 1].numpy()).sum(axis=0)
    assert seen.tolist() == [5, 8, 3, 2]


def test_the_loop_ends_with_its_last_slot():
    held_out = np.arange(50, dtype=float)[:, None] * np.ones(3)
    result = run_with(held_out, patience=4)
    assert np.isfinite(result.losses[:, 0].numpy()).sum(axis=0).tolist() == [5, 5, 5]


# --- the receiver ------------------------------------------------------------------------------


def test_training_reduces_the_held_out_error_of_every_slot(training):
    start = training.losses[0, 1].numpy()
    np.testing.assert_allclose(start, 1.0, rtol=1e-5)  # no output yet, QPSK pilots
    assert np.all(training.held_out.numpy() < 0.1 * start)


def test_training_repeats_itself(link, slots, training):
    again = bptt(link, **OPTIONS).train(slots)
    for a, b in zip(flat(training), flat(again), strict=True):
        np.testing.assert_array_equal(a, b)
    other = bptt(link, **OPTIONS, seed=1).train(slots)
    assert np.all(other.parameters.poles[1].numpy() != training.parameters.poles[1].numpy())


def test_slots_do_not_mix(receiver, slots, training):
    y = slots.y_time.numpy()
    y[0] = y[0][..., ::-1] * 1j  # another slot, and the others in another order
    y[1:] = y[:0:-1]
    other = receiver.train(slots._replace(y_time=tf.constant(y)))
    for a, b in zip(flat(training.parameters), flat(other.parameters), strict=True):
        np.testing.assert_array_equal(a[1:], b[:0:-1])
        assert np.any(a[0] != b[0])


def test_data_symbols_play_no_part(receiver, slots, training):
    """Another waveform after the last pilot symbol's reach, and none of the genie's knowledge."""
    y = slots.y_time.numpy()
    # Symbols 1 and 3 are pilots; with a delay of 4 the output there ends before symbol 4's prefix
    last = 4 * (TINY.fft_size + TINY.cp_length) + 4 - TINY.l_min
    power = np.sum(np.abs(y[..., last:]) ** 2, axis=(1, 2, 3), keepdims=True)
    fake = complex_normal(8, *y[..., last:].shape)
    fake *= np.sqrt(power / np.sum(np.abs(fake) ** 2, axis=(1, 2, 3), keepdims=True))
    y[..., last:] = fake
    garbage = slots._replace(
        y_time=tf.constant(y), bits=slots.bits * 0, x=slots.x * 0, y=slots.y * 0,
        coded_bits=slots.coded_bits * 0, h_time=slots.h_time * 0,
    )  # fmt: skip
    other = receiver.train(garbage)
    np.testing.assert_allclose(other.held_out, training.held_out, rtol=1e-2)
    np.testing.assert_array_equal(other.best_step, training.best_step)


@pytest.fixture(scope="module")
def receive(receiver):
    return tf.function(receiver)


def test_no_errors_at_high_snr_and_no_retrace(link, slots, receive):
    llr = receive(slots)
    assert llr.shape == slots.coded_bits.shape
    assert np.array_equal(llr.numpy() > 0, slots.coded_bits.numpy() > 0.5)
    config.seed = 4
    receive(link.transmit(4, 5.0))
    assert receive.experimental_get_tracing_count() == 1


def test_llrs_tell_their_error_rate(link, receive):
    """At low SNR the claimed error probability is the measured one within a factor of 1.5."""
    wrong, claimed = [], []
    for seed in range(25):
        config.seed = seed
        slots = link.transmit(4, 4.0)
        llr = receive(slots).numpy()
        wrong.append(np.mean((llr > 0) != (slots.coded_bits.numpy() > 0.5)))
        claimed.append(np.mean(1 / (1 + np.exp(np.abs(llr)))))
    assert np.mean(wrong) > 0.01
    assert 1 / 1.5 < np.mean(wrong) / np.mean(claimed) < 1.5


def test_poles_alone_in_double_precision():
    """Free poles from a ring, no delay line, pilots on the last symbol and two users."""
    scenario = TINY.replace(num_users=2, pilot_symbols=(1, 4), channel="rayleigh", delay_spread=0)
    link = Link(scenario, precision="double")
    config.seed = 5
    slots = link.transmit(3, 40.0)
    receiver = bptt(
        link, num_poles=6, window=0, delay=0, init="ring", radius=0.6, parametrization="free",
        learning_rate=0.02, reg=0.0,
    )  # fmt: skip
    training = receiver.train(slots)
    assert training.held_out.dtype == tf.float64
    assert np.all(training.held_out.numpy() < 0.5 * training.losses[0, 1].numpy())
    llr = receiver(slots).numpy()
    assert llr.shape == slots.coded_bits.shape and np.all(np.isfinite(llr))


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_finite_llrs(name):
    link = Link(SCENARIOS[name])
    slots = link.transmit(2, 10.0)
    receive = RECEIVERS["bptt"].build(link, **resolve("bptt", {"num_steps": 10}))
    llr = receive(slots).numpy()
    assert llr.shape == slots.coded_bits.shape and np.all(np.isfinite(llr))
    assert np.mean((llr > 0) != (slots.coded_bits.numpy() > 0.5)) < 0.45


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("num_poles", 0), ("radius", 1.0), ("window", -1), ("delay", -1), ("learning_rate", 0.0),
        ("num_steps", 0), ("patience", 0), ("held_out", 1.0), ("held_out", 0.0), ("reg", -1.0),
        ("parametrization", "exponential"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_named(link, option, value):
    with pytest.raises(ValueError, match=option):
        bptt(link, **{option: value})
