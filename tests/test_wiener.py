"""The Wiener equalizer against a dense oracle and the properties of a per-slot receiver."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy.ofdm import LSChannelEstimator

from rx_fixedpole.receivers import WienerEqualizer
from rx_fixedpole.receivers.mmse import MMSEDesign, tap_weights, waveform_spectrum
from rx_fixedpole.receivers.residual import PilotResidual
from sims.receivers.delay_limited import least_squares, time_basis
from sims.receivers.grid import pilot_grid
from tests.test_equalizer import (
    GRIDS,
    L_MIN,
    make_grid,
    management,
    random_taps,
    send,
    wrong_signs,
)


def delay_limited(grid, *, last=7, first=-2, linear=False):
    """Least squares over a few lags, called as Sionna's estimators are."""
    pilots = pilot_grid(grid)
    basis = time_basis(pilots, linear)
    parts = least_squares(pilots, np.arange(first, last + 1), basis)
    elements = pilots.symbols * pilots.fft_size + pilots.subcarriers[pilots.columns]
    streams = (int(grid.num_tx), int(grid.num_streams_per_tx))

    def estimate(y, no):
        flat = tf.reshape(y, [-1, y.shape[1], y.shape[2], y.shape[3] * y.shape[4]])
        samples = tf.gather(flat, elements, axis=-1)
        weights = tf.constant(np.einsum("mq,sqkp->smkp", basis, parts.weights), y.dtype)
        h_hat = tf.einsum("brap,smkp->brasmk", samples, weights)
        shape = [-1, y.shape[1], y.shape[2], *streams, *h_hat.shape[4:]]
        gain = tf.constant(parts.noise_gain, no.dtype)
        gain = tf.reshape(gain, [*streams, *gain.shape[1:]])
        return tf.reshape(h_hat, shape), no[..., None, None, None, None] * gain

    return estimate


def equalizer_of(grid, association=((1,),), **options):
    options = dict(estimator=delay_limited(grid), l_min=L_MIN) | options
    return WienerEqualizer(grid, management(grid, association), **options)


def test_filters_are_those_of_the_dense_covariance():
    """Toeplitz matrices of taps and of the waveform, multiplied out."""
    grid = make_grid(streams=2, num_guard_carriers=(5, 4), dc_null=True)
    rng = np.random.default_rng(0)
    size, prefix, window, delay, first = 64, 6, 7, 4, -3
    design = MMSEDesign(grid, window, delay, first, (0, -3))
    taps = np.zeros((1, 2, 2, design.num_lags), complex)
    taps[..., :5] = rng.normal(size=(1, 2, 2, 5)) + 1j * rng.normal(size=(1, 2, 2, 5))
    filters = np.asarray(design.filters(tf.constant(taps), np.array([0.3])))[0]
    occupied = np.asarray(grid.effective_subcarrier_ind) - size // 2
    times = delay - np.arange(window)[:, None] - first - np.arange(5)  # of x in y[n + delay - w]
    instants = np.arange(times.min(), times.max() + 1)
    steps = instants[:, None] - instants
    waveform = np.exp(2j * np.pi * steps[..., None] * occupied / size).sum(axis=-1) / size
    waveform *= np.maximum(0, 1 - np.abs(steps) / (size + prefix))
    channel = np.zeros((2, 2, window, len(instants)), complex)
    for w in range(window):
        channel[:, :, w, times[w] - instants[0]] = taps[0, :, :, :5]
    channel = channel.transpose(1, 0, 2, 3).reshape(2, 2 * window, -1)
    covariance = sum(h @ waveform @ h.conj().T for h in channel) + 0.3 * np.eye(2 * window)
    for s in range(2):
        wanted = channel[s] @ waveform[:, np.flatnonzero(instants == 0)[0]]
        expected = np.linalg.solve(covariance, wanted).conj()
        np.testing.assert_allclose(filters[:, s], expected, atol=1e-10)


