"""Weights that follow by decisions, against dense float64 references and what they must achieve."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import j0
from sionna.phy.mapping import Constellation

from rx_fixedpole import poles
from rx_fixedpole.receivers import FixedPoleEqualizer, TrackingEqualizer
from rx_fixedpole.receivers.decisions import Decisions, posterior
from rx_fixedpole.receivers.moving_weights import (
    FASTEST,
    NUM_FUNCTIONS,
    MovingWeights,
    without_own,
)
from rx_fixedpole.receivers.symbol_equations import symbol_equations, with_targets
from rx_fixedpole.receivers.time_functions import time_functions
from tests.modes import assert_close, complex_normal
from tests.test_equalizer import (
    L_MIN,
    ber_in_a_users_link,
    make_grid,
    management,
    random_taps,
    send,
)

QPSK = np.array([1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j]) / np.sqrt(2)
M, K, F, S = 6, 12, 4, 2
ROLES = np.array([0, 1, 0, 1])


def functions_of(num_symbols):
    """Functions of time ``[M, Q]`` and their powers at every speed."""
    functions, powers = time_functions(num_symbols, FASTEST, NUM_FUNCTIONS)
    return functions.T, powers


def rows_of_slots(seed, batch=2):
    """Random features, targets of weights that turn, and which rows are pilots."""
    features = complex_normal(seed, batch, M, K, F)
    turn = np.exp(0.3j * np.arange(M))[None, :, None, None]
    targets = features @ (turn * complex_normal(seed + 1, batch, 1, F, S))
    targets = targets + 0.3 * complex_normal(seed + 2, batch, M, K, S)
    pilots = np.zeros((M, K), bool)
    pilots[1], pilots[4, ::2] = True, True
    return features, targets, pilots


def dense_fit(features, targets, pilots, trust, num_updates, leave_out=None):
    """The recursion of one slot over rows in the open: weights of every symbol, noise, share."""
    phi, powers = functions_of(M)
    weight = np.where(pilots, 1.0, trust[:, None])
    if leave_out is not None:
        weight[leave_out] = np.where(pilots[leave_out], 1.0, 0.0)
    rows = np.einsum("mq,mkf->mkqf", phi, features).reshape(M * K, -1)
    root = np.sqrt(weight.reshape(-1, 1))
    rows, goal = root * rows, root * targets.reshape(M * K, S)
    share = powers[len(powers) // 2]
    load, q = 0.1 / np.repeat(share, F), len(share)
    if leave_out is None:
        for _ in range(num_updates):
            inverse = np.linalg.inv(rows.conj().T @ rows + np.diag(load))
            w = inverse @ rows.conj().T @ goal
            freedom = 1 - load * np.diag(inverse).real
            noise = np.sum(np.abs(goal - rows @ w) ** 2) / (S * (weight.sum() - freedom.sum()))
            power = (np.abs(w) ** 2).sum(axis=1).reshape(q, F)
            freedom = S * freedom.reshape(q, F)
            prior = np.zeros(F)
            for role in range(2):
                mine = role == ROLES
                scaled = (power / share[:, None])[:, mine].sum()
                prior[mine] = scaled / freedom[:, mine].sum()
            likelihood = -freedom.sum(axis=1) * np.log(powers)
            likelihood = likelihood - (power / prior).sum(axis=1) / powers
            share = powers[np.argmax(likelihood.sum(axis=1))]
            load = (noise / (share[:, None] * prior)).reshape(-1)
        dense_fit.state = load, noise, share
    load, noise, share = dense_fit.state
    inverse = np.linalg.inv(rows.conj().T @ rows + np.diag(load))
    w = (inverse @ rows.conj().T @ goal).reshape(q, F, S)
    spread = noise * inverse.reshape(q, F, q, F)
    spread = np.einsum("mq,mp,qfpg->mfg", phi, phi, spread)
    return np.einsum("mq,qfs->mfs", phi, w), spread, noise, share


def test_functions_of_time_are_orthonormal_and_powers_add_up():
    functions, powers = functions_of(14)
    np.testing.assert_allclose(functions.T @ functions, 14 * np.eye(4), atol=1e-10)
    time = np.arange(14)
    slow = j0(0.2 * (time[:, None] - time))
    best = np.linalg.norm(powers - np.diag(functions.T @ slow @ functions) / 14**2, axis=1).min()
    assert best < 0.05
    assert np.all(powers.sum(axis=1) <= 1 + 1e-3) and np.all(powers > 0)
    assert powers[0, 0] > 0.98
    assert functions_of(2)[0].shape == (2, 2)


def test_fit_equals_the_dense_recursion():
    features, targets, pilots = rows_of_slots(0)
    trust = np.array([[0.3, 1.0, 0.0, 0.9, 0.5, 0.2], [1.0, 0.1, 0.6, 0.4, 0.7, 0.0]])
    moving = MovingWeights(M, ROLES)
    known = symbol_equations(tf.constant(features), pilots, targets)
    own = symbol_equations(tf.constant(features), ~pilots, targets).weighted(tf.constant(trust))
    fit = moving.fit(known.plus(own), *moving.start(tf.constant([0.1, 0.1])), 3)
    weights, root = without_own(fit, own)
    for b in range(2):
        slot = features[b], targets[b], pilots, trust[b]
        expected, spread, noise, share = dense_fit(*slot, 3)
        assert_close(fit.weights[b], expected, 1e-9)
        assert_close(fit.root[b] @ tf.linalg.adjoint(fit.root[b]), spread, 1e-9)
        assert_close(fit.noise[b], noise, 1e-9)
        assert_close(fit.share[b], share, 1e-9)
        for m in range(M):  # really left out
            expected, spread, _, _ = dense_fit(*slot, 0, leave_out=m)
            assert_close(weights[b, m], expected[m], 1e-6)
            assert_close(root[b, m] @ tf.linalg.adjoint(root[b, m]), spread[m], 1e-6)


def test_uncertain_targets_count_as_noise():
    features, targets, pilots = rows_of_slots(3)
    f = tf.constant(features)
    own = symbol_equations(f, ~pilots, targets)
    doubtful = with_targets(own, f, ~pilots, targets, np.full(targets.shape, 0.25))
    assert_close(doubtful.moment, own.moment, 1e-12)
    assert_close(doubtful.power - own.power, 0.25 * S * (~pilots).sum(axis=1) + 0 * own.power, 1e-9)


def test_posterior_is_that_of_the_constellation():
    rng = np.random.default_rng(0)
    outputs, error = complex_normal(1, 5, 3), rng.uniform(0.05, 0.9, (5, 3))
    mean, variance = posterior(tf.constant(outputs), tf.constant(error), QPSK)
    for place in np.ndindex(5, 3):
        gain = 1 - error[place]
        like = np.exp(-(np.abs(outputs[place] - gain * QPSK) ** 2) / (gain * error[place]))
        like /= like.sum()
        expected = like @ QPSK
        assert abs(mean.numpy()[place] - expected) < 1e-12
        assert abs(variance.numpy()[place] - (1 - abs(expected) ** 2)) < 1e-12


def test_error_variance_of_outputs_with_known_errors():
    rng = np.random.default_rng(2)
    pilots = np.zeros((10, 96), bool)
    pilots[[2, 7]] = True
    for true in (0.03, 0.2):
        x = rng.choice(QPSK, (3, 2, 10, 96))
        noise = complex_normal(4, *x.shape) * np.sqrt(true * (1 - true) / 2)
        outputs = ((1 - true) * x + noise).astype(np.complex64)
        errors = (np.abs(outputs - x) ** 2)[:, :, pilots].astype(np.float32)
        part = np.full(x.shape, 0.01, np.float32)  # what is known of it beforehand
        decisions = Decisions(pilots, QPSK)
        error, mean, variance = decisions.error_variance(
            tf.constant(outputs), tf.constant(0 * part), tf.constant(part[:, :1]),
            tf.constant(errors - part[0, 0, 0, 0]),
        )  # fmt: skip
        ratio = np.mean(np.abs(outputs - x)[:, :, ~pilots] ** 2) / np.mean(error.numpy())
        assert 0.8 < ratio < 1.1
        assert np.mean(np.abs(mean - x) ** 2) < 1.2 * np.mean(variance) + 1e-3


def turning_slots(grid, seed, speed, no=0.02, batch=4):
    """Slots in which every tap turns at its own speed, up to `speed` radians an OFDM symbol."""
    taps = random_taps(np.random.default_rng(seed), 2, int(grid.num_tx), 3)
    y = 0
    for lag in range(taps.shape[-1]):
        alone = np.zeros_like(taps)
        alone[..., lag] = taps[..., lag]
        part, _, data = send(grid, alone, 1e-12, batch=batch, seed=seed, dtype=np.complex128)
        step = speed * np.cos(1.0 + 2.0 * lag) / (int(grid.fft_size) + 6)
        y = y + part * np.exp(1j * step * np.arange(part.shape[-1]))
    noise = complex_normal(seed + 9, *y.shape) * np.sqrt(no / 2)
    return (y + noise).astype(np.complex64), data


def make(grid, **options):
    options = dict(constellation=QPSK, window=4, l_min=L_MIN) | options
    return TrackingEqualizer(grid, management(grid, [[1] * int(grid.num_tx)]), **options)


def mean_error(result, data):
    return float(np.mean(np.abs(np.asarray(result[0]) - data) ** 2))


def test_decisions_help_where_channels_turn_and_do_no_harm_where_they_stand():
    grid = make_grid(symbols=12, pilot_symbols=(2, 9), kind="shared")
    y, data = turning_slots(grid, 0, 0.3)
    frozen = FixedPoleEqualizer(grid, management(grid), window=4, l_min=L_MIN)(y, 0.02)
    first, last = (make(grid, num_passes=n)(y, 0.02) for n in (0, 3))
    assert mean_error(last, data) < 0.6 * mean_error(first, data)
    assert mean_error(last, data) < 0.2 * mean_error(frozen, data)
    ratio = np.mean(np.abs(np.asarray(last[0]) - data) ** 2 / np.asarray(last[1]))
    assert 1 / 1.5 < ratio < 1.5
    y, data = turning_slots(grid, 1, 0.0)
    frozen = FixedPoleEqualizer(grid, management(grid), window=4, l_min=L_MIN)(y, 0.02)
    assert mean_error(make(grid)(y, 0.02), data) < 1.1 * mean_error(frozen, data)


def small(precision="single", **options):
    """Two users whose pilots lie unequally."""
    grid = make_grid(num_tx=2, fft=32, symbols=5, kind="unequal", precision=precision)
    options = dict(poles=poles.ring(2, 0.6), window=3, num_passes=1) | options
    return grid, make(grid, precision=precision, **options)


def test_graph_and_precisions_agree():
    grid, equalizer = small()
    y, _ = turning_slots(grid, 2, 0.2, batch=2)
    expected = equalizer(y, 0.05)
    assert all(np.all(np.isfinite(x)) for x in expected)
    compiled = tf.function(lambda y: equalizer(y, 0.05), autograph=False)
    double = small("double")[1](y.astype(np.complex128), 0.05)
    for got, exact, want in zip(compiled(tf.constant(y)), double, expected, strict=True):
        assert_close(got, want, 1e-4)
        assert_close(np.asarray(want), np.asarray(exact), 1e-3)


def test_xla_agrees():
    grid, equalizer = small(window=1)
    y, _ = turning_slots(grid, 2, 0.2, batch=2)
    compiled = tf.function(lambda y: equalizer(y, 0.05), jit_compile=True, autograph=False)
    for got, want in zip(compiled(tf.constant(y)), equalizer(y, 0.05), strict=True):
        assert_close(got, want, 1e-3)


def test_slots_are_independent_of_the_batch_and_of_its_order():
    grid = make_grid(fft=32)
    y, _ = turning_slots(grid, 3, 0.2)
    no = np.array([0.02, 0.1, 0.05, 0.2], np.float32)
    equalizer = make(grid, num_passes=1)
    together = equalizer(y, no)
    order = [2, 0, 3, 1]
    for got, want in zip(equalizer(y[order], no[order]), together, strict=True):
        assert_close(got, np.asarray(want)[order], 1e-4)
    for got, want in zip(equalizer(y[1:2], no[1:2]), together, strict=True):
        assert_close(got, np.asarray(want)[1:2], 1e-4)


def test_takes_the_demodulated_grid_and_a_sionna_constellation():
    grid = make_grid(fft=32, cp=16)
    y, spectra, data = send(grid, random_taps(np.random.default_rng(5), 2, 1, 3), 1e-3)
    qam = Constellation("qam", 2)
    equalizer = make(grid, domain="frequency", constellation=qam, num_passes=1)
    x_hat, no_eff = equalizer(spectra, 1e-3)
    assert x_hat.shape == no_eff.shape == data.shape
    assert mean_error((x_hat,), data) < 0.05
    assert np.isfinite(equalizer(0 * spectra, 1e-3)[0]).all()  # nothing received


@pytest.mark.parametrize(
    ("mode", "precision"),
    [
        ("graph", "single"),
        pytest.param("graph", "double", marks=pytest.mark.slow),
        pytest.param("xla", "single", marks=pytest.mark.slow),
        pytest.param("xla", "double", marks=pytest.mark.slow),
    ],
)
def test_works_inside_a_users_sim_ber(mode, precision):
    grid = make_grid(precision=precision)
    equalizer = make(grid, domain="frequency", precision=precision, num_passes=1)
    ber = ber_in_a_users_link(grid, equalizer, mode, precision)
    assert 0.03 < ber[0] < 0.06 and ber[1] == 0


BAD = {
    "num_passes": (dict(num_passes=-1), ValueError),
    "num_passes must be an integer": (dict(num_passes=1.5), TypeError),
    "unit mean power": (dict(constellation=2 * QPSK), ValueError),
    "constellation must be": (dict(constellation="qam"), ValueError),
    "window": (dict(window=0), ValueError),
}


@pytest.mark.parametrize("words", BAD)
def test_refuses_at_construction(words):
    options, error = BAD[words]
    with pytest.raises(error, match=words):
        make(make_grid(), **options)


def test_refuses_pilots_on_one_symbol():
    with pytest.raises(ValueError, match="two OFDM symbols"):
        make(make_grid(pilot_symbols=(1, 1)))
