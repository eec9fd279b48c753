"""The laboratory's receivers: what all of them owe, and each baseline against its own formula."""

from __future__ import annotations

import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf
from sionna.phy import config
from sionna.phy.ofdm import tdl_freq_cov_mat, tdl_time_cov_mat

from sims.link import Link
from sims.receivers import RECEIVERS, grid, resolve, wiener
from sims.receivers.base import complete_options
from sims.receivers.covariance import Covariance, true_covariance
from sims.receivers.delay_limited import (
    delay_limited_estimator,
    least_squares,
    limited_lags,
    time_basis,
)
from sims.receivers.esn import _reservoir, _responses, _runner, _window
from sims.receivers.joint_lmmse import joint_filters, joint_lmmse_estimator
from sims.receivers.waveform import Waveform
from sims.scenario import SCENARIOS, Scenario
from tests import oracles

pytestmark = pytest.mark.tensorflow_only

# Two streams on four antennas, unequal combs (57 occupied subcarriers), a mild channel
SMALL = SCENARIOS["nominal_2x2"].replace(
    name="small",
    fft_size=64,
    cp_length=12,
    num_ofdm_symbols=6,
    pilot_symbols=[1, 4],
    num_guard_carriers=[3, 3],
    dc_null=True,
    num_rx_ant=4,
    delay_spread=50e-9,
    coderate=None,
)
BATCH = 6


@functools.cache
def link_of(name: str) -> Link:
    return Link(SMALL if name == "small" else SCENARIOS[name])


@functools.cache
def slots_of(name: str, ebno_db: float, batch: int = BATCH):
    config.seed = 7
    return link_of(name).transmit(batch, ebno_db)


def reason(name: str, scenario: Scenario, **options: object) -> str | None:
    return RECEIVERS[name].requires(scenario, resolve(name, options))


@functools.cache
def receiver(name: str, link: str = "small"):
    built = RECEIVERS[name].build(link_of(link), **resolve(name))
    return tf.function(built, autograph=False)


def is_variant(name: str) -> bool:
    """Whether it is BPTT's builder with other options, of which one stands for all."""
    build = RECEIVERS[name].build
    return isinstance(build, functools.partial) and build.func is RECEIVERS["bptt"].build


@pytest.fixture(params=RECEIVERS)
def name(request):
    return able(request.param)


@pytest.fixture(
    params=[pytest.param(n, marks=[pytest.mark.slow] * is_variant(n)) for n in RECEIVERS]
)
def kind(request):
    return able(request.param)


def able(name: str) -> str:
    if reason(name, SMALL) is not None:
        pytest.skip(reason(name, SMALL))
    return name


class TestEveryReceiver:
    def test_decides_all_bits_without_noise(self, name):
        slots = slots_of("small", 50.0)
        llr = receiver(name)(slots)
        assert llr.shape == slots.coded_bits.shape and llr.dtype == tf.float32
        assert np.isfinite(llr).all()
        errors, _ = link_of("small").count(slots, llr)
        assert errors.sum() == 0

    def test_slots_are_received_one_by_one(self, kind):
        slots = slots_of("small", 3.0)
        order = np.random.default_rng(0).permutation(BATCH)
        moved = slots._replace(
            **{
                field: tf.gather(value, order)
                for field, value in slots._asdict().items()
                if field != "no"
            }
        )
        expected = tf.gather(receiver(kind)(slots), order)
        np.testing.assert_allclose(receiver(kind)(moved), expected, rtol=2e-3, atol=2e-3)

    def test_sees_nothing_it_may_not(self, kind):
        slots = slots_of("small", 3.0)
        hidden = ["bits", "coded_bits", "x"] + ["h_time"] * (not RECEIVERS[kind].genie)
        garbage = {field: getattr(slots, field)[::-1] + 3 for field in hidden}
        np.testing.assert_array_equal(
            receiver(kind)(slots._replace(**garbage)), receiver(kind)(slots)
        )

    def test_reads_the_received_signal_and_the_noise_variance(self, kind):
        slots = slots_of("small", 3.0)
        llr = receiver(kind)(slots).numpy()
        silence = slots._replace(y=slots.y[::-1], y_time=slots.y_time[::-1])
        assert np.abs(receiver(kind)(silence).numpy() - llr).mean() > 0.5
        noisier = slots._replace(no=4 * slots.no)
        assert np.abs(receiver(kind)(noisier).numpy() - llr).mean() > 1e-3

    def test_is_traced_once_for_all_noise_levels(self, kind):
        for ebno_db in (3.0, 50.0):
            receiver(kind)(slots_of("small", ebno_db))
        assert receiver(kind).experimental_get_tracing_count() == 1


