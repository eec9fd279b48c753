"""The urban-microcell uplink: its drops, its fair baseline, and estimators against the truth."""

from __future__ import annotations

import functools
import hashlib
import importlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy import config
from sionna.phy.channel import cir_to_time_channel

from sims.experiments import estimation
from sims.link import Link
from sims.link.channel import TimeChannel
from sims.link.coding import Codec
from sims.link.convolution import moving_convolution
from sims.link.umi import Drops, normalized_taps
from sims.receivers import RECEIVERS
from sims.receivers.covariance import (
    Covariance,
    SpatialCovariance,
    spatial_covariance,
    true_covariance,
)
from sims.receivers.grid import pilot_grid
from sims.receivers.spatial_lmmse import comb_of, index_of, spatial_lmmse_estimator
from sims.scenario import SCENARIOS, Scenario

# the package has a function of that name
joint_lmmse = importlib.import_module("sims.receivers.joint_lmmse")

# Tracing the generator of drops takes longer than the few that a test asks for
pytestmark = pytest.mark.usefixtures("eagerly")

UPLINK = SCENARIOS["umi_uplink"]
SMALL = UPLINK.replace(
    name="small",
    fft_size=48,
    cp_length=30,
    l_max=12,
    num_users=2,
    num_rx_ant=4,
    speed=108.0,
    coderate=None,
)
STATIC = SMALL.replace(speed=0)
DROPS = 256


@functools.cache
def link_of(scenario: Scenario, precision: str = "single") -> Link:
    return Link(scenario, precision=precision)


# --- scenario --------------------------------------------------------------------------------


def test_the_presets_are_those_of_the_benchmark():
    fast = SCENARIOS["umi_uplink_fast"]
    for s, speed in ((UPLINK, 3.0), (fast, 30.0)):
        assert (s.channel, s.num_users, s.num_tx_ant, s.num_rx_ant) == ("umi", 4, 1, 16)
        assert (s.fft_size, s.cp_length, s.lags, s.num_occupied) == (624, 44, (-6, 148), 624)
        assert (s.num_bits_per_symbol, s.coderate, s.pilot_symbols) == (2, 0.5, (2, 11))
        assert s.speed / 3.6 == pytest.approx(speed)
        assert "UMI, " in s.summary
    assert UPLINK.replace(name=fast.name, speed=108) == fast


def test_older_scenarios_are_what_they_were():
    older = [s for s in SCENARIOS.values() if type(s) is Scenario and s.channel != "umi"]
    old = [s.to_dict() for s in older]
    digest = hashlib.sha256(json.dumps(old, sort_keys=True).encode()).hexdigest()
    assert digest == "bce9d1594c8ad308e68786ca97afb0cc00d6293b0ce3f839096082bf3c374226"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"l_max": None}, "l_max must be a lag for channel 'umi'"),
        ({"normalize_channel": False}, "normalize_channel must be True for channel 'umi'"),
        ({"delay_spread": 1e-7}, "delay_spread must be 0 for channel 'umi'"),
    ],
)
def test_what_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        UPLINK.replace(**fields)
    assert RECEIVERS["genie_wiener"].requires(UPLINK, {"window": None})


def test_a_long_codeword_is_two_halves():
    assert (UPLINK.num_codewords, UPLINK.replace(coderate=None).num_codewords) == (1, 1)
    s = UPLINK.replace(num_bits_per_symbol=4, num_users=1)
    assert (s.num_codewords, s.num_info_bits, s.num_coded_bits) == (2, 14976, 29952)
    codec = Codec(s, "single")
    bits = tf.constant(np.random.default_rng(0).integers(0, 2, [2, 1, 1, s.num_info_bits]))
    bits = tf.cast(bits, tf.float32)
    coded = codec.encode(bits)
    assert coded.shape == (2, 1, 1, s.num_coded_bits)
    llr = (2 * coded - 1) * 4
    np.testing.assert_array_equal(codec.decode(llr), bits)
    # the second half knows nothing of the first
    half = s.num_coded_bits // 2
    spoilt = tf.concat([0 * llr[..., :half], llr[..., half:]], -1)
    half = s.num_info_bits // 2
    np.testing.assert_array_equal(codec.decode(spoilt)[..., half:], bits[..., half:])


# --- channel ---------------------------------------------------------------------------------


@pytest.mark.parametrize("num_knots", [1, 4])
def test_fft_convolution_is_the_sum(num_knots):
    rng = np.random.default_rng(num_knots)
    step, length, num_taps = 7, 19 if num_knots > 1 else 7, 4

    def draw(*shape):
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)

    x, taps = draw(2, 3, length - num_taps + 1), draw(2, 5, 3, num_knots, num_taps)
    y = moving_convolution(tf.constant(x), tf.constant(taps), step=step, length=length)
    expected = np.zeros([2, 5, length], complex)
    for t in range(length):
        knot, share = divmod(t, step)
        h = taps[..., knot, :]
        if num_knots > 1:
            h = h + share / step * (taps[..., knot + 1, :] - h)
        for lag in range(num_taps):
            if 0 <= t - lag < x.shape[-1]:
                expected[..., t] += np.einsum("bas,bs->ba", h[..., lag], x[..., t - lag])
    np.testing.assert_allclose(y, expected, atol=1e-12)