def test_the_filters_response_is_what_a_tone_meets():
    """Within a long prefix the gain is the channel's response times the filter's."""
    grid = make_grid(cp=30)
    rng = np.random.default_rng(1)
    design = MMSEDesign(grid, 6, 3, -2, (0, -15))
    taps = np.zeros((1, 2, 1, design.num_lags), complex)
    taps[..., :4] = rng.normal(size=(1, 2, 1, 4)) + 1j * rng.normal(size=(1, 2, 1, 4))
    filters = rng.normal(size=(1, 12, 1)) + 1j * rng.normal(size=(1, 12, 1))
    omega = 2 * np.pi * (np.arange(64) - 32) / 64
    channel = taps[0, :, 0, :4] @ np.exp(-1j * np.outer(np.arange(4) - 2, omega))
    equalizer = filters.reshape(2, 6) @ np.exp(-1j * np.outer(np.arange(6) - 3, omega))
    gain, leak = design.response(tf.constant(filters), tf.constant(taps))
    np.testing.assert_allclose(gain[0, 0], np.sum(channel * equalizer, axis=0), atol=1e-10)
    np.testing.assert_allclose(leak, 0, atol=1e-10)


def test_taps_explain_the_response_on_the_occupied_subcarriers():
    occupied = np.delete(np.arange(-29, 30), 29)
    lags = np.arange(-4, 28)
    taps = np.exp(-np.arange(8) / 3) * (1 - 0.5j)
    h = np.exp(-2j * np.pi * np.outer(occupied, np.arange(8)) / 64) @ taps
    found = h @ tap_weights(occupied, lags, 64)
    np.testing.assert_allclose(found[4:12], taps, rtol=0, atol=0.01 * np.abs(taps).max())


def test_the_spectrum_of_a_full_grid_repeats_with_its_prefix():
    spectrum = waveform_spectrum(np.arange(-8, 8), 16, 4, 64)
    correlation = np.fft.ifft(spectrum)
    np.testing.assert_allclose(correlation[[0, 1, 15, 16]], [1, 0, 0, 0.2], atol=1e-12)


@pytest.mark.usefixtures("eagerly")
def test_noise_is_measured_on_the_pilots_fitted_or_not():
    grid = make_grid(streams=2)
    estimate, residual = delay_limited(grid), PilotResidual(grid)
    taps = random_taps(np.random.default_rng(3), 2, 2, 3)
    _, spectra, _ = send(grid, taps, 0.4, batch=200)
    h, err_var = estimate(tf.constant(spectra), tf.fill([200, 1, 2], 0.4))
    h = tf.reshape(h, [200, 2, 2, 5, 64])
    err_var = tf.reshape(err_var, [200, 2, 2, 5, 64])
    seen = residual.variance(tf.reshape(spectra, [200, 2, -1]), h, err_var)
    assert seen.shape == (200, 2)
    assert abs(np.mean(seen) / 0.4 - 1) < 0.03


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("num_filters", [None, 1])
def test_noiseless_slots_have_no_errors(name, num_filters):
    grid = make_grid(**GRIDS[name])
    num_streams = int(grid.num_tx) * int(grid.num_streams_per_tx)
    taps = random_taps(np.random.default_rng(3), num_streams + 1, num_streams, 4)
    y, _, data = send(grid, taps, 1e-6)
    estimator = delay_limited(grid, first=0, last=3)
    equalizer = equalizer_of(
        grid, [[1] * int(grid.num_tx)], num_filters=num_filters, estimator=estimator
    )
    x_hat, no_eff = equalizer(y, 1e-6)
    assert x_hat.shape == data.shape == no_eff.shape
    assert wrong_signs(x_hat, data) == 0