class TestOrder:
    """More knowledge, fewer errors: with margins far beyond the noise of 64 slots."""

    def errors(self, scenario, names, ebno_db):
        slots = slots_of(scenario, ebno_db, 64)
        wrong = slots.coded_bits > 0.5
        return [np.mean((receiver(n, scenario)(slots) > 0) != wrong) for n in names]

    def test_along_frequency(self):
        names = ["perfect_csi", "joint_lmmse", "ls_delay_limited", "ls_lin_time_avg", "ls_lin"]
        errors = self.errors("nominal_siso", names, 6.0)
        assert errors == sorted(errors) and errors[-1] > 1.2 * errors[0]

    def test_a_short_prefix_needs_an_equalizer_in_time(self):
        wiener_in_time, network, one_tap = self.errors(
            "short_cp", ["genie_wiener", "esn", "perfect_csi"], 24.0
        )
        assert 3 * wiener_in_time < network and 2 * network < one_tap

    def test_a_moving_channel_is_not_averaged(self):
        linear, average = self.errors("high_speed", ["ls_lin", "ls_lin_time_avg"], 12.0)
        fitted, joint = self.errors("high_speed", ["ls_delay_limited", "joint_lmmse"], 12.0)
        assert joint < fitted < linear < average / 2


class TestOptions:
    def test_defaults_are_filled_in(self):
        assert resolve("kbest") == {"estimator": "joint_lmmse", "num_paths": 32}
        assert resolve("esn", {"input_scale": 1})["input_scale"] == 1.0
        assert resolve("genie_wiener", {"window": 16}) == {"window": 16, "delay": None}

    @pytest.mark.parametrize(
        ("name", "options", "error", "match"),
        [
            ("perfect_cis", {}, ValueError, "perfect_csi"),
            ("esn", {"windw": 3}, ValueError, "did you mean window"),
            ("perfect_csi", {"window": 3}, ValueError, "there are none"),
            ("esn", {"window": 3.5}, TypeError, "'window'.*int or NoneType, got 3.5"),
            ("esn", {"seed": True}, TypeError, "'seed'.*int, got True"),
            ("kbest", {"estimator": "mmse"}, ValueError, "joint_lmmse, delay_limited, ls_lin"),
            ("kbest", {"num_paths": 0}, ValueError, "'num_paths'.*at least 1, got 0"),
            ("ep", {"num_iterations": 0}, ValueError, "'num_iterations'.*at least 1, got 0"),
            ("joint_lmmse", {"num_drops": 0}, ValueError, "'num_drops'.*at least 1, got 0"),
            ("esn", {"spectral_radius": 1}, ValueError, "'spectral_radius'.*between 0 and 1"),
            ("esn", {"input_scale": np.nan}, ValueError, "'input_scale'.*positive and finite"),
            ("esn", {"window": 0}, ValueError, "'window'.*at least 1, got 0"),
            ("fixed_pole", {"placement": "rings"}, ValueError, "'placement'.*one of ring, disc"),
            ("fixed_pole", {"placement": "delays"}, ValueError, "'placement'.*one of ring, disc"),
            ("fixed_pole", {"num_poles": -1}, ValueError, "'num_poles'.*at least 0, got -1"),
            ("fixed_pole", {"num_poles": 1.5}, TypeError, "'num_poles'.*must be int, got 1.5"),
            ("bptt", {"num_poles": 0}, ValueError, "'num_poles'.*at least 1, got 0"),
            ("bptt", {"learning_rate": 0}, ValueError, "'learning_rate'.*positive and finite"),
            ("bptt", {"reg": -1}, ValueError, "'reg'.*at least 0"),
        ],
    )
    def test_mistakes_are_named(self, name, options, error, match):
        with pytest.raises(error, match=match):
            resolve(name, options)

    def test_positional_arguments_are_no_options(self):
        assert complete_options("f", lambda link, *, a=1: None) == {"a": 1}

    @pytest.mark.parametrize(
        ("name", "options", "match"),
        [
            ("esn", {"num_neurons": 200, "window": 2}, "208 features but only 114 pilots"),
            ("genie_wiener", {"window": 64}, "fft_size - 1, got 64"),
        ],
    )
    def test_builders_refuse_the_impossible_too(self, name, options, match):
        with pytest.raises(ValueError, match=match):
            RECEIVERS[name].build(link_of("small"), **resolve(name, options))

    def test_reasons(self):
        assert "two streams" in reason("kbest", SCENARIOS["nominal_siso"])
        full = SMALL.replace(pilot_pattern="full")
        assert "orthogonal" in reason("ls_lin", full)
        assert "orthogonal" in reason("ep", full, estimator="ls_lin")
        assert reason("joint_lmmse", full) is reason("ep", full) is None

    @pytest.mark.parametrize(
        ("name", "options", "match"),
        [
            ("window", {"window": 0}, "poles or a window"),
            ("fixed_pole", {"num_poles": 28}, "116 features but only 114 pilots"),
            ("fixed_pole_tracking", {"window": 7}, "120 features but only 114 pilots"),
            ("esn", {"num_neurons": 111}, "115 features but only 114 pilots"),
            ("esn", {"window": 25}, "116 features but only 114 pilots"),
            ("genie_wiener", {"window": 64}, "at most fft_size - 1 = 63, got 64"),
            ("bptt_gru", {"bank": "per_antenna"}, "needs network 'diagonal'"),
            ("bptt", {"reg": 0}, "reg must be positive"),
            ("bptt", {"optimizer": "none", "refit": False, "reg": 0}, "reg must be positive"),
            ("bptt", {"held_out": 0.9999}, "held_out must leave"),
            ("lbfgs", {"learning_rate": 0.1}, "learning_rate must be None"),
            ("varpro", {"parametrization": "free"}, "'varpro' needs"),
            ("pretrained_frozen", {"num_steps": 3}, "num_steps must be None for pretrained"),
        ],
    )
    def test_what_cannot_run_says_so_before_it_is_built(self, name, options, match):
        assert match in reason(name, SMALL, **options)

    @pytest.mark.parametrize(("num_poles", "fits"), [(27, True), (28, False)])
    def test_the_reason_is_that_of_the_receiver_itself(self, num_poles, fits):
        options = resolve("fixed_pole", {"num_poles": num_poles})
        assert (RECEIVERS["fixed_pole"].requires(SMALL, options) is None) is fits
        receive = RECEIVERS["fixed_pole"].build(link_of("small"), **options)
        with contextlib.nullcontext() if fits else pytest.raises(ValueError, match="116 features"):
            receive(slots_of("small", 3.0))

    def test_what_can_run_says_nothing(self):
        assert reason("bptt", SMALL, reg=0, refit=False) is None
        assert reason("fixed_pole_tracking", SMALL, window=6) is None
        assert reason("esn", SMALL, num_neurons=110) is None

    @pytest.mark.parametrize("estimator", ["delay_limited", "ls_lin"])
    def test_detectors_take_other_estimates(self, estimator):
        slots = slots_of("small", 50.0)
        build = RECEIVERS["ep"].build
        llr = tf.function(build(link_of("small"), estimator=estimator))(slots)
        errors, _ = link_of("small").count(slots, llr)
        assert errors.sum() == 0