def test_taps_are_sionnas_normalised():
    config.seed = 3
    drops = Drops(SMALL, num_users=2, num_tx_ant=2, precision="double")
    gains, delays = drops(3, 2, 1e4)
    arguments = SMALL.sample_rate, gains, delays, *SMALL.lags
    taps = normalized_taps(*arguments)
    np.testing.assert_allclose(taps, cir_to_time_channel(*arguments, normalize=True), atol=1e-10)
    energy = np.sum(np.abs(taps) ** 2, axis=-1).mean(axis=(1, 2, 4, 5))
    np.testing.assert_allclose(energy, 1, atol=1e-10)


def test_received_samples_are_the_filtered_waveform():
    channel = TimeChannel(SMALL, num_users=2, num_tx_ant=1, precision="double")
    config.seed = 1
    taps = channel.taps(2)
    assert channel.num_knots > 2
    h = channel.at_samples(taps).numpy()
    num_samples = h.shape[-2]
    rng = np.random.default_rng(0)
    x = rng.standard_normal([2, 2, 1, num_samples - h.shape[-1] + 1]) + 0j
    y = channel.apply(tf.constant(x), taps)
    expected = np.zeros([2, 1, 4, num_samples], complex)
    for lag in range(h.shape[-1]):
        late = np.pad(x, [(0, 0)] * 3 + [(lag, h.shape[-1] - 1 - lag)])
        expected += np.einsum("brausT,busT->braT", h[..., lag], late)
    np.testing.assert_allclose(y, expected, atol=1e-10)


@pytest.mark.parametrize("scenario", [STATIC, SMALL], ids=["static", "moving"])
def test_the_grid_is_response_times_symbols(scenario):
    link = link_of(scenario)
    config.seed = 5
    slots = link.transmit(4, 100.0)
    steps = 1 if scenario is STATIC else 14
    assert slots.h_time.shape == (4, 1, 4, 2, 1, steps, 19)
    h = link.frequency_response(slots.h_time)
    clean = tf.reduce_sum(h * slots.x[:, None, None], axis=(3, 4))
    # the tails of the sinc leave the prefix, and a moving channel leaks between carriers
    error = np.mean(np.abs(slots.y - clean) ** 2, axis=(1, 2, 3, 4))
    assert np.median(error) < 2e-2 and np.median(error) < 0.02 * np.mean(np.abs(clean) ** 2)
    truth = link.channel_draws(4, 1)
    assert truth.shape == slots.h_time.shape


def test_every_slot_is_a_drop_of_its_own():
    h = link_of(SMALL).channel_draws(64, 2).numpy()[:, 0, :, :, 0]
    profile = np.mean(np.abs(h) ** 2, axis=(1, 3))  # [B, U, L]
    np.testing.assert_allclose(np.mean(profile.sum(-1)), 1, rtol=0.02)
    assert np.std(profile[..., 6], axis=0).min() > 0.01
    assert np.corrcoef(profile[:, 0, 6], profile[:, 1, 6])[0, 1] < 0.5
    np.testing.assert_array_equal(h, link_of(SMALL).channel_draws(64, 2).numpy()[:, 0, :, :, 0])


# --- baseline --------------------------------------------------------------------------------


def test_the_covariance_is_normalised_and_separates():
    link = link_of(SMALL)
    c = spatial_covariance(link, DROPS)
    for matrix in c:
        assert np.linalg.eigvalsh(matrix).min() > -1e-6 * np.trace(matrix).real
    assert (c.space.shape, c.time.shape, c.frequency.shape) == ((4, 4), (14, 14), (48, 48))
    np.testing.assert_allclose([np.trace(c.space), np.trace(c.time)], [4, 14])
    np.testing.assert_allclose(np.mean(np.diag(c.frequency).real), 1, rtol=0.02)
    np.testing.assert_array_equal(true_covariance(link, DROPS).frequency, c.frequency)
    static = spatial_covariance(link_of(STATIC), DROPS)
    np.testing.assert_allclose(static.time, np.ones([14, 14]))


def test_the_covariance_is_that_of_the_responses():
    link = link_of(SMALL)
    c = spatial_covariance.__wrapped__(link, 64)
    h = link.frequency_response(link.channel_draws(64, 20_260_221)).numpy()[:, 0, :, :, 0]
    expected = np.einsum("baumk,baumK->kK", h, h.conj(), optimize=True) / h[..., 0].size
    np.testing.assert_allclose(c.frequency, expected, atol=1e-4)
    expected = np.einsum("baumk,bAumk->aA", h, h.conj(), optimize=True)
    np.testing.assert_allclose(c.space, expected * 4 / np.trace(expected).real, atol=1e-4)


