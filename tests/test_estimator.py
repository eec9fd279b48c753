"""The channel estimator as a Block: shapes, modes, grids, and what it is worth."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy import config
from sionna.phy.nr import PUSCHConfig, PUSCHReceiver, PUSCHTransmitter
from sionna.phy.ofdm import LSChannelEstimator, ResourceGridMapper

from rx_fixedpole.receivers import FixedPoleChannelEstimator
from tests.modes import complex_normal
from tests.test_equalizer import make_grid

pytestmark = pytest.mark.tensorflow_only

GRIDS = {
    "comb": dict(streams=2, fft=32),
    "guards": dict(streams=2, num_guard_carriers=(5, 4), dc_null=True),
    "users": dict(num_tx=2, fft=32),
    "not_orthogonal": dict(num_tx=2, fft=32, kind="full"),
    "shared_with_data": dict(kind="shared", fft=32),
    "one_symbol": dict(pilot_symbols=(2,), fft=32),
    "three_symbols": dict(pilot_symbols=(0, 2, 4), fft=32),
    "unequal_symbols": dict(kind="unequal", fft=32),
}


@functools.cache
def estimator(name, **options):
    return FixedPoleChannelEstimator(make_grid(**GRIDS[name]), **options)


def random_paths(grid, *, batch=4, num_ant=4, seed=0, count=3, longest=6.0, lags=None):
    """Responses ``[B, A, streams, K]`` of a few paths, each slot, user and stream with its own."""
    rng = np.random.default_rng(seed)
    num_streams = int(grid.num_tx) * int(grid.num_streams_per_tx)
    subcarriers = np.asarray(grid.effective_subcarrier_ind) - int(grid.fft_size) // 2
    if lags is None:
        lags = rng.uniform(0, longest, (batch, num_streams, count))
    lags = np.broadcast_to(lags, (batch, num_streams, count))
    gains = complex_normal(seed + 1, batch, num_ant, num_streams, count) / (2 * count) ** 0.5
    ramps = np.exp(-2j * np.pi * lags[..., None] * subcarriers / int(grid.fft_size))
    return np.einsum("basl,bslk->bask", gains, ramps)


def received(grid, h, no, *, seed=0, dtype=np.complex64):
    """Random QPSK slots through ``h [B, A, streams, (M,) K]`` as a demodulated grid."""
    rng = np.random.default_rng(seed)
    if h.ndim == 4:
        h = np.repeat(h[:, :, :, None], int(grid.num_ofdm_symbols), axis=3)
    shape = (len(h), int(grid.num_tx), int(grid.num_streams_per_tx), int(grid.num_data_symbols))
    data = (rng.choice([-1, 1], shape) + 1j * rng.choice([-1, 1], shape)) / np.sqrt(2)
    x = ResourceGridMapper(grid)(tf.constant(data, tf.complex64)).numpy()
    x = x.reshape(len(h), h.shape[2], *x.shape[3:])
    y = complex_normal(seed + 2, len(h), h.shape[1], *x.shape[2:]) * np.sqrt(no / 2)
    occupied = np.asarray(grid.effective_subcarrier_ind)
    y[..., occupied] += np.einsum("basmk,bsmk->bamk", h, x[..., occupied])
    return y[:, None].astype(dtype)


def flat(h_hat):
    """Estimates ``[B, 1, A, num_tx, S, M, K]`` with streams in a row and without receivers."""
    h_hat = np.asarray(h_hat)[:, 0]
    return h_hat.reshape(*h_hat.shape[:2], -1, *h_hat.shape[4:])


def error(h_hat, h):
    if h.ndim == 4:
        h = h[:, :, :, None]
    return np.mean(np.abs(flat(h_hat) - h) ** 2) / np.mean(np.abs(h) ** 2)


def decibels(ratio):
    return 10 * np.log10(ratio)


class TestAsABlock:
    @pytest.mark.parametrize("name", GRIDS)
    def test_stands_where_least_squares_does(self, name):
        grid = make_grid(**GRIDS[name])
        y = received(grid, random_paths(grid, batch=2), 0.1)
        h_hat, err_var = estimator(name)(y, 0.1)
        theirs, _ = LSChannelEstimator(grid, interpolation_type="nn")(tf.constant(y), 0.1)
        assert h_hat.shape == theirs.shape and h_hat.dtype == theirs.dtype
        assert tuple(tf.broadcast_static_shape(err_var.shape, h_hat.shape)) == theirs.shape
        assert err_var.dtype == tf.float32
        assert np.isfinite(h_hat).all() and (np.asarray(err_var) >= 0).all()

    @pytest.mark.parametrize("precision", ["single", "double"])
    def test_eager_graph_and_xla_agree_whatever_the_batch(self, precision):
        dtype = np.complex64 if precision == "single" else np.complex128
        grid = make_grid(**GRIDS["comb"])
        y = received(grid, random_paths(grid, num_ant=2), 0.01, dtype=dtype)
        # The first of them has two sizes to choose from, the second one.
        window = {} if precision == "single" else dict(l_min=-2, l_max=8)
        block = estimator("comb", precision=precision, **window)
        no = tf.constant([0.01, 0.02, 0.01, 0.01], tf.as_dtype(dtype).real_dtype)
        eager = block(y, no)
        assert eager[0].dtype == dtype and eager[1].dtype == no.dtype
        # The updates amplify rounding, the most at delays that are hardly there.
        tolerance = 1e4 * np.finfo(dtype).eps
        signature = [tf.TensorSpec([None, *y.shape[1:]], dtype), tf.TensorSpec([None], no.dtype)]
        for jit_compile in (False, True):
            fn = tf.function(block, input_signature=signature, jit_compile=jit_compile)
            for got, expected in zip(fn(y, no), eager, strict=True):
                np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)

    def test_slots_are_independent_and_follow_a_permutation_of_the_batch(self):
        grid = make_grid(**GRIDS["comb"])
        y = received(grid, random_paths(grid), 0.1, dtype=np.complex128)
        block = estimator("comb", precision="double")
        no, order = np.array([0.1, 0.2, 0.3, 0.4]), [2, 0, 3, 1]
        whole, moved, alone = block(y, no), block(y[order], no[order]), block(y[2:3], no[2:3])
        for w, p, a in zip(whole, moved, alone, strict=True):
            np.testing.assert_allclose(np.asarray(w)[order], p, rtol=1e-8, atol=1e-8)
            np.testing.assert_allclose(w[2:3], a, rtol=1e-8, atol=1e-8)

    def test_a_slot_that_needs_many_poles_leaves_the_others_alone(self):
        grid = make_grid(fft=64)
        one = received(grid, random_paths(grid, batch=1, count=1, longest=1.0), 1.0)
        many = random_paths(grid, batch=1, count=60, longest=54.0, seed=5)
        y = np.concatenate([one, received(grid, many, 1e-4)]).astype(np.complex128)
        no = np.array([1.0, 1e-4])
        block = FixedPoleChannelEstimator(grid, precision="double")
        for both, alone in zip(block(y, no), block(y[:1], no[:1]), strict=True):
            np.testing.assert_allclose(both[:1], alone, rtol=1e-8, atol=1e-8)
        profile, found = block._profile(block._matched(y[:, 0].reshape(2, 4, -1)), tf.constant(no))
        counts = np.sum(found, axis=(1, 2))
        assert counts[0] <= 24 < 48 < counts[1] and profile.shape == found.shape

    def test_receivers_are_independent(self):
        grid = make_grid(**GRIDS["comb"])
        y = received(grid, random_paths(grid), 0.1, dtype=np.complex128).reshape(2, 2, 4, 5, 32)
        block = estimator("comb", precision="double")
        both = block(y, np.array([[0.1, 0.3], [0.2, 0.1]]))
        assert both[0].shape == (2, 2, 4, 1, 2, 5, 32) and both[1].shape == (2, 2, 1, 1, 2, 5, 32)
        for got, expected in zip(both, block(y[:, 1:], np.array([0.3, 0.1])), strict=True):
            np.testing.assert_allclose(got[:, 1:], expected, rtol=1e-8, atol=1e-8)

    def test_scaling_the_input_with_its_noise_scales_the_channel(self):
        grid = make_grid(**GRIDS["comb"])
        y = received(grid, random_paths(grid, batch=2), 0.1, dtype=np.complex128)
        block = estimator("comb", precision="double")
        (h, err), (h_scaled, err_scaled) = block(y, 0.1), block(100 * y, 1e3)
        np.testing.assert_allclose(h_scaled, 100 * h, rtol=1e-8, atol=1e-6)
        np.testing.assert_allclose(err_scaled, 1e4 * err, rtol=1e-8, atol=1e-6)

    @pytest.mark.parametrize("options", [{}, dict(estimate_noise=True, array_prior=True)], ids=str)
    @pytest.mark.parametrize("no", [0.0, 0.1])
    @pytest.mark.parametrize("silent", [False, True])
    def test_outputs_are_finite(self, options, no, silent):
        grid = make_grid(**GRIDS["comb"])
        y = received(grid, random_paths(grid, batch=2), no) * (not silent)
        h_hat, err_var = estimator("comb", **options)(y, no)
        assert np.isfinite(h_hat).all() and np.isfinite(err_var).all()
        assert np.any(h_hat != 0) != silent


class TestQuality:
    @pytest.mark.parametrize("moving", [True, False])
    @pytest.mark.parametrize("name", ["comb", "guards", "not_orthogonal", "three_symbols"])
    def test_channels_on_the_poles_are_found_without_noise(self, name, moving):
        grid = make_grid(**GRIDS[name])
        h = random_paths(grid, count=2, lags=np.array([0.0, 2.5]))
        y = received(grid, h, 0.0, dtype=np.complex128)
        h_hat, _ = estimator(name, precision="double", time_correlation=moving)(y, 1e-8)
        # Two users on as many pilot symbols: what moves and what leaks are hard to tell apart.
        assert decibels(error(h_hat, h)) < (-20 if moving and name == "not_orthogonal" else -40)

    @pytest.mark.parametrize("name", ["comb", "guards", "one_symbol", "three_symbols"])
    def test_beats_interpolated_least_squares(self, name):
        grid = make_grid(**GRIDS[name])
        h = random_paths(grid, batch=16)
        y, no = received(grid, h, 0.1), 0.1
        ours, _ = estimator(name)(y, no)
        theirs, _ = LSChannelEstimator(grid, interpolation_type="lin")(tf.constant(y), no)
        assert decibels(error(ours, h)) < decibels(error(theirs, h)) - 2

    @pytest.mark.parametrize("no", [1.0, 0.1, 0.01])
    @pytest.mark.parametrize("name", ["guards", "one_symbol", "three_symbols"])
    def test_the_error_variance_is_that_of_the_error(self, name, no):
        """Also where most paths are lost in the noise."""
        grid = make_grid(**GRIDS[name])
        h = random_paths(grid, batch=64, num_ant=2)
        h_hat, err_var = estimator(name)(received(grid, h, no), no)
        measured = np.mean(np.abs(flat(h_hat) - h[:, :, :, None]) ** 2)
        assert 0.8 < measured / np.mean(err_var) < 1.25

    def test_the_error_variance_with_pilots_that_are_not_orthogonal(self):
        """Two users on as many pilot symbols: what moves and what leaks are hard to tell apart."""
        grid = make_grid(**GRIDS["not_orthogonal"])
        h = random_paths(grid, batch=32)
        h_hat, err_var = estimator("not_orthogonal")(received(grid, h, 0.1), 0.1)
        measured = np.mean(np.abs(flat(h_hat) - h[:, :, :, None]) ** 2)
        assert 0.6 < measured / np.mean(err_var) < 1.6

    @pytest.mark.parametrize(("told", "lost"), [(1.0, 0.2), (10.0, 0.8), (0.1, 2.0)])
    def test_the_noise_variance_is_found(self, told, lost):
        grid = make_grid(**GRIDS["guards"])
        h = random_paths(grid, batch=16)
        y, no = received(grid, h, 0.1), 0.1
        known, _ = estimator("guards")(y, no)
        wrong, _ = estimator("guards")(y, told * no)
        found, err_var = estimator("guards", estimate_noise=True)(y, told * no)
        assert decibels(error(found, h)) < decibels(error(known, h)) + lost
        assert told == 1 or decibels(error(found, h)) < decibels(error(wrong, h)) - 1.5
        measured = np.mean(np.abs(flat(found) - h[:, :, :, None]) ** 2)
        assert 0.6 < measured / np.mean(err_var) < 1.6

    @pytest.mark.parametrize("options", [{}, dict(estimate_noise=True)], ids=str)
    @pytest.mark.parametrize("no", [1e-4, 1e-6, 1e-8])
    def test_single_precision_does_for_any_noise(self, no, options):
        grid = make_grid(pilot_symbols=(2,))
        h = random_paths(grid)
        y = received(grid, h, no, dtype=np.complex128)
        errors = [
            decibels(error(FixedPoleChannelEstimator(grid, precision=p, **options)(y, no)[0], h))
            for p in ("single", "double")
        ]
        assert errors[0] < errors[1] + 0.5 and errors[0] < decibels(no) + 10

    def test_a_common_rotation_is_removed(self):
        grid = make_grid(**GRIDS["guards"])
        turn = np.exp(0.6j * np.arange(5))[:, None]
        h = random_paths(grid, batch=8)[:, :, :, None] * turn
        y = received(grid, h, 0.01)
        errors = [
            decibels(error(estimator("guards", doppler_shift=on)(y, 0.01)[0], h))
            for on in (True, False)
        ]
        assert errors[0] < errors[1] - 1

    @pytest.mark.parametrize(("direction", "gain"), [(1 / 8, 2.0), (0.19, 0.2)])
    def test_a_prior_along_the_array_finds_a_direction(self, direction, gain):
        """Of one beam, or midway between two."""
        grid = make_grid(**GRIDS["guards"])
        steering = np.exp(2j * np.pi * direction * np.arange(8))[:, None, None]
        h = random_paths(grid, batch=8, num_ant=1) * steering
        y = received(grid, h, 0.3)
        on, off = (
            estimator("guards", **options)(y, 0.3)[0] for options in (dict(array_prior=True), {})
        )
        assert decibels(error(on, h)) < decibels(error(off, h)) - gain

    def test_taps_make_the_response_continuous_over_the_edges(self):
        """Between two taps, without guards, both ends of the band are as good as its middle."""
        grid = make_grid(fft=32)
        taps = np.arange(-4, 11)
        pulse = np.sinc(taps - 2.5) @ np.exp(-2j * np.pi * np.outer(taps, np.arange(-16, 16)) / 32)
        h = complex_normal(3, 8, 4, 1, 1) * pulse / np.sqrt(2)
        y = received(grid, h, 1e-3)
        with_taps = FixedPoleChannelEstimator(grid, l_min=-4, l_max=10)(y, 1e-3)[0]
        assert error(with_taps, h) < error(FixedPoleChannelEstimator(grid)(y, 1e-3)[0], h)


@functools.cache
def transmitter(layers):
    one = PUSCHConfig(num_layers=layers, num_antenna_ports=layers)
    one.dmrs.dmrs_port_set = list(range(layers))
    one.dmrs.additional_position = 1
    return PUSCHTransmitter(one)


class TestPUSCH:
    """DMRS with orthogonal covers, zeros in the masks."""

    @pytest.mark.parametrize("layers", [1, 2])
    def test_blocks_are_decoded(self, layers):
        sender, batch, num_ant, no = transmitter(layers), 2, 4, 1e-2
        grid = sender.resource_grid
        config.seed = 5
        x, bits = (v.numpy() for v in sender(batch))
        h = random_paths(grid, batch=batch, num_ant=num_ant, longest=3.0, seed=3)
        y = np.einsum("bask,bsmk->bamk", h, x.reshape(batch, layers, *x.shape[3:]))
        y = y + complex_normal(4, *y.shape) * np.sqrt(no / 2)
        y = tf.constant(y[:, None], tf.complex64)
        block = FixedPoleChannelEstimator(grid)
        assert decibels(error(block(y, no)[0], h)) < -20
        receiver = PUSCHReceiver(sender, channel_estimator=block, return_tb_crc_status=True)
        b_hat, crc = receiver(y, no)
        assert np.all(crc)
        np.testing.assert_array_equal(b_hat, bits)


BAD = {
    "resource_grid": (dict(resource_grid=3), TypeError),
    "l_min and l_max": (dict(l_min=2), ValueError),
    "l_max": (dict(l_min=0, l_max=-1), ValueError),
    "spacing": (dict(spacing=0), ValueError),
    "time_correlation": (dict(time_correlation=1), TypeError),
    "doppler_shift": (dict(doppler_shift=None), TypeError),
    "array_prior": (dict(array_prior=3), TypeError),
    "estimate_noise": (dict(estimate_noise="yes"), TypeError),
    "precision": (dict(precision="half"), ValueError),
    "spacnig": (dict(spacnig=1), TypeError),
}


class TestErrors:
    @pytest.mark.parametrize("name", BAD)
    def test_bad_arguments_are_named(self, name):
        options, expected = BAD[name]
        with pytest.raises(expected, match=name):
            FixedPoleChannelEstimator(**dict(resource_grid=make_grid(fft=32)) | options)

    def test_bad_inputs_are_named(self):
        block = estimator("comb")
        with pytest.raises(ValueError, match="y must have shape .*5, 32.*got"):
            block(np.zeros((2, 1, 1, 4, 32), np.complex64), 0.1)
        with pytest.raises(ValueError, match="y must have shape"):
            block(np.zeros((2, 1, 5, 32), np.complex64), 0.1)
        with pytest.raises(TypeError, match="y must be complex"):
            block(np.zeros((2, 1, 1, 5, 32), np.float32), 0.1)
        with pytest.raises(ValueError, match="no must"):
            block(np.zeros((2, 1, 1, 5, 32), np.complex64), np.zeros(3, np.float32))