@pytest.mark.usefixtures("eagerly")
def test_a_short_prefix_is_no_obstacle_to_known_taps():
    """The error falls with the noise, far below the floor of a one-tap equalizer."""
    grid = make_grid(cp=0)
    taps = random_taps(np.random.default_rng(4), 2, 1, 6)
    response = np.exp(-2j * np.pi * np.outer(np.arange(64) - 32, np.arange(6)) / 64)
    # What an estimator sees: a window that has lost a share of every late tap
    seen = (taps[:, 0] * (1 - np.arange(6) / 64)) @ response.T

    def estimate(y, no):
        h = tf.constant(seen[None, None, :, None, None, None], y.dtype)
        h += tf.zeros([tf.shape(y)[0], 1, 2, 1, 1, y.shape[3], 64], y.dtype)
        return h, tf.zeros([1, 1, 1, 1, 1, 1, 1], no.dtype)

    errors = []
    for no in (1e-2, 1e-4, 1e-6):
        y, _, data = send(grid, taps, no, dtype=np.complex128)
        equalizer = equalizer_of(grid, estimator=estimate, precision="double")
        errors.append(np.mean(np.abs(equalizer(y, no)[0] - data) ** 2))
    assert errors[1] < 0.03 * errors[0] and errors[2] < 0.05 * errors[1]


# Guards are constants to a graph, so that one precision with and one without them is enough
@pytest.mark.parametrize(("guards", "precision"), [((5, 4), "single"), ((0, 0), "double")])
def test_eager_graph_and_xla_agree(guards, precision):
    dtype = np.complex64 if precision == "single" else np.complex128
    grid = make_grid(streams=2, num_guard_carriers=guards, dc_null=guards != (0, 0))
    y, _, _ = send(grid, random_taps(np.random.default_rng(6), 2, 2, 3), 0.01, dtype=dtype)
    equalizer = equalizer_of(grid, window=12, precision=precision)
    no = tf.constant(0.01, tf.float64 if precision == "double" else tf.float32)
    eager = equalizer(y, no)
    assert eager[0].dtype == dtype
    # The solve amplifies rounding by the condition number of the covariance, below 1e3 here.
    tolerance = 1e3 * np.finfo(dtype).eps
    for jit_compile in (False, True):
        compiled = tf.function(equalizer, jit_compile=jit_compile)(tf.constant(y), no)
        for got, expected in zip(compiled, eager, strict=True):
            np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("eagerly")
