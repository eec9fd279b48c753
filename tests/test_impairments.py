"""Impairments against NumPy references and their statistics."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import tensorflow as tf

from sims import impairments
from sims.impairments import IMPAIRMENTS, LINK_PARAMETERS, link_parameters, own_parameters

FACTS = (64, 1.92e6, 0.1)


@pytest.fixture
def rng():
    return tf.random.Generator.from_seed(5)


@pytest.fixture(scope="module")
def samples():
    """Waveforms [2, 3, 500] of unequal power."""
    draws = np.random.default_rng(3).normal(size=[2, 2, 3, 500])
    scale = np.array([[0.3, 1, 2], [4, 0.1, 1]])
    return scale[..., None] * (draws[0] + 1j * draws[1])


def run(name, x, rng, **parameters):
    function = IMPAIRMENTS[name][1]
    return function(tf.constant(x), rng, **parameters, **link_parameters(function, *FACTS)).numpy()


@pytest.mark.parametrize(("p", "backoff_db"), [(2.0, 0.0), (1.3, 3.0), (20.0, -3.0)])
def test_rapp_amplifier_is_that_of_the_definition(samples, rng, p, backoff_db):
    y = run("rapp_pa", samples, rng, p=p, input_backoff_db=backoff_db)
    expected = [[oracles.rapp(w, p, backoff_db) for w in row] for row in samples]
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_rapp_amplifier_far_in_saturation_gives_the_saturation_amplitude(rng):
    x = np.array([[1.0, 1j, -1.0, 3.0]], np.complex64)
    y = run("rapp_pa", x, rng, p=20.0, input_backoff_db=-60.0)
    np.testing.assert_allclose(np.abs(y), np.sqrt(3) * 1e-3, rtol=1e-5)


@pytest.mark.parametrize(("num_bits", "clip_level"), [(1, 1.0), (3, 2.0), (8, 4.0)])
def test_converter_gives_the_nearest_level(samples, rng, num_bits, clip_level):
    y = run("adc", samples, rng, num_bits=num_bits, clip_level=clip_level)
    for got, x in zip(y.reshape(-1, 500), samples.reshape(-1, 500), strict=True):
        full_scale = clip_level * np.sqrt(np.mean(np.abs(x) ** 2) / 2)
        expected = [oracles.mid_rise(v, num_bits, full_scale) for v in (x.real, x.imag)]
        np.testing.assert_allclose([got.real, got.imag], expected, rtol=1e-12)


def test_frequency_offset_moves_a_tone_by_a_subcarrier(rng):
    n = np.arange(128)
    tone = np.exp(2j * np.pi * 3 * n / 64)[None]
    y = run("cfo", tone, rng, subcarriers=-1.5)
    np.testing.assert_allclose(y, np.exp(2j * np.pi * 1.5 * n / 64)[None], atol=1e-12)


def test_phase_noise_is_a_wiener_process_common_to_the_antennas(rng):
    y = run("phase_noise", np.ones([400, 2, 501], np.complex128), rng, linewidth=2000.0)
    np.testing.assert_allclose(np.abs(y), 1, rtol=1e-12)
    np.testing.assert_array_equal(y[:, 0], y[:, 1])
    phase = np.unwrap(np.angle(y[:, 0]))
    np.testing.assert_array_equal(phase[:, 0], 0)
    variance = 2 * np.pi * 2000 / FACTS[1]
    steps = np.diff(phase)
    assert abs(np.var(steps) / variance - 1) < 4 * np.sqrt(2 / steps.size)
    # Independent steps: the variance grows in proportion to time, in every slot on its own.
    end = phase[:, 500]
    assert abs(np.var(end) / (500 * variance) - 1) < 4 * np.sqrt(2 / end.size)


def test_impulses_have_the_given_rate_and_power(rng):
    y = run(
        "impulsive_noise",
        np.zeros([20, 10_000], np.complex128),
        rng,
        probability=0.02,
        power_db=13.0,
    )
    hits = y[y != 0]
    sigma = np.sqrt(0.02 * 0.98 / y.size)
    assert abs(hits.size / y.size - 0.02) < 4 * sigma
    power = FACTS[2] * 10**1.3
    assert abs(np.mean(np.abs(hits) ** 2) / power - 1) < 4 / np.sqrt(hits.size)
    assert abs(np.mean(hits**2)) < 4 * power / np.sqrt(hits.size)


@pytest.mark.parametrize("name", IMPAIRMENTS)
@pytest.mark.parametrize("dtype", [tf.complex64, tf.complex128])
def test_every_impairment_runs_as_a_graph_and_keeps_shape_and_precision(samples, name, dtype, rng):
    stage, function = IMPAIRMENTS[name]
    assert stage in ("tx", "rx")
    x = tf.cast(samples, dtype)
    facts = link_parameters(function, *FACTS)
    graph = tf.function(lambda v: function(v, rng, **own_parameters(function), **facts))
    rng.reset_from_seed(9)
    y = graph(x)
    rng.reset_from_seed(9)
    eager = function(x, rng, **own_parameters(function), **facts)
    assert y.dtype == dtype
    assert not np.allclose(y, x, rtol=1e-4, atol=0)
    np.testing.assert_allclose(y, eager, rtol=1e-4 if dtype == tf.complex64 else 1e-10)


@pytest.mark.parametrize("name", IMPAIRMENTS)
def test_every_own_parameter_has_a_default_and_none_is_the_links(name):
    own = own_parameters(IMPAIRMENTS[name][1])
    assert own
    assert not set(own) & set(LINK_PARAMETERS)
    assert all(isinstance(value, float | int) for value in own.values())


@pytest.mark.parametrize(
    ("function", "parameters", "message"),
    [
        (impairments.rapp_pa, {"p": 0.0}, "p must be"),
        (impairments.rapp_pa, {"input_backoff_db": np.inf}, "input_backoff_db must be"),
        (impairments.adc, {"num_bits": 0}, "num_bits must be"),
        (impairments.adc, {"clip_level": -1.0}, "clip_level must be"),
        (impairments.cfo, {"subcarriers": np.nan}, "subcarriers must be"),
        (impairments.phase_noise, {"linewidth": -1.0}, "linewidth must be"),
        (impairments.impulsive_noise, {"probability": 1.5}, "probability must be"),
        (impairments.impulsive_noise, {"power_db": np.nan}, "power_db must be"),
    ],
)
def test_what_is_out_of_range_is_refused(rng, function, parameters, message):
    with pytest.raises(ValueError, match=message):
        function(
            tf.zeros([1, 4], tf.complex64), rng, **parameters, **link_parameters(function, *FACTS)
        )
