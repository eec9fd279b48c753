"""Poles against closed forms, brute force, and their own promises."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import pole_sequences, takenaka_malmquist_factor, takenaka_malmquist_sequences

from rx_fixedpole import poles
from rx_fixedpole.poles import PLACEMENTS, approximation_error, gram_condition, validate

INSIDE = sorted(set(PLACEMENTS) - {"delays"})
SEEDED = ["disc", "lru", "random_matrix"]
RADIUS, NUM_POLES = 0.95, 16


def worst_real_error(bank, radius=RADIUS):
    return approximation_error(np.linspace(-radius, radius, 20001), bank).max()


# --- placements ------------------------------------------------------------------------------


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


# --- error law -------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.9, -0.3 + 0.6j, 0.05j])
@pytest.mark.parametrize("name", INSIDE)
def test_error_law_is_what_least_squares_reaches(name, alpha):
    bank = PLACEMENTS[name](5)
    # 3000 samples leave nothing of the slowest default pole, exp(-1/64).
    target = alpha ** np.arange(3000)
    basis, _ = np.linalg.qr(pole_sequences(bank, target.size))
    residual = target - basis @ (basis.conj().T @ target)
    brute = np.linalg.norm(residual) / np.linalg.norm(target)
    np.testing.assert_allclose(approximation_error(alpha, bank), brute, rtol=1e-8, atol=1e-12)


def test_error_law_holds_for_repeated_poles():
    alpha, pole, number = 0.4 + 0.5j, 0.6 - 0.2j, np.arange(400)
    target, basis = alpha**number, np.stack([pole**number, number * pole**number], axis=1)
    weights = np.linalg.lstsq(basis, target, rcond=None)[0]
    brute = np.linalg.norm(target - basis @ weights) / np.linalg.norm(target)
    np.testing.assert_allclose(approximation_error(alpha, [pole, pole]), brute, rtol=1e-10)


def test_error_law_of_a_ring_in_closed_form():
    alpha = 0.9 * np.exp(1j * np.linspace(0, 3, 7))
    expected = np.abs(alpha**6 - 0.5**6) / np.abs(1 - (0.5 * alpha) ** 6)
    np.testing.assert_allclose(approximation_error(alpha, poles.ring(6, 0.5)), expected, rtol=1e-13)


def test_error_law_keeps_the_shape_of_the_target_and_vanishes_on_the_poles():
    bank = poles.disc(6, seed=7)
    errors = approximation_error(bank.reshape(2, 3), bank)
    np.testing.assert_array_equal(errors, np.zeros((2, 3)))
    assert np.shape(approximation_error(0.3, bank)) == ()


def test_error_law_of_many_poles_multiplies():
    bank = poles.disc(2000, 0.99, seed=3)
    parts = [approximation_error(0.995, half) for half in (bank[:1000], bank[1000:])]
    np.testing.assert_allclose(approximation_error(0.995, bank), np.prod(parts), rtol=1e-12)
    assert 0 < approximation_error(0.995, bank) < 1e-3


@pytest.mark.parametrize(("target", "bank"), [(1.0, [0.5]), (0.5, [1.0]), (0.5, [[0.5]])])
def test_error_law_refuses_what_is_not_inside_the_circle(target, bank):
    with pytest.raises(ValueError, match="target" if target == 1 else "poles"):
        approximation_error(target, bank)


def test_zolotarev_is_minimax_on_the_interval():
    worst = worst_real_error(poles.zolotarev(NUM_POLES))
    assert worst == pytest.approx(2.321e-4, rel=1e-3)
    assert worst_real_error(poles.real_line(NUM_POLES)) == pytest.approx(1.92e-2, rel=2e-3)
    # All K + 1 extrema are equally high (equioscillation), so no pole can be moved for the better.
    grid = np.linspace(-RADIUS, RADIUS, 200_001)
    errors = approximation_error(grid, poles.zolotarev(NUM_POLES))
    padded = np.pad(errors, 1)
    peaks = errors[(errors >= padded[:-2]) & (errors >= padded[2:])]
    assert peaks.size == NUM_POLES + 1
    np.testing.assert_allclose(peaks, worst, rtol=1e-4)


@pytest.mark.parametrize("num_poles", [8, 16, 24])
def test_zolotarev_meets_its_rate(num_poles):
    angle = np.linspace(0, np.pi / 2, 100_001)[:-1] + np.pi / 400_000
    quarter = {
        m: np.mean((1 - m * np.sin(angle) ** 2) ** -0.5) * np.pi / 2
        for m in (RADIUS**4, 1 - RADIUS**4)
    }
    rate = np.exp(-np.pi * quarter[1 - RADIUS**4] / (4 * quarter[RADIUS**4]))
    assert worst_real_error(poles.zolotarev(num_poles)) == pytest.approx(2 * rate**num_poles, 1e-2)


@pytest.mark.parametrize(
    ("place", "needed"),
    [(poles.zolotarev, 14), (poles.real_line, 32), (np.zeros, 135)],
    ids=["zolotarev", "real_line", "delay_line"],
)
def test_poles_needed_for_an_error_of_one_in_a_thousand(place, needed):
    assert worst_real_error(place(needed)) <= 1e-3 < worst_real_error(place(needed - 1))


# --- Gram condition --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_poles", "radius", "figure"), [(16, 0.8, 807.79), (16, 0.95, 4.659), (64, 0.5, None)]
)
def test_gram_condition_of_a_ring_in_closed_form(num_poles, radius, figure):
    expected = radius ** (-2 * (num_poles - 1))
    for phase in (0.0, 0.3):
        condition = gram_condition(poles.ring(num_poles, radius, phase))
        assert condition == pytest.approx(expected, rel=1e-12)
    assert figure is None or condition == pytest.approx(figure, rel=1e-4)


@pytest.mark.parametrize("name", INSIDE)
def test_gram_condition_is_that_of_long_impulse_responses(name):
    bank = PLACEMENTS[name](4)
    sequences = pole_sequences(bank, 4000)
    sequences /= np.linalg.norm(sequences, axis=0)
    brute = np.linalg.cond(sequences) ** 2
    assert gram_condition(bank) == pytest.approx(brute, rel=1e-8)


def test_gram_condition_is_right_where_the_gram_matrix_is_singular_in_double_precision():
    bank = poles.disc(48, seed=1)
    factor = takenaka_malmquist_factor(bank)
    factor /= np.linalg.norm(factor, axis=0)
    expected = np.linalg.cond(factor) ** 2
    assert expected > 1e19
    assert gram_condition(bank) == pytest.approx(expected, rel=1e-5)


def test_parallel_gram_of_the_published_example_and_its_orthonormal_twin():
    bank = poles.disc(24, RADIUS)
    assert 1e13 < gram_condition(bank) < 1e15
    assert abs(gram_condition(bank, basis="orthonormal") - 1) < 1e-12


@pytest.mark.parametrize("name", INSIDE)
def test_takenaka_malmquist_state_space_is_the_cascade(name):
    bank = PLACEMENTS[name](6)
    transition, state = poles.quality._orthonormal_state_space(bank)
    rows = [state]
    for _ in range(199):
        rows.append(transition @ rows[-1])
    np.testing.assert_allclose(rows, takenaka_malmquist_sequences(bank, 200), atol=1e-12)


@pytest.mark.parametrize("bank", [poles.disc(24, seed=4), np.full(12, 0.9j), [0.5, 0.5 + 1e-9]])
def test_orthonormal_basis_is_perfectly_conditioned(bank):
    assert gram_condition(bank, basis="orthonormal") == pytest.approx(1, abs=1e-12)
    sequences = takenaka_malmquist_sequences(bank, 4000)
    np.testing.assert_allclose(sequences.conj().T @ sequences, np.eye(len(bank)), atol=1e-12)


def test_gram_condition_of_coinciding_poles_is_infinite_and_grows_on_the_way():
    assert gram_condition([0.5, 0.5]) == np.inf
    near, nearer = (gram_condition([0.5, 0.5 + gap]) for gap in (1e-3, 1e-4))
    assert nearer / near == pytest.approx(100, rel=1e-2)


def test_gram_condition_does_not_depend_on_order_rotation_or_conjugation():
    bank = poles.disc(10, seed=8)
    condition = gram_condition(bank)
    for other in (bank[::-1], bank * np.exp(0.7j), bank.conj()):
        assert gram_condition(other) == pytest.approx(condition, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"poles": [1.0]}, "poles must satisfy"),
        ({"poles": poles.delays(4)}, "poles must satisfy"),
        ({"poles": [0.5], "basis": "laguerre"}, "basis must be one of .*'laguerre'"),
    ],
)
def test_gram_condition_refuses_what_it_cannot_do(arguments, match):
    with pytest.raises(ValueError, match=match):
        gram_condition(**arguments)
