"""Training on pilots: what the trained receivers may see, and what they make of it."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy import config

from sims.link import Link
from sims.receivers import RECEIVERS, resolve
from sims.receivers.bptt import bptt
from sims.scenario import SCENARIOS, Scenario
from sims.training import PilotRows, held_out_mask
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
    return [part.numpy() for part in tf.nest.flatten(structure) if part is not None]


# --- pilots ------------------------------------------------------------------------------------


def test_rows_are_whole_symbols_of_which_pilots_alone_count():
    held_out, targets = np.array([False, True, False]), complex_normal(1, 3, 2)
    rows = PilotRows.of(np.array([17, 18, 34]), targets, held_out, 16)
    assert rows.symbols.tolist() == [1, 2]
    assert np.flatnonzero(rows.learnt).tolist() == [1, 18]
    assert np.flatnonzero(rows.held_out).tolist() == [2]
    np.testing.assert_array_equal(rows.targets[[1, 2, 18]], targets)
    assert np.count_nonzero(rows.targets) == 6


@pytest.mark.parametrize("comb", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.5])
def test_every_comb_of_pilots_is_held_out_alike(share, comb):
    mask = held_out_mask(480, share)
    counts = [mask[i::comb].sum() for i in range(comb)]
    np.testing.assert_allclose(counts, 480 * share / comb, atol=3)


# --- the receiver ------------------------------------------------------------------------------


def test_training_reduces_the_held_out_error_of_every_slot(training):
    start = training.losses[0, 1].numpy()
    np.testing.assert_allclose(start, 1.0, rtol=1e-5)  # no output yet, QPSK pilots
    assert np.all(training.held_out.numpy() < 0.1 * start)


def test_training_repeats_itself(link, slots, training):
    again = bptt(link, **OPTIONS).train(slots)
    for a, b in zip(flat(training), flat(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_seeds_differ_in_their_start(link):
    poles = [
        bptt(link, **OPTIONS, seed=seed).network.initial(1, tf.float32).poles[1].numpy()
        for seed in (0, 1)
    ]
    assert np.all(poles[0] != poles[1])


def test_slots_do_not_mix(receiver, slots, training):
    y = slots.y_time.numpy()
    y[0] = y[0][..., ::-1] * 1j  # another slot, and the others in another order
    y[1:] = y[:0:-1]
    other = receiver.train(slots._replace(y_time=tf.constant(y)))
    for a, b in zip(flat(training.parameters), flat(other.parameters), strict=True):
        np.testing.assert_array_equal(a[1:], b[:0:-1])
        assert np.any(a[0] != b[0])


def other_data_symbols(slots, reach):
    """The same slots with other samples after the last pilot symbol has left every filter."""
    y = slots.y_time.numpy()
    last = 4 * (TINY.fft_size + TINY.cp_length) + reach - TINY.l_min
    power = np.sum(np.abs(y[..., last:]) ** 2, axis=(1, 2, 3), keepdims=True)
    fake = complex_normal(8, *y[..., last:].shape)
    y[..., last:] = fake * np.sqrt(power / np.sum(np.abs(fake) ** 2, axis=(1, 2, 3), keepdims=True))
    return slots._replace(y_time=tf.constant(y))


def test_data_symbols_play_no_part(receiver, slots, training):
    """Another waveform after the last pilot symbol's reach, and none of the genie's knowledge."""
    # Symbols 1 and 3 are pilots; with a delay of 3 the output there ends before symbol 4's prefix
    garbage = other_data_symbols(slots, reach=4)._replace(
        bits=slots.bits * 0, x=slots.x * 0, y=slots.y * 0, coded_bits=slots.coded_bits * 0,
        h_time=slots.h_time * 0,
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
        slots = link.transmit(4, 2.0)
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
        learning_rate=0.02, reg=0.0, refit=False,
    )  # fmt: skip
    training = receiver.train(slots)
    assert training.held_out.dtype == tf.float64
    assert np.all(training.held_out.numpy() < 0.5 * training.losses[0, 1].numpy())
    llr = receiver(slots).numpy()
    assert llr.shape == slots.coded_bits.shape and np.all(np.isfinite(llr))


# --- networks and methods (those of the registry are tested with it) ---------------------------

KINDS = {
    "free": {"parametrization": "free", "refit": False, "num_steps": 200},
    "modrelu": {"network": "dense", "activation": "modrelu", "optimizer": "rmsprop"},
    "lstm": {"network": "lstm", "init": "ridge"},
    "fine-tuned": {"pretrained": "fine_tuned", "network": "dense"},
}
LESS = {"num_poles": 3, "num_neurons": 4, "window": 6, "delay": 3, "pretraining_steps": 4}


@pytest.fixture(scope="module", params=KINDS)
def kind(request, link):
    options = KINDS[request.param]
    return bptt(link, **{**LESS, "num_steps": 20, **options})


def test_every_kind_decides_all_bits_at_high_snr_and_sees_pilots_alone(link, slots, kind):
    llr = kind(slots).numpy()
    assert llr.shape == slots.coded_bits.shape
    assert np.array_equal(llr > 0, slots.coded_bits.numpy() > 0.5)
    # Data: the rows of the regression neither hold nor weigh them
    data, training = kind.data(slots), kind.train(slots)
    pilots = kind.regression.learnt | kind.regression.held_out
    assert pilots.sum() == len(TINY.pilot_symbols) * TINY.num_occupied
    garbage = tf.where(pilots[:, None], data.targets, 7.0)
    losses = kind.regression.losses(training.parameters, data)
    other = kind.regression.losses(training.parameters, data._replace(targets=garbage))
    for a, b in zip(losses, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_sequential_network_stops_without_the_data_symbols(link, slots):
    receiver = bptt(link, **LESS, network="gru", num_steps=20)
    training = receiver.train(slots)
    other = receiver.train(other_data_symbols(slots, reach=3))
    np.testing.assert_allclose(other.held_out, training.held_out, rtol=1e-2)


def test_refit_uses_all_pilots(receiver, slots, monkeypatch):
    """The readout that decides is fitted to learnt and held-out pilots, the recurrence frozen."""
    seen = []
    solve = receiver.regression.solve

    def spy(*args, **options):
        seen.append(args)
        return solve(*args, **options)

    monkeypatch.setattr(receiver.regression, "solve", spy)
    receiver(slots)
    ((recurrent, data, rows),) = seen
    assert rows.sum() == len(TINY.pilot_symbols) * TINY.num_occupied
    trained = receiver.train(slots).parameters.recurrent
    for a, b in zip(flat(recurrent), flat(trained), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(data.targets, receiver.data(slots).targets)


@pytest.mark.parametrize("readout", ["ridge", "ard"])
def test_a_ring_that_is_not_trained_is_the_fixed_pole_equalizer(link, slots, readout):
    options = {"num_poles": 3, "window": 6, "delay": 3, "readout": readout}
    ring = {"bank": "per_antenna", "init": "ridge", "radius": 0.8}
    still = bptt(link, **options, **ring, optimizer="none")
    ours = RECEIVERS["fixed_pole"].build(
        link, **resolve("fixed_pole", {**options, "basis": "parallel"})
    )
    # Here states have unit power on the pilots, there they would have it for white input
    np.testing.assert_allclose(still(slots), ours(slots), rtol=0.2, atol=1.0)


def test_pretraining_leaves_the_random_stream_alone(link):
    config.seed = 11
    expected = link.transmit(2, 10.0)
    config.seed = 11
    bptt(link, **LESS, pretrained="frozen")
    np.testing.assert_array_equal(link.transmit(2, 10.0).y_time, expected.y_time)


def test_pretraining_finds_a_better_recurrence(link, slots):
    options = {**LESS, "window": 1, "bank": "per_antenna", "init": "ring", "radius": 0.3}
    frozen = bptt(link, **{**options, "pretraining_steps": 40}, pretrained="frozen")
    start = bptt(link, **options, num_steps=1)

    def held_out(receiver):
        data = receiver.data(slots)
        weights = receiver.regression.start(data, ridge=True)
        return np.mean(np.log(receiver.regression.losses(weights, data)[1]))

    assert held_out(frozen) < held_out(start)


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
        ("parametrization", "exponential"), ("pretraining_steps", 0),
    ],
)  # fmt: skip
def test_options_out_of_range_are_named(link, option, value):
    pretrained = {"pretrained": "frozen"} if option == "pretraining_steps" else {}
    with pytest.raises(ValueError, match=option):
        bptt(link, **{option: value}, **pretrained)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"network": "gru", "parametrization": "free"}, "parametrization"),
        ({"network": "dense", "bank": "per_antenna"}, "bank"),
        ({"network": "lstm", "init": "ring"}, "init"),
        ({"activation": "modrelu"}, "activation"),
        ({"network": "dense", "optimizer": "varpro"}, "optimizer"),
        ({"parametrization": "free", "optimizer": "varpro"}, "optimizer"),
        ({"optimizer": "lbfgs", "learning_rate": 0.1}, "learning_rate"),
        ({"pretrained": "frozen", "learning_rate": 0.1}, "learning_rate"),
        ({"pretrained": "frozen", "num_steps": 5}, "num_steps"),
        ({"optimizer": "none", "num_steps": 5}, "num_steps"),
        ({"reg": 0.0}, "reg"),
    ],
    ids=str,
)
def test_options_that_do_not_go_together_are_refused(link, options, named):
    with pytest.raises(ValueError, match=named):
        bptt(link, **options)