def random_complex(rng, *shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def random_pilots(seed=0):
    """Three streams that overlap on 12 subcarriers of two of five symbols."""
    rng = np.random.default_rng(seed)
    columns = np.arange(12)
    return grid.PilotGrid(
        subcarriers=np.array([2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14]),
        symbols=np.repeat([1, 3], 12),
        columns=np.tile(columns, 2),
        values=random_complex(rng, 3, 24),
        num_symbols=5,
        fft_size=16,
    )


class TestGrid:
    def test_pilots_and_silence_of_an_odd_comb(self):
        pilots = grid.pilot_grid(link_of("small").resource_grid)
        counts = (pilots.values != 0).sum(axis=1)
        assert counts.tolist() == [58, 56] and pilots.comb == 2
        assert not np.any((pilots.values[0] != 0) & (pilots.values[1] != 0))
        np.testing.assert_allclose(np.mean(np.abs(pilots.values) ** 2, axis=1), 1, rtol=1e-6)

    def test_values_are_what_is_sent(self):
        slots, pilots = slots_of("small", 50.0), grid.pilot_grid(link_of("small").resource_grid)
        sent = slots.x.numpy().reshape(BATCH, 2, 6, 64)
        sent = sent[:, :, pilots.symbols, pilots.subcarriers[pilots.columns]]
        np.testing.assert_allclose(sent, np.broadcast_to(pilots.values, sent.shape), atol=1e-6)


class TestDelayLimited:
    @pytest.mark.parametrize("linear", [False, True])
    def test_is_least_squares(self, linear):
        pilots, lags = random_pilots(), np.arange(-1, 2)
        basis = time_basis(pilots, linear)
        parts = least_squares(pilots, lags, basis)
        observed = random_complex(np.random.default_rng(1), 24)
        response = np.exp(-2j * np.pi * np.outer(pilots.frequencies, lags) / 16)
        design = np.stack(
            [
                pilots.values[s] * basis[pilots.symbols, q] * response[pilots.columns, lag]
                for s in range(3)
                for q in range(basis.shape[1])
                for lag in range(3)
            ],
            axis=1,
        )
        taps = np.linalg.lstsq(design, observed, rcond=None)[0].reshape(3, -1, 3)
        expected = np.einsum("mq,sql,kl->smk", basis, taps, response)
        estimate = np.einsum("mq,sqkp,p->smk", basis, parts.weights, observed)
        np.testing.assert_allclose(estimate, expected, atol=1e-10)
        filters = np.einsum("mq,sqkp->smkp", basis, parts.weights)
        gain = np.sum(np.abs(filters) ** 2, axis=-1)
        np.testing.assert_allclose(parts.noise_gain, gain, atol=1e-10)

    def test_lags_end_where_pilots_are_ambiguous(self):
        pilots = grid.pilot_grid(link_of("small").resource_grid)
        assert limited_lags(pilots, -6, 12, 1).tolist() == list(range(-6, 13))
        assert limited_lags(pilots, -6, 60, 1).size == 32
        assert limited_lags(random_pilots(), -2, 9, 2).size == 24 // 6

    def test_error_variance_is_the_error(self):
        link, slots = link_of("small"), slots_of("small", 3.0, 64)
        h_hat, err_var = delay_limited_estimator(link)(slots)
        truth = link.frequency_response(slots.h_time).numpy()[
            ..., grid.pilot_grid(link.resource_grid).subcarriers
        ]
        measured = np.mean(np.abs(h_hat - truth) ** 2)
        np.testing.assert_allclose(measured, np.mean(err_var), rtol=0.05)


class TestJointLmmse:
    def covariance(self):
        rng = np.random.default_rng(3)
        frequency, time = random_complex(rng, 12, 5), random_complex(rng, 5, 2)
        time = time @ time.conj().T
        return Covariance(frequency @ frequency.conj().T, time * 5 / np.trace(time).real)

    def test_filters_and_errors(self):
        pilots, covariance, no = random_pilots(), self.covariance(), 0.3
        parts = joint_filters(pilots, covariance)
        shrunk = parts.synthesis / (parts.powers + no)
        filters = np.einsum("mq,sqkp,pr->smkr", parts.basis, shrunk, parts.analysis)
        errors = parts.prior - parts.reduction @ (1 / (parts.powers + no))
        expected, expected_errors = oracles.joint_mmse(
            pilots.values,
            pilots.symbols,
            pilots.columns,
            covariance.time,
            covariance.frequency,
            no,
        )
        np.testing.assert_allclose(filters, expected, atol=1e-9)
        np.testing.assert_allclose(errors, expected_errors, atol=1e-9 * parts.prior.max())

    def test_error_variance_is_the_error(self):
        link, slots = link_of("small"), slots_of("small", 3.0, 64)
        h_hat, err_var = joint_lmmse_estimator(link)(slots)
        truth = link.frequency_response(slots.h_time).numpy()[
            ..., grid.pilot_grid(link.resource_grid).subcarriers
        ]
        measured = np.mean(np.abs(h_hat - truth) ** 2)
        np.testing.assert_allclose(measured, np.mean(err_var), rtol=0.08)

    def test_true_covariance_is_the_models(self):
        scenario = SCENARIOS["high_speed"]
        covariance = true_covariance(link_of("high_speed"), 512)  # 1024 antenna pairs
        # the sampled channel has no well-defined response at the edge of the band
        middle = slice(16, 112)
        frequency = tdl_freq_cov_mat("A", 30e3, 128, 200e-9).numpy()[middle, middle]
        symbol = (128 + 16) / scenario.sample_rate
        time = tdl_time_cov_mat("A", 300 / 3.6, 3.5e9, symbol, 14).numpy()
        assert np.abs(covariance.frequency[middle, middle] - frequency).max() < 0.15  # 5 sigma
        assert np.abs(covariance.time - time).max() < 0.05


class TestWiener:
    @pytest.mark.parametrize("delay", [4, 7])
    def test_weights(self, delay):
        link, no = link_of("small"), 0.2
        rng = np.random.default_rng(5)
        num_taps = link.l_max - link.l_min + 1
        taps = random_complex(rng, 1, 1, 4, 2, num_taps)
        design = wiener._design(link, 9, delay)
        weights = wiener._wiener_weights(tf.constant(taps), tf.constant(no), design)
        frequencies = grid.pilot_grid(link.resource_grid).frequencies
        cp_length = link.scenario.cp_length
        expected = oracles.wiener_filter(
            taps[0, 0], frequencies, 64, cp_length, link.l_min, 9, delay, no
        )
        np.testing.assert_allclose(weights[0, 0], expected, atol=1e-9)

    def test_effective_noise_is_the_error_with_a_short_prefix(self):
        """The mean squared error of the unbiased symbols, in a channel that outruns the prefix."""
        link, slots = link_of("short_cp"), slots_of("short_cp", 16.0, 64)
        design = wiener._design(link, 48, 30)
        waveform = Waveform.of(link, shift=design.shift)
        no, y_time = tf.cast(slots.no, tf.float64), tf.cast(slots.y_time, tf.complex128)
        taps = tf.cast(wiener._symbol_taps(slots.h_time, link, waveform), tf.complex128)
        weights = wiener._wiener_weights(taps, no, design)
        gain, noise = wiener._after_equalization(weights, taps, no, design)
        x_hat = wiener._equalize(y_time, weights, waveform, 30)
        error = np.abs((x_hat - gain * tf.cast(slots.x[:, 0], gain.dtype)).numpy()) ** 2
        data = np.setdiff1d(np.arange(14), link.scenario.pilot_symbols)[1:-1]  # not at the ends
        np.testing.assert_allclose(error[:, :, data].mean(), np.mean(noise), rtol=0.05)


class TestWaveform:
    @pytest.mark.parametrize("shift", [0, -1, -12])
    def test_recovers_the_grid_of_an_undistorted_waveform(self, shift):
        link, slots = link_of("small"), slots_of("small", 50.0)
        sent = slots.x.numpy()[0, 0, 0]
        samples = oracles.ofdm_waveform(sent, 12)
        # y[i] is time i + l_min
        received = np.concatenate([np.zeros(-link.l_min), samples])
        waveform = Waveform.of(link, shift)
        windows = waveform.windows(tf.constant(received))
        np.testing.assert_allclose(waveform.to_grid(windows), sent, atol=1e-6)

    def test_history_and_delay(self):
        waveform = Waveform(num_symbols=2, fft_size=4, cp_length=2, l_min=-1)
        samples = tf.constant(np.arange(1.0, 14.0))  # time -1 .. 11, numbered from 1
        windows = waveform.windows(samples, delay=1, history=2).numpy()
        np.testing.assert_array_equal(windows, [[3, 4, 5, 6, 7, 8], [9, 10, 11, 12, 13, 0]])


class TestEsn:
    def test_reservoir(self):
        rng = np.random.default_rng(2)
        recurrent, drive = random_complex(rng, 3, 3) / 4, random_complex(rng, 4, 3)
        inputs = random_complex(rng, 2, 4, 20)
        states = _runner(recurrent, drive, tf.complex128)(tf.constant(inputs))
        for row, u in zip(states.numpy(), inputs, strict=True):
            expected = oracles.tanh_reservoir(u.T, recurrent, drive)
            np.testing.assert_allclose(row.T, expected, atol=1e-10)

    def test_responses_are_those_of_the_linear_network(self):
        """A small sinusoid comes out of every feature with the predicted gain."""
        pilots = random_pilots()
        rng = np.random.default_rng(4)
        recurrent = _reservoir(rng, 3, 0.5)
        drive = random_complex(rng, 4, 3)  # two antennas, window two
        responses = _responses(recurrent, drive, pilots, 2)
        for k in (0, 7):
            tone = np.exp(2j * np.pi * pilots.frequencies[k] * np.arange(100) / 16)
            y = np.stack([1e-4 * tone, np.zeros(100)])
            u = _window(tf.constant(y[None]), 2)
            states = _runner(recurrent, drive, tf.complex128)(u)
            features = tf.concat([states, u], axis=1)[0]
            np.testing.assert_allclose(features[:, -1] / y[0, -1], responses[:, 0, k], atol=1e-6)

    def test_window_holds_delayed_antennas(self):
        y = np.arange(6.0).reshape(1, 2, 3) + 1
        window = _window(tf.constant(y), 2).numpy()[0]
        np.testing.assert_array_equal(window, [[1, 2, 3], [0, 1, 2], [4, 5, 6], [0, 4, 5]])


@pytest.mark.parametrize(
    "name", ["perfect_csi", "genie_wiener", "ls_delay_limited", "joint_lmmse", "ls_lin", "esn"]
)
def test_double_precision(name):
    link = Link(SMALL.replace(num_tx_ant=1, num_rx_ant=2), precision="double")
    config.seed = 3
    slots = link.transmit(2, 50.0)
    llr = tf.function(RECEIVERS[name].build(link, **resolve(name)))(slots)
    errors, _ = link.count(slots, llr)
    assert llr.dtype == tf.float64 and errors.sum() == 0
