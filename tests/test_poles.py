"""Placements of poles against their definitions, and the errors they promise."""

from __future__ import annotations

import numpy as np
import pytest

from rx_fixedpole import poles
from rx_fixedpole.poles import PLACEMENTS, validate

SEEDED = ["disc", "lru", "random_matrix"]


@pytest.mark.parametrize("name", sorted(PLACEMENTS))
@pytest.mark.parametrize("num_poles", [1, 2, 7, 64])
def test_every_placement_gives_as_many_distinct_poles_as_asked(name, num_poles):
    bank = PLACEMENTS[name](num_poles)
    assert bank.shape == (num_poles,)
    assert bank.dtype == np.complex128
    assert len(np.unique(bank.round(12))) == num_poles
    np.testing.assert_array_equal(bank, validate(bank, unit_circle=name == "delays"))


@pytest.mark.parametrize("name", sorted(PLACEMENTS))
def test_every_placement_repeats_itself(name):
    np.testing.assert_array_equal(PLACEMENTS[name](9), PLACEMENTS[name](np.int64(9)))


@pytest.mark.parametrize("name", SEEDED)
def test_seeds_differ_and_repeat(name):
    place = PLACEMENTS[name]
    np.testing.assert_array_equal(place(9, seed=3), place(9, seed=3))
    assert np.all(place(9, seed=3) != place(9, seed=4))


@pytest.mark.parametrize("name", sorted(PLACEMENTS))
@pytest.mark.parametrize(
    ("num_poles", "error"),
    [(0, ValueError), (-3, ValueError), (2.0, TypeError), (True, TypeError), ("4", TypeError)],
)
def test_every_placement_refuses_a_bad_number_of_poles(name, num_poles, error):
    with pytest.raises(error, match="num_poles"):
        PLACEMENTS[name](num_poles)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("ring", "radius"),
        ("disc", "radius"),
        ("real_line", "radius"),
        ("zolotarev", "radius"),
        ("random_matrix", "spectral_radius"),
        ("lru", "max_radius"),
    ],
)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (1.0, ValueError),
        (0.0, ValueError),
        (-0.5, ValueError),
        (float("nan"), ValueError),
        (0.5j, TypeError),
        ("0.5", TypeError),
        (True, TypeError),
        (None, TypeError),
    ],
)
def test_a_bad_radius_is_refused_by_name(name, argument, value, error):
    with pytest.raises(error, match=argument):
        PLACEMENTS[name](4, **{argument: value})


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize(
    ("seed", "error"), [(-1, ValueError), (1.5, TypeError), (None, TypeError), (True, TypeError)]
)
def test_a_bad_seed_is_refused(name, seed, error):
    with pytest.raises(error, match="seed"):
        PLACEMENTS[name](4, seed=seed)


@pytest.mark.parametrize(
    ("name", "arguments", "match"),
    [
        ("ring", {"phase": float("inf")}, "phase"),
        ("log_spaced", {"shortest": 0}, "shortest"),
        ("log_spaced", {"shortest": 5, "longest": 5}, "longest must be above shortest"),
        ("from_delay_spread", {"delay_spread_samples": -1}, "delay_spread_samples"),
        ("delays", {"fft_size": 3}, "span less than fft_size"),
        ("delays", {"fft_size": 16, "spacing": 0}, "spacing"),
        ("lru", {"min_radius": -0.1}, "min_radius"),
        ("lru", {"min_radius": 0.9, "max_radius": 0.9}, "min_radius"),
        ("lru", {"max_phase": 7}, "max_phase"),
    ],
)
def test_impossible_arguments_are_refused(name, arguments, match):
    with pytest.raises(ValueError, match=match):
        PLACEMENTS[name](4, **arguments)


def test_ring_is_the_set_of_roots_of_one_number():
    bank = poles.ring(12, 0.7, phase=0.4)
    np.testing.assert_allclose(bank**12, 0.7**12 * np.exp(12j * 0.4), rtol=1e-13)
    np.testing.assert_allclose(np.angle(bank[0]), 0.4, rtol=1e-14)


def test_disc_is_uniform_by_area():
    # The squared modulus is uniform: mean 1/2 and variance 1/12 of the squared radius.
    area = np.abs(poles.disc(20_000, 0.6, seed=1)) ** 2 / 0.36
    assert abs(area.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / area.size)
    assert abs(np.mean(poles.disc(20_000, 0.6, seed=1))) < 0.6 * 4 / np.sqrt(area.size)