def test_slots_are_independent_and_follow_a_permutation_of_the_batch():
    grid = make_grid(streams=2)
    y, _, _ = send(grid, random_taps(np.random.default_rng(8), 2, 2, 3), 0.1, batch=4)
    equalizer = equalizer_of(grid)
    order = [2, 0, 3, 1]
    no = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    whole, permuted = equalizer(y, no), equalizer(y[order], no[order])
    alone = equalizer(y[2:3], no[2:3])
    for w, p, a in zip(whole, permuted, alone, strict=True):
        np.testing.assert_allclose(np.asarray(w)[order], p, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(w[2:3], a, rtol=2e-4, atol=2e-4)


@pytest.mark.usefixtures("eagerly")
def test_scaling_the_input_with_its_noise_changes_nothing():
    grid = make_grid(streams=2)
    y, _, _ = send(grid, random_taps(np.random.default_rng(9), 2, 2, 3), 0.1, dtype=np.complex128)
    equalizer = equalizer_of(grid, precision="double")
    for got, expected in zip(equalizer(100 * y, 0.1 * 1e4), equalizer(y, 0.1), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.usefixtures("eagerly")
def test_two_receivers_detect_their_own_transmitters():
    grid = make_grid(num_tx=2)
    taps = random_taps(np.random.default_rng(10), 6, 2, 3)
    y, _, data = send(grid, taps, 1e-4)
    y = y.reshape(2, 2, 3, -1)
    x_hat, no_eff = equalizer_of(grid, [[0, 1], [1, 0]])(y, 1e-4)
    assert wrong_signs(x_hat, data) == 0
    single = equalizer_of(grid, [[1, 1]])
    for tx, rx in ((0, 1), (1, 0)):
        alone, _ = single(y[:, rx : rx + 1], 1e-4)
        np.testing.assert_allclose(x_hat[:, tx], alone[:, tx], rtol=1e-3, atol=1e-3)
    assert no_eff.shape == (2, 2, 1, int(grid.num_data_symbols))


@pytest.mark.usefixtures("eagerly")
def test_filters_along_the_slot_follow_a_drift():
    grid = make_grid(symbols=8, pilot_symbols=(1, 6), cp=8)
    y, _, data = send(grid, random_taps(np.random.default_rng(11), 2, 1, 2), 1e-4)
    drift = np.exp(1.2j * np.linspace(-1, 1, y.shape[-1])).astype(np.complex64)
    estimator, errors = delay_limited(grid, linear=True), {}
    for number in (1, None):
        x_hat, _ = equalizer_of(grid, estimator=estimator, num_filters=number)(y * drift, 1e-4)
        errors[number] = np.mean(np.abs(x_hat - data) ** 2)
    assert errors[None] < 0.25 * errors[1]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("no", [0.02, 0.2])
@pytest.mark.parametrize("cp", [0, 6])
def test_stated_error_variance_is_the_measured_one(no, cp):
    grid = make_grid(streams=2, fft=128, symbols=8, pilot_symbols=(1, 5), cp=cp)
    measured = []
    equalizer = equalizer_of(grid)
    for seed in range(20):
        taps = random_taps(np.random.default_rng(100 + seed), 3, 2, 3)
        y, _, data = send(grid, taps, no, batch=1, seed=seed)
        x_hat, no_eff = equalizer(y, no)
        measured.append(np.mean(np.abs(x_hat - data) ** 2 / no_eff))
    assert 0.8 < np.mean(measured) < 1.25


def test_a_graph_may_leave_the_batch_open():
    grid = make_grid()
    y, _, _ = send(grid, random_taps(np.random.default_rng(0), 2, 1, 3), 0.01)
    equalizer = equalizer_of(grid, estimator=LSChannelEstimator(grid))

    @tf.function(input_signature=[tf.TensorSpec([None, *y.shape[1:]], tf.complex64)])
    def run(y):
        return equalizer(y, 0.01)

    for ours, theirs in zip(run(y), equalizer(y, 0.01), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)


BAD = {
    "resource_grid": (dict(resource_grid=3), TypeError),
    "stream_management": (dict(stream_management=3), TypeError),
    "estimator must": (dict(estimator="ls"), TypeError),
    "window": (dict(window=0), ValueError),
    "window must be at most": (dict(window=65), ValueError),
    "delay": (dict(delay=1.5), TypeError),
    "l_min": (dict(l_min=2), ValueError),
    "num_filters": (dict(num_filters=0), ValueError),
    "precision": (dict(precision="half"), ValueError),
    "dealy": (dict(dealy=7), TypeError),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name):
    grid = make_grid(pilot_symbols=(1,))
    options, error = BAD[name]
    arguments = dict(
        resource_grid=grid, stream_management=management(grid), estimator=delay_limited(grid)
    )
    with pytest.raises(error, match=name):
        WienerEqualizer(**arguments | options)


def test_bad_inputs_are_named():
    grid = make_grid()
    equalizer = equalizer_of(grid)
    with pytest.raises(ValueError, match="y must have shape"):
        equalizer(np.zeros((2, 1, 1, 5, 64), np.complex64), 0.1)
    with pytest.raises(TypeError, match="y must be complex"):
        equalizer(np.zeros((2, 1, 1, 400), np.float32), 0.1)
    with pytest.raises(ValueError, match="receivers"):
        equalizer(np.zeros((2, 3, 1, 400), np.complex64), 0.1)
    with pytest.raises(ValueError, match="no must"):
        equalizer(np.zeros((2, 1, 1, 400), np.complex64), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="y must have at least the 350 samples"):
        equalizer(np.zeros((2, 1, 1, 349), np.complex64), 0.1)
