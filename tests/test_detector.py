"""The fixed-pole detector against float64 oracles, Sionna's LMMSE and a PUSCH receiver."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy.mapping import Constellation
from sionna.phy.nr import PUSCHConfig, PUSCHReceiver, PUSCHTransmitter
from sionna.phy.ofdm import LinearDetector, LSChannelEstimator

from rx_fixedpole.receivers import FixedPoleDetector
from rx_fixedpole.receivers.delay_model import RATIOS, DelayModel, delay_window, known_elements
from rx_fixedpole.receivers.interference import REACH, beyond_chance, window_sum
from rx_fixedpole.receivers.small_matrices import forward, inverse, linear_mmse
from tests.modes import complex_normal, without_graphs
from tests.test_calibration import bins
from tests.test_equalizer import make_grid, management, random_taps, send

QPSK = dict(constellation_type="qam", num_bits_per_symbol=2)


def frequency_response(grid, taps, l_min=-2):
    """The channel of `send` on the occupied subcarriers, as a perfect estimate of one slot."""
    del l_min  # the windows of `send` start where the channel's first tap does
    fft, tx, streams = int(grid.fft_size), int(grid.num_tx), int(grid.num_streams_per_tx)
    k = np.asarray(grid.effective_subcarrier_ind) - fft // 2
    h = taps @ np.exp(-2j * np.pi * np.outer(np.arange(taps.shape[-1]), k) / fft)
    h = h.reshape(1, 1, len(taps), tx, streams, 1, len(k))
    return np.broadcast_to(h, (*h.shape[:5], int(grid.num_ofdm_symbols), len(k)))


def received(grid, no, *, num_ant=3, seed=0, batch=2, dtype=np.complex64):
    """Grid `[B, 1, A, M, fft]`, true channel and QPSK data of random slots."""
    num_streams = int(grid.num_tx) * int(grid.num_streams_per_tx)
    taps = random_taps(np.random.default_rng(seed), num_ant, num_streams, 3)
    _, y, data = send(grid, taps, no, batch=batch, seed=seed, dtype=dtype)
    h = np.repeat(frequency_response(grid, taps), batch, axis=0).astype(dtype)
    return y, h, data


def interference(grid, num_ant, *, power=1.0, seed=5, batch=2, dtype=np.complex64):
    """A flat interferer of unknown symbols, `[B, 1, A, M, fft]`."""
    signature = complex_normal(seed, batch, 1, num_ant, 1, 1)
    shape = (batch, 1, 1, int(grid.num_ofdm_symbols), int(grid.fft_size))
    return (np.sqrt(power / 2) * signature * complex_normal(seed + 1, *shape)).astype(dtype)


def bits_of(data):
    return np.stack([data.real < 0, data.imag < 0], axis=-1).reshape(*data.shape[:-1], -1)


class TestParts:
    @pytest.mark.parametrize("size", [1, 2, 5])
    def test_elimination_equals_lapack(self, size):
        root = complex_normal(0, 7, size, size)
        matrix = root @ root.conj().swapaxes(-1, -2) + np.eye(size)
        leading = np.moveaxis(matrix, 0, -1)
        rhs = complex_normal(1, 7, size, 2)
        expected = np.linalg.solve(np.linalg.cholesky(matrix), rhs)
        got = forward(tf.constant(leading), tf.constant(np.moveaxis(rhs, 0, -1)))
        np.testing.assert_allclose(np.moveaxis(got, -1, 0), expected, atol=1e-12)
        got = np.moveaxis(inverse(tf.constant(leading)), -1, 0)
        np.testing.assert_allclose(got, np.linalg.inv(matrix), atol=1e-12)

    @pytest.mark.parametrize("num_streams", [1, 3])
    def test_linear_mmse_equals_the_formula(self, num_streams):
        channel, signal = complex_normal(0, 9, 4, num_streams), complex_normal(1, 9, 4)
        weights = np.linalg.inv(
            channel.conj().swapaxes(-1, -2) @ channel + np.eye(num_streams)
        ) @ channel.conj().swapaxes(-1, -2)
        gain = np.einsum("nsa,nas->ns", weights, channel).real
        expected = np.einsum("nsa,na->ns", weights, signal) / gain
        x_hat, no_eff = linear_mmse(
            tf.constant(np.moveaxis(channel, 0, -1)), tf.constant(np.moveaxis(signal, 0, -1))
        )
        np.testing.assert_allclose(np.transpose(x_hat), expected, atol=1e-12)
        np.testing.assert_allclose(np.transpose(no_eff), (1 - gain) / gain, atol=1e-12)

    def test_the_test_of_eigenvalues_is_the_function_of_the_matrix(self):
        root = complex_normal(2, 6, 3, 3)
        sample = root @ root.conj().swapaxes(-1, -2)
        edge = np.linspace(0.5, 4, 6)
        values, vectors = np.linalg.eigh(sample)
        share = values**8 / (values**8 + edge[:, None] ** 8)
        values = 1 + (values - 1) * share
        expected = (vectors * values[:, None]) @ vectors.conj().swapaxes(-1, -2)
        got = beyond_chance(tf.constant(np.moveaxis(sample, 0, -1)), tf.constant(edge))
        np.testing.assert_allclose(np.moveaxis(got, -1, 0), expected, atol=1e-10)

    @pytest.mark.parametrize("size", [5, 40])
    def test_window_sum_equals_the_convolution(self, size):
        x = complex_normal(3, 2, size)
        ones = np.ones(2 * REACH + 1)
        full = np.stack([np.convolve(row, ones) for row in x])
        got = window_sum(tf.constant(x))
        np.testing.assert_allclose(got, full[:, REACH : REACH + size], atol=1e-12)


class TestResiduals:
    """The fit of one slot against really leaving a pilot out."""

    @pytest.mark.parametrize("kind", ["comb", "full", "unequal"])
    def test_leave_one_out_is_really_leaving_one_out(self, kind):
        streams = 1 if kind == "unequal" else 2
        grid = make_grid(streams=streams, kind=kind, num_guard_carriers=(3, 2), dc_null=True)
        y, _, _ = received(grid, 0.1, batch=1, dtype=np.complex128)
        elements, sent = known_elements(grid)
        lags = delay_window(grid, sent, elements, -2, 5)
        model = DelayModel(elements, sent, lags, 64)
        pilots = y[0, 0].reshape(3, -1)[:, elements] / np.sqrt(0.1)
        residuals, slack = (np.asarray(x)[0] for x in model.residuals(tf.constant(pilots[None])))
        # With the choice that the model made, the fit is one of these Gaussian processes
        paths = np.exp(-2j * np.pi * np.outer(elements % 64, lags) / 64)
        paths = (sent[:, :, None] * paths[:, None]).reshape(len(elements), -1)
        late = (elements // 64 == np.max(elements // 64))[:, None]
        matches = []
        for turn in (0.0, 0.5, 3.0):
            moved = np.where(late == late.T, 1.0, np.sinc(turn / np.pi))
            covariance = (paths @ paths.conj().T) * moved
            covariance /= np.trace(covariance).real / np.sum(np.any(sent != 0, axis=1))
            for ratio in RATIOS:
                hat = covariance @ np.linalg.inv(covariance + ratio * np.eye(len(elements)))
                if np.allclose(1 - np.diag(hat).real, slack, atol=1e-5):
                    matches.append((covariance, ratio, hat))
        assert len(matches) == 1
        covariance, ratio, hat = matches[0]
        np.testing.assert_allclose(residuals, pilots - pilots @ hat.T, atol=1e-4)
        for p in (0, len(elements) // 2, len(elements) - 1):
            rest = np.delete(np.arange(len(elements)), p)
            loaded = covariance[np.ix_(rest, rest)] + ratio * np.eye(len(rest))
            predicted = pilots[:, rest] @ np.linalg.solve(loaded.T, covariance[p, rest])
            np.testing.assert_allclose(
                residuals[:, p] / slack[p], pilots[:, p] - predicted, atol=1e-3
            )


GRIDS = {
    "one stream": dict(),
    "two streams": dict(streams=2),
    "non-orthogonal pilots": dict(streams=2, kind="full"),
    "two users": dict(num_tx=2),
    "guards and DC": dict(num_guard_carriers=(5, 4), dc_null=True),
    "data beside pilots": dict(kind="shared"),
    "one pilot symbol": dict(pilot_symbols=(1,)),
}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("name", "err_var"), [("two streams", 0.0), *((g, 0.02) for g in GRIDS)])
def test_without_interference_it_is_sionnas_detector(name, err_var):
    grid = make_grid(fft=128, **GRIDS[name])
    y, h, data = received(grid, 0.1)
    users = management(grid, [[1] * int(grid.num_tx)])
    llr = FixedPoleDetector(grid, users, **QPSK)(y, h, err_var, 0.1)
    sionna = LinearDetector("lmmse", "bit", "app", grid, users, **QPSK)
    expected = sionna(y, h, tf.constant(err_var, tf.float32), tf.constant(0.1)).numpy()
    assert llr.shape == expected.shape and llr.dtype == tf.float32
    assert np.mean(np.abs(llr - expected)) < 0.03 * np.mean(np.abs(expected))
    assert np.mean((llr.numpy() > 0) != bits_of(data)) < 0.1


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("name", "estimate"),
    [
        ("one stream", "perfect"),
        ("two streams", "ls"),
        ("guards and DC", "ls"),
        ("non-orthogonal pilots", "perfect"),
        ("one pilot symbol", "ls"),
    ],
)
def test_an_interferer_is_suppressed(name, estimate):
    grid = make_grid(fft=128, **GRIDS[name])
    y, h, data = received(grid, 0.01, num_ant=4)
    y = y + interference(grid, 4)
    err_var = np.float32(0)
    if estimate == "ls":
        h, err_var = LSChannelEstimator(grid, interpolation_type="lin")(y, 0.01)
    users = management(grid, [[1] * int(grid.num_tx)])
    wrong = [
        np.mean((detector(y, h, err_var, tf.constant(0.01)).numpy() > 0) != bits_of(data))
        for detector in (
            FixedPoleDetector(grid, users, **QPSK),
            LinearDetector("lmmse", "bit", "app", grid, users, **QPSK),
        )
    ]
    assert wrong[0] < (0.01 if estimate == "perfect" else 0.1) and wrong[0] < 0.4 * wrong[1]


@pytest.mark.usefixtures("eagerly")
def test_one_antenna_states_what_it_cannot_suppress():
    grid = make_grid(fft=128)
    y, h, data = received(grid, 0.01, num_ant=1)
    y = y + interference(grid, 1, power=0.1)
    detector = FixedPoleDetector(grid, management(grid), **QPSK)
    x_hat, no_eff = detector.equalize(tf.constant(y), tf.constant(h), 0.0, 0.01)
    assert 0.7 < np.mean(np.abs(x_hat - data) ** 2 / no_eff) < 1.4


@pytest.mark.parametrize(("mode", "precision"), [("graph", "single"), ("xla", "double")])
def test_eager_graph_and_xla_agree(mode, precision):
    """The graph leaves the batch open; XLA compiles what compiles a part of itself."""
    dtype = np.complex64 if precision == "single" else np.complex128
    grid = make_grid(streams=2)
    y, h, _ = received(grid, 0.05, num_ant=2, dtype=dtype)
    y = y + interference(grid, 2, power=0.3, dtype=dtype)
    no, err_var = np.asarray(0.05, y.real.dtype), np.full((1, 1, 1, 1, 2, 5, 1), 0.01, y.real.dtype)
    detector = FixedPoleDetector(grid, management(grid), precision=precision, **QPSK)
    arguments = [tf.constant(x) for x in (y, h, err_var, no)]
    with without_graphs():
        eager = detector.equalize(*arguments)
    assert eager[0].dtype == dtype
    specs = [tf.TensorSpec([None, *x.shape[1:]], dtype) for x in (y, h)]
    specs += [tf.TensorSpec(x.shape, x.dtype) for x in (err_var, no)]
    signature = specs if mode == "graph" else None
    compiled = tf.function(detector.equalize, signature, jit_compile=mode == "xla")
    for got, expected in zip(compiled(*arguments), eager, strict=True):
        # The covariance amplifies rounding by its condition number, below 1e3 here
        tolerance = 1e3 * np.finfo(dtype).eps
        np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.usefixtures("eagerly")
def test_slots_are_independent_and_follow_a_permutation_of_the_batch():
    grid = make_grid(streams=2)
    y, h, _ = received(grid, 0.1, batch=4)
    y = y + interference(grid, 3, batch=4)
    detector = FixedPoleDetector(grid, management(grid), **QPSK)
    order = [2, 0, 3, 1]
    no = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    whole = detector(y, h, 0.01, no).numpy()
    np.testing.assert_allclose(
        detector(y[order], h[order], 0.01, no[order]), whole[order], rtol=1e-3, atol=1e-3
    )
    np.testing.assert_allclose(
        detector(y[2:3], h[2:3], 0.01, no[2:3]), whole[2:3], rtol=1e-3, atol=1e-3
    )


@pytest.mark.usefixtures("eagerly")
def test_scaling_everything_changes_nothing():
    grid = make_grid(streams=2)
    y, h, _ = received(grid, 0.1, dtype=np.complex128)
    y = y + interference(grid, 3, dtype=np.complex128)
    detector = FixedPoleDetector(grid, management(grid), precision="double", **QPSK)
    expected = detector(y, h, 0.02, 0.1)
    np.testing.assert_allclose(
        detector(100 * y, 100 * h, 0.02e4, 0.1e4), expected, rtol=1e-8, atol=1e-8
    )


@pytest.mark.usefixtures("eagerly")
def test_two_receivers_detect_their_own_transmitters():
    grid = make_grid(num_tx=2, kind="full")
    y, h, data = received(grid, 0.01, num_ant=6)
    y, h = y.reshape(2, 2, 3, 5, 64), h.reshape(2, 2, 3, 2, 1, 5, 64)
    crossed = management(grid, [[0, 1], [1, 0]])
    llr = FixedPoleDetector(grid, crossed, **QPSK)(y, h, 0.0, 0.01)
    assert np.mean((llr.numpy() > 0) != bits_of(data)) < 0.01
    single = FixedPoleDetector(grid, management(grid, [[1, 1]]), **QPSK)
    for tx, rx in ((0, 1), (1, 0)):
        alone = single(y[:, rx : rx + 1], h[:, rx : rx + 1], 0.0, 0.01)
        np.testing.assert_allclose(llr[:, tx], alone[:, tx], rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("eagerly")
def test_outputs_are_those_of_sionnas_detector():
    grid = make_grid()
    y, h, _ = received(grid, 0.1)
    points = Constellation("qam", 4)
    for output in ("bit", "symbol"):
        for hard_out in (False, True):
            common = dict(constellation=points, hard_out=hard_out)
            got = FixedPoleDetector(grid, management(grid), output=output, **common)(y, h, 0.0, 0.1)
            sionna = LinearDetector("lmmse", output, "app", grid, management(grid), **common)
            expected = sionna(y, h, tf.constant(0.0), tf.constant(0.1))
            assert got.shape == expected.shape and got.dtype == expected.dtype


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("layers", [1, 2])
def test_in_a_pusch_receiver(layers):
    config = PUSCHConfig()
    config.carrier.n_size_grid = 4
    config.num_layers = config.num_antenna_ports = layers
    config.dmrs.additional_position = 1
    transmitter = PUSCHTransmitter(config)
    grid = transmitter.resource_grid
    detector = FixedPoleDetector(
        grid, management(grid), constellation_type="qam", demapping_method="maxlog",
        num_bits_per_symbol=config.tb.num_bits_per_symbol,
    )  # fmt: skip
    x, bits = transmitter(4)
    taps = random_taps(np.random.default_rng(2), 4, layers, 2)
    k = np.arange(48) - 24
    h = taps @ np.exp(-2j * np.pi * np.outer(np.arange(2), k) / 48)
    no = 0.01
    y = np.einsum("ask,bsmk->bamk", h, x.numpy()[:, 0])
    y = y + np.sqrt(no / 2) * complex_normal(3, *y.shape)
    y = y[:, None] + interference(grid, 4, power=0.2, batch=4)
    receiver = PUSCHReceiver(transmitter, mimo_detector=detector)
    assert np.array_equal(receiver(tf.constant(y, tf.complex64), tf.constant(no)), bits)


@pytest.mark.usefixtures("eagerly")
def test_noise_may_differ_between_antennas():
    grid = make_grid(fft=128)
    y, h, _ = received(grid, 1e-6)
    no = np.array([0.05, 0.1, 0.4], np.float32)
    noise = complex_normal(4, *y.shape) * np.sqrt(no / 2)[:, None, None]
    y = (y + noise).astype(np.complex64)
    no = np.broadcast_to(no, (2, 1, 3))
    llr = FixedPoleDetector(grid, management(grid), **QPSK)(y, h, 0.0, no)
    sionna = LinearDetector("lmmse", "bit", "app", grid, management(grid), **QPSK)
    expected = sionna(y, h, tf.constant(0.0), tf.constant(no)).numpy()
    assert np.mean(np.abs(llr - expected)) < 0.03 * np.mean(np.abs(expected))


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(("preset", "ebno_db"), [("nominal_2x2", 4.0), ("interference", -4.0)])
def test_llrs_are_calibrated(preset, ebno_db):

    ratios = bins("detector_perfect", preset, ebno_db)
    assert len(ratios) >= 5
    assert np.all((ratios > 1 / 1.5) & (ratios < 1.5)), ratios


BAD = {
    "resource_grid": (dict(resource_grid=3), TypeError),
    "stream_management": (dict(stream_management=3), TypeError),
    "output": (dict(output="llr"), ValueError),
    "demapping_method": (dict(demapping_method="exact"), ValueError),
    "hard_out": (dict(hard_out=1), TypeError),
    "constellation must be given": (dict(constellation_type=None), ValueError),
    "constellation must be a": (dict(constellation=4), TypeError),
    "num_bits_per_symbol": (dict(num_bits_per_symbol=None), TypeError),
    "l_min": (dict(l_min=1.5), TypeError),
    "l_max": (dict(l_min=0, l_max=-3), ValueError),
    "precision": (dict(precision="half"), ValueError),
    "mehtod": (dict(mehtod="app"), TypeError),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name):
    grid = make_grid()
    options, error = BAD[name]
    arguments = dict(resource_grid=grid, stream_management=management(grid)) | QPSK | options
    with pytest.raises(error, match=name):
        FixedPoleDetector(**arguments)


def test_bad_inputs_are_named():
    grid = make_grid()
    y, h, _ = received(grid, 0.1)
    detector = FixedPoleDetector(grid, management(grid), **QPSK)
    with pytest.raises(ValueError, match="y must have shape"):
        detector(y[..., :32], h, 0.0, 0.1)
    with pytest.raises(ValueError, match="h_hat must have shape"):
        detector(y, h[..., :32], 0.0, 0.1)
    with pytest.raises(ValueError, match="err_var must broadcast"):
        detector(y, h, np.zeros(3, np.float32), 0.1)
    with pytest.raises(ValueError, match="no must"):
        detector(y, h, 0.0, np.zeros(3, np.float32))