def test_real_line_and_zolotarev_are_real_symmetric_and_rising():
    for bank in (poles.real_line(9), poles.zolotarev(9), poles.zolotarev(10)):
        assert np.all(bank.imag == 0)
        assert np.all(np.diff(bank.real) > 0)
        np.testing.assert_allclose(bank, -bank[::-1], atol=1e-14)
    assert poles.real_line(9, 0.9)[[0, -1]].real.tolist() == [-0.9, 0.9]


def test_log_spaced_time_constants_are_geometric_between_the_two_ends():
    constants = -1 / np.log(poles.log_spaced(6, 2.0, 486.0).real)
    np.testing.assert_allclose(constants, 2.0 * 3.0 ** np.arange(6), rtol=1e-12)
    np.testing.assert_allclose(-1 / np.log(poles.log_spaced(1, 2.0, 8.0).real), 4.0, rtol=1e-12)


@pytest.mark.parametrize(("spread", "radius"), [(2, 0.779), (4, 0.882), (8, 0.939)])
def test_ring_from_delay_spread_lies_where_the_channel_zeros_do(spread, radius):
    np.testing.assert_allclose(np.abs(poles.from_delay_spread(8, spread)), radius, atol=5e-4)
    rng = np.random.default_rng(2)
    profile = np.exp(-np.arange(16 * spread) / (2 * spread))
    taps = profile * (rng.standard_normal((40, profile.size, 2)) @ [1, 1j])
    zeros = np.abs(np.concatenate([np.roots(row) for row in taps]))
    assert abs(np.median(zeros) - radius) < 0.01


def test_random_matrix_reaches_its_spectral_radius_and_not_beyond():
    moduli = np.abs(poles.random_matrix(50, 0.7, seed=5))
    np.testing.assert_allclose(moduli.max(), 0.7, rtol=1e-14)
    # Circular law: half of the eigenvalues lie within 1/sqrt(2) of the radius.
    assert abs(np.mean(moduli < 0.7 / np.sqrt(2)) - 0.5) < 0.2


def test_lru_fills_its_ring_sector():
    bank = poles.lru(20_000, 0.5, 0.9, 0.3, seed=2)
    area = (np.abs(bank) ** 2 - 0.25) / (0.81 - 0.25)
    turn = np.angle(bank) / 0.3
    for sample in (area, turn):
        assert sample.min() > 0
        assert sample.max() < 1
        assert abs(sample.mean() - 1 / 2) < 4 * np.sqrt(1 / 12 / sample.size)


def test_delays_are_the_fourier_kernel_along_subcarriers():
    bank = poles.delays(5, 64, first_lag=-2, spacing=0.5)
    lags = np.array([-2, -1.5, -1, -0.5, 0])
    tones = np.exp(-2j * np.pi * np.outer(np.arange(64), lags) / 64)
    np.testing.assert_allclose(bank ** np.arange(64)[:, None], tones, atol=1e-12)


# --- validate --------------------------------------------------------------------------------


def test_validate_returns_a_double_precision_copy():
    given = np.array([0.1, 0.2j], np.complex64)
    checked = validate(given)
    assert checked.dtype == np.complex128
    checked[0] = 0
    assert given[0] == np.complex64(0.1)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ([[0.1], [0.2]], ValueError, r"shape \(2, 1\)"),
        ([], ValueError, r"shape \(0,\)"),
        (0.5, ValueError, r"shape \(\)"),
        ([[0.1], [0.2, 0.3]], ValueError, "ragged"),
        ([0.1, np.nan], ValueError, "index 1"),
        ([0.1, 1.0], ValueError, r"\|p\| < 1, got \|p\| = 1 at index 1"),
        (["0.5"], TypeError, "dtype"),
        ([True], TypeError, "dtype bool"),
        (None, TypeError, "dtype object"),
    ],
)
def test_validate_names_what_is_wrong(given, error, match):
    with pytest.raises(error, match=f"bank .*{match}"):
        validate(given, name="bank")


def test_validate_accepts_the_unit_circle_only_when_asked_to():
    circle = np.exp(1j * np.linspace(0, 6, 1000))
    np.testing.assert_array_equal(validate(circle, unit_circle=True), circle)
    np.testing.assert_array_equal(
        validate(circle.astype(np.complex64), unit_circle=True), circle.astype(np.complex64)
    )
    with pytest.raises(ValueError, match=r"\|p\| <= 1"):
        validate([1.001], unit_circle=True)