def test_the_estimate_is_that_of_the_full_matrix():
    link, rng = Link(SMALL, precision="double"), np.random.default_rng(0)

    def draw(*shape):
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)

    factors = [m @ m.conj().T for m in (draw(48, 9) / 9, draw(14, 2) / 2, draw(4, 4) / 4)]
    c, pilots = SpatialCovariance(*factors), pilot_grid(link.resource_grid)
    slots = SimpleNamespace(y=tf.constant(draw(2, 1, 4, 14, 48)), no=tf.constant(0.3, tf.float64))
    h_hat, err_var = spatial_lmmse_estimator(link, pilots, c)(slots)
    full = np.kron(np.kron(c.space, c.time), c.frequency)
    index = index_of(pilots)
    for user in range(2):
        *_, mine = comb_of(pilots, user)
        mine = mine.reshape(-1)
        at = (np.arange(4)[:, None] * 14 * 48 + index[mine]).reshape(-1)
        z = slots.y.numpy()[:, 0].reshape(2, 4, -1)[..., index[mine]] / pilots.values[user, mine]
        noise = 0.3 / np.abs(pilots.values[user, mine[0]]) ** 2
        observed = full[np.ix_(at, at)] + noise * np.eye(len(at))
        weights = full[:, at] @ np.linalg.inv(observed)
        expected = (z.reshape(2, -1) @ weights.T).reshape(2, 4, 14, 48)
        np.testing.assert_allclose(h_hat.numpy()[:, 0, :, user, 0], expected, atol=1e-9)
        variance = np.diag(full).real - np.sum(weights * full[at].T, axis=1).real
        np.testing.assert_allclose(err_var.numpy()[:, user, 0].reshape(-1), variance, atol=1e-9)


def test_pilots_must_be_combs(monkeypatch):
    link = Link(SMALL.replace(pilot_pattern="full"))
    with pytest.raises(ValueError, match="stream 1 must have them for itself"):
        comb_of(pilot_grid(link.resource_grid), 1)
    flat = Covariance(np.eye(48) + 0j, np.ones([14, 14]) + 0j)
    monkeypatch.setattr(joint_lmmse, "true_covariance", lambda *_: flat)
    slots = SimpleNamespace(y=tf.ones([2, 1, 4, 14, 48], tf.complex64), no=tf.constant(1.0))
    h_hat, err_var = joint_lmmse.joint_lmmse_estimator(link, num_drops=1)(slots)  # without space
    assert (h_hat.shape, err_var.shape) == ((2, 1, 4, 2, 1, 14, 48), (2, 1, 14, 48))


# --- estimators against the truth ------------------------------------------------------------


def test_estimators_rank_as_they_know():
    link = link_of(STATIC)
    joint = joint_lmmse.joint_lmmse_estimator(link, num_drops=DROPS)
    estimators = {
        **{name: estimation.ESTIMATORS[name](link) for name in ("LS, linear", "LS, all lags")},
        "joint": estimation._of_slots(joint),
    }
    found = estimation.drop_errors(
        link, estimators, ebno_db=5.0, num_drops=64, drops_at_once=4, seed=1
    )
    means = {name: errors.mean() for name, errors in found.items()}
    assert found["joint"].shape == (64, 2)
    assert means["joint"] < 0.5 * min(means["LS, linear"], means["LS, all lags"])
    promised = joint(link.transmit(4, 5.0))[1].numpy().mean()
    assert means["joint"] == pytest.approx(promised, rel=0.25)
    again = estimation.drop_errors(
        link, {"joint": estimators["joint"]}, ebno_db=5.0, num_drops=16, drops_at_once=4, seed=1
    )
    np.testing.assert_allclose(again["joint"], found["joint"][:16], rtol=1e-5)


def test_intervals_and_table():
    errors = np.random.default_rng(0).exponential(0.01, [200, 4])
    value, low, high = estimation.nmse_db(errors)
    assert low < value < high and abs(value + 20) < 0.5 and high - low < 1
    assert estimation.nmse_db(errors) == (value, low, high)
    row = {"scenario": "umi_uplink", "estimator": "mine", "ebno_db": 0.0, "nmse_db": (-1, -2, 0)}
    text = estimation.table([row, {**row, "ebno_db": 10.0, "nmse_db": (-3, -4, -2)}])
    assert text.splitlines()[1].split("  ")[-1] == "-3.00 (-4.00 .. -2.00)"
    assert "10 dB" in text.splitlines()[0]
    with pytest.raises(ValueError, match="num_drops must be a positive multiple of 16, got 3"):
        estimation.drop_errors(link_of(SMALL), {}, ebno_db=0.0, num_drops=3)


def test_every_estimator_runs(monkeypatch):
    fewer = functools.partial(joint_lmmse.joint_lmmse_estimator, num_drops=DROPS)
    monkeypatch.setattr(estimation, "joint_lmmse_estimator", fewer)
    rows = estimation.measure(link_of(STATIC), ebno_db=[10.0], num_drops=8, drops_at_once=4)
    assert [row["estimator"] for row in rows] == list(estimation.ESTIMATORS)
    assert all(len(row["drops"]) == 8 and row["nmse_db"][0] < 0 for row in rows)
    json.dumps(rows)
