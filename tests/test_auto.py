"""The receiver that chooses: its measure against really leaving pilots out, and its choices."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from rx_fixedpole.receivers import AutoReceiver, FixedPoleEqualizer, auto
from rx_fixedpole.receivers.choice import Candidate, CommonPilots, choose, factor, rate
from rx_fixedpole.receivers.curvature import Curvature
from rx_fixedpole.receivers.held_out import HeldOut
from rx_fixedpole.receivers.layout import StreamLayout
from rx_fixedpole.receivers.pilot_noise import shown
from rx_fixedpole.receivers.time_candidates import trained_candidate
from tests.modes import complex_normal
from tests.test_equalizer import L_MIN, make_grid, management, random_taps, send, wrong_signs


def test_the_held_out_estimate_is_that_of_the_other_pilots():
    """A posterior mean at a fixed prior, with and without each pilot."""
    rng, size, no = np.random.default_rng(0), 12, 0.3
    root = complex_normal(1, size, 4)
    prior = root @ root.conj().T
    sent = np.exp(2j * np.pi * rng.random(size))
    y = complex_normal(2, size)

    def posterior(keep):
        design = np.diag(sent)[keep]
        gain = prior @ design.conj().T
        gain = gain @ np.linalg.inv(design @ gain + no * np.eye(len(design)))
        return gain @ y[keep], np.diag(prior - gain @ design @ prior).real

    h, err = posterior(np.arange(size))
    held_out = HeldOut(np.arange(size), sent[:, None], size)
    scaled = [x.reshape(1, 1, 1, size) for x in (y / no**0.5, err / no)]
    got = held_out(
        tf.constant(scaled[0]), tf.constant(h.reshape(1, 1, 1, 1, size) / no**0.5),
        tf.constant(scaled[1]),
    )  # fmt: skip
    for p in range(size):
        expected = posterior(np.delete(np.arange(size), p))
        np.testing.assert_allclose(got[0][0, 0, 0, 0, p], expected[0][p] / no**0.5, atol=1e-10)
        np.testing.assert_allclose(got[1][0, 0, 0, p], expected[1][p] / no, atol=1e-10)


def test_an_estimate_that_follows_the_interference_is_found_out():
    """Interference of 30 dB of which leverage leaves next to nothing, and noise alone."""
    interference = complex_normal(1, 2, 3, 60)
    power = np.mean(np.abs(interference) ** 2, axis=(1, 2), keepdims=True)
    interference = interference * np.sqrt(np.array([[[1000.0]], [[1.0]]]) / power)
    for leverage in (0.2, 0.99):
        left = tf.constant(np.full((2, 60), leverage))
        error = tf.constant(interference * (1 - leverage))
        witness = tf.constant(interference * 0.9), tf.constant(np.full((2, 60), 0.9))
        excess, factor = shown(error, left, *witness)
        assert excess.numpy().tolist() == [True, False]
        # Noise that is seen: 0.9 of it, and what a leverage of 0.99, taken for 0.95, leaves of it
        expected = 0.9 / (0.01**2 / 0.05) if leverage > 0.9 else 1.0
        np.testing.assert_allclose(factor[0], expected, rtol=1e-6)


def test_the_better_candidate_is_taken_slot_by_slot():
    def candidate(value, power, stated):
        data = np.full((3, 1, 1, 2), value, np.float32)
        pilots = np.ones((3, 1, 1, 4), np.float32)
        return Candidate(
            tf.constant(data + 0j, tf.complex64), tf.constant(np.full_like(data, stated)),
            tf.constant(pilots * np.reshape(power, (3, 1, 1, 1)).astype(np.float32)),
            tf.constant(pilots * np.float32(stated)),
        )  # fmt: skip

    first = candidate(1, [0.1, 0.4, 0.4], 0.1)
    second = candidate(2, [0.2, 0.2, np.nan], 0.4)
    yes = tf.constant([True] * 3)
    x_hat, no_eff, best = choose([first, second], [yes, yes])
    assert best.numpy().tolist() == [0, 1, 0]
    np.testing.assert_allclose(x_hat[:, 0, 0, 0], [1, 2, 1])
    np.testing.assert_allclose(no_eff[:, 0, 0, 0], [0.1, 0.2, 0.4], rtol=1e-6)
    assert choose([first, second], [yes, ~yes])[2].numpy().tolist() == [0, 0, 0]
    np.testing.assert_allclose(factor(first)[:, 0, 0], [1, 4, 4], rtol=1e-6)
    np.testing.assert_allclose(rate(first), np.log2(1 + 1 / np.array([0.1, 0.4, 0.4])), rtol=1e-5)


@pytest.mark.usefixtures("eagerly")
def test_errors_on_pilots_are_those_on_data():
    """The trained equalizer at low SNR, where gain and sign of the errors matter."""
    grid = make_grid(symbols=8, pilot_symbols=(1, 5))
    equalizer = FixedPoleEqualizer(grid, management(grid), window=6, l_min=L_MIN)
    taps = random_taps(np.random.default_rng(1), 2, 1, 3)
    y, _, data = send(grid, taps, 0.5, batch=60)
    layout = StreamLayout(grid, management(grid))
    common = equalizer, CommonPilots(grid), layout, tf.constant(y), 0.5
    found = trained_candidate(*common, by_symbol=False)
    measured = np.mean(np.abs(found.x_hat - data) ** 2)
    assert abs(np.mean(found.power) / measured - 1) < 0.1


@pytest.mark.usefixtures("eagerly")
def test_pilots_alone_and_by_symbols_bracket_the_error_on_data_that_move():
    """Weights that are a line in time, for a channel that turns by half a circle."""
    grid = make_grid(symbols=8, pilot_symbols=(1, 3, 4, 6), cp=0)
    equalizer = FixedPoleEqualizer(grid, management(grid), window=4, l_min=L_MIN, tracking=True)
    y, _, data = send(grid, random_taps(np.random.default_rng(1), 2, 1, 2), 0.01, batch=20)
    y = y * np.exp(1j * np.pi * np.arange(y.shape[-1]) / y.shape[-1]).astype(np.complex64)
    layout = StreamLayout(grid, management(grid))
    common = equalizer, CommonPilots(grid), layout, tf.constant(y), 0.01
    alone, found = (trained_candidate(*common, by_symbol=whole) for whole in (False, True))
    alone, by_symbols = np.mean(alone.power), np.mean(found.power)
    on_data = np.mean(np.abs(found.x_hat - data) ** 2)
    assert alone < on_data < by_symbols


def test_what_a_line_misses_between_pilot_symbols():
    """A line in time has none of it, a parabola what NumPy's fit of a line leaves."""
    grid = make_grid(streams=2, symbols=8, pilot_symbols=(1, 6))
    pilots = CommonPilots(grid).elements
    curvature = Curvature(grid, pilots, StreamLayout(grid, management(grid)))
    t, size = np.arange(8.0)[:, None], int(grid.num_effective_subcarriers)
    line = complex_normal(0, 3, 1, 2, 1, 2, 1, size) + t * complex_normal(1, 3, 1, 2, 1, 2, 1, size)
    no_error = np.zeros((3, 1, 1, 1, 2, 8, size))
    np.testing.assert_allclose(curvature(tf.constant(line), tf.constant(no_error)), 0, atol=1e-20)
    h = line + 0.1 * t**2 * complex_normal(2, 3, 1, 2, 1, 2, 1, size)
    error = 0.1 + 0.02 * t * (7 - t) + no_error  # wider between the pilots
    expected = np.zeros((3, 1, 2))
    every = np.broadcast_to(error, h.shape)  # antenna has it
    for value, measure in ((h, lambda x: np.abs(x) ** 2), (every, lambda x: np.maximum(x, 0))):
        flat = np.moveaxis(value, -2, 0).reshape(8, -1)
        ends = flat[1] + (t - 1) * (flat[6] - flat[1]) / 5
        left = np.moveaxis((flat - ends).reshape(8, *value.shape[:-2], size), 0, -2)
        expected += np.sum(measure(left), axis=(1, 2, 5, 6)).reshape(3, 1, 2)
    expected /= np.sum(np.abs(h) ** 2, axis=(1, 2, 5, 6)).reshape(3, 1, 2)
    np.testing.assert_allclose(curvature(tf.constant(h), tf.constant(error)), expected, rtol=1e-9)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    ("cp", "interference", "l_max", "expected"),
    [(6, 0, 6, {0, 1}), (6, 3, 6, {3}), (6, 3, None, {3}), (0, 0, 6, {2, 3})],
)
def test_it_takes_what_the_slot_needs(cp, interference, l_max, expected):
    """Thermal noise alone, an interferer far above it that no model knows, no prefix."""
    grid = make_grid(symbols=8, pilot_symbols=(1, 5), fft=64, cp=cp)
    taps = random_taps(np.random.default_rng(2), 4, 1, 4)
    no = 1e-2
    y, _, data = send(grid, taps, no, batch=6, seed=3)
    signature = complex_normal(4, 4)[:, None] * interference
    y = y + (signature * complex_normal(5, *y.shape[:2], 1, y.shape[-1])).astype(y.dtype)
    receiver = AutoReceiver(grid, management(grid), l_min=L_MIN, l_max=l_max)
    x_hat, no_eff, best = receiver.chosen(y, no)
    chosen = best.numpy()
    assert np.mean([c in expected for c in chosen]) >= 0.5, chosen
    assert wrong_signs(x_hat, data) == 0
    ratio = np.mean(np.abs(x_hat - data) ** 2 / no_eff)
    assert 0.6 < ratio < 1.6


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("pilot_symbols", [(1, 5), (1, 4, 6)])
def test_eager_graph_and_xla_agree(precision, pilot_symbols, monkeypatch):
    """What every part makes of slots that need them all, and what is measured of it."""
    dtype = np.complex64 if precision == "single" else np.complex128
    grid = make_grid(streams=2, symbols=8, pilot_symbols=pilot_symbols, cp=0)
    y, _, _ = send(grid, random_taps(np.random.default_rng(6), 3, 2, 3), 0.1, dtype=dtype)
    receiver = AutoReceiver(grid, management(grid), l_min=L_MIN, precision=precision)
    # Less noise than there is, so that all parts run
    no = tf.constant(0.01, tf.float64 if precision == "double" else tf.float32)
    # All candidates in the place of the choice
    monkeypatch.setattr(auto, "choose", lambda found, allowed: [found, allowed])
    eager = tf.nest.flatten(receiver.chosen(tf.constant(y), no))
    assert len(eager) == 4 * 5 + 5 and np.all(eager[-5:])
    tolerance = 2e-3 if precision == "single" else 1e-8
    for jit_compile in (False, True):
        compiled = tf.function(receiver.chosen, jit_compile=jit_compile)(tf.constant(y), no)
        for got, expected in zip(tf.nest.flatten(compiled), eager, strict=True):
            if got.dtype != tf.bool:
                scale = np.max(np.abs(expected))
                np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


BAD = {
    "resource_grid": (dict(resource_grid=3), TypeError),
    "stream_management": (dict(stream_management=3), TypeError),
    "parts must be one of": (dict(parts=["mmse"]), ValueError),
    "parts must hold": (dict(parts=["wiener"]), ValueError),
    "l_min": (dict(l_min=2), ValueError),
    "precision": (dict(precision="half"), ValueError),
    "dealy": (dict(dealy=7), TypeError),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_named(name):
    grid = make_grid()
    options, error = BAD[name]
    arguments = dict(resource_grid=grid, stream_management=management(grid))
    with pytest.raises(error, match=name):
        AutoReceiver(**arguments | options)
