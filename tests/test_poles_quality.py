"""The error law and the Gram condition against closed forms and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import pole_sequences, takenaka_malmquist_factor, takenaka_malmquist_sequences

from rx_fixedpole import poles
from rx_fixedpole.poles import PLACEMENTS, approximation_error, gram_condition

INSIDE = sorted(set(PLACEMENTS) - {"delays"})
RADIUS, NUM_POLES = 0.95, 16


def worst_real_error(bank, radius=RADIUS):
    return approximation_error(np.linspace(-radius, radius, 20001), bank).max()


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
