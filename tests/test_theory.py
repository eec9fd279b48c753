"""The paper's statements on random complex systems, against exact arithmetic and long sums."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from rx_fixedpole import theory
from rx_fixedpole.theory import (
    coalescence_constant,
    condition_number,
    full_hessian,
    gradient,
    hessian,
    identify,
    impulse_response,
    loss,
    segment_loss,
    vandermonde,
    vandermonde_rank,
)

ORDERS = [1, 2, 3, 4, 5, 6]
SYSTEMS = 40
RADII = 0.3, 0.95
SEPARATION = 0.2


def random_system(rng, num_poles):
    """Return complex gains and poles, no two poles nearer than SEPARATION."""
    while True:
        radii = np.sqrt(rng.uniform(RADII[0] ** 2, RADII[1] ** 2, num_poles))
        poles = radii * np.exp(2j * np.pi * rng.uniform(size=num_poles))
        if np.min(np.abs(poles[:, None] - poles) + 9 * np.eye(num_poles)) >= SEPARATION:
            gains = rng.uniform(0.5, 1.5, num_poles)
            return gains * np.exp(2j * np.pi * rng.uniform(size=num_poles)), poles


def random_systems(num_poles, count=SYSTEMS):
    rng = np.random.default_rng(num_poles)
    return [random_system(rng, num_poles) for _ in range(count)]


def sequences(poles, num_samples=800):
    """Return beta_k^n and n beta_k^(n-1) as columns, in extended precision.

    What is cut off is of the order 0.95^1600 = 2e-36 of a sum of squares.
    """
    n = np.arange(num_samples)[:, None]
    poles = np.asarray(poles, np.clongdouble)
    return poles**n, n * poles ** np.maximum(n - 1, 0)


def response(gains, poles):
    return sequences(poles)[0] @ np.asarray(gains, np.clongdouble)


def energy(gains, poles):
    return float(np.sum(np.abs(response(gains, poles)) ** 2))


def exact_loss(poles, true_poles):
    points = [Fraction(p) for p in [*poles, *true_poles]]
    signs = [1] * len(poles) + [-1] * len(true_poles)
    signed = list(zip(signs, points, strict=True))
    return float(sum(s * t / (1 - x * y) for (s, x), (t, y) in product(signed, signed)))


def exact_condition(c, d):
    """Return kappa of 2 [[g(cc), g(cd)], [g(cd), g(dd)]] in sixty digits."""

    def entry(a, b):
        p = Fraction(a) * Fraction(b)
        return (1 + p) / (1 - p) ** 3

    with localcontext() as context:
        context.prec = 60
        trace = entry(c, c) + entry(d, d)
        determinant = entry(c, c) * entry(d, d) - entry(c, d) ** 2
        t, q = (Decimal(x.numerator) / Decimal(x.denominator) for x in (trace, determinant))
        return float((t + (t * t - 4 * q).sqrt()) ** 2 / (4 * q))


def mismatch(found, gains, poles):
    """Return the largest error of poles and gains under the best assignment."""
    distances = np.abs(found[1][:, None] - poles)
    ours, theirs = linear_sum_assignment(distances)
    gain_errors = np.abs(found[0][ours] - gains[theirs])
    return max(np.max(distances[ours, theirs]), np.max(gain_errors))


# --- Lemma 3.1: independent sequences ----------------------------------------------------------


@pytest.mark.parametrize("num_poles", ORDERS)
def test_lemma_3_1_distinct_poles_give_independent_sequences(num_poles):
    for _, poles in random_systems(num_poles):
        for num_samples in (1, num_poles - 1, num_poles, 3 * num_poles):
            if num_samples:
                expected = min(num_samples, num_poles)
                assert vandermonde_rank(poles, num_samples) == expected
        square = vandermonde(poles, num_poles)
        differences = [poles[j] - poles[i] for j in range(num_poles) for i in range(j)]
        np.testing.assert_allclose(np.linalg.det(square), np.prod(differences), rtol=1e-10)


def test_lemma_3_1_holds_on_and_outside_the_circle_and_for_a_pole_at_zero():
    assert vandermonde_rank([0.0, 1.0, -1.0, 1.5j, 3.0], 5) == 5
    np.testing.assert_array_equal(vandermonde([0, 2], 3), [[1, 1], [0, 2], [0, 4]])


def test_numerical_rank_does_not_tell_apart_what_rounding_hides():
    assert vandermonde_rank([0.5, 0.5 + 1e-3], 2) == 2
    assert vandermonde_rank([0.5, np.nextafter(0.5, 1)], 2) == 1


# --- Theorem 3.2: identification ---------------------------------------------------------------


@pytest.mark.parametrize("terms", [2, 2.5, 5], ids=lambda m: f"{m}K")
@pytest.mark.parametrize("num_poles", ORDERS)
def test_theorem_3_2_first_2k_terms_fix_poles_and_gains(num_poles, terms):
    for gains, poles in random_systems(num_poles):
        h = vandermonde(poles, int(np.ceil(terms * num_poles))) @ gains
        assert mismatch(identify(h, num_poles), gains, poles) < 1e-6


@pytest.mark.parametrize("num_poles", ORDERS)
def test_theorem_3_2_outputs_of_a_known_input_fix_poles_and_gains(num_poles):
    rng = np.random.default_rng(100 + num_poles)
    for gains, poles in random_systems(num_poles):
        known = (rng.choice([-1, 1], (2 * num_poles, 2)) @ [1, 1j]) / np.sqrt(2)
        h = vandermonde(poles, 2 * num_poles) @ gains
        outputs = np.convolve(known, h)[: 2 * num_poles]
        np.testing.assert_allclose(impulse_response(outputs, known), h, rtol=1e-7, atol=1e-9)
        found = identify(impulse_response(outputs, known), num_poles)
        assert mismatch(found, gains, poles) < 1e-6


@pytest.mark.parametrize("num_poles", ORDERS)
def test_theorem_3_2_one_term_fewer_fixes_nothing(num_poles):
    """Another system has the same 2K - 1 terms; its poles may lie far outside the circle."""
    for gains, poles in random_systems(num_poles):
        h = vandermonde(poles, 2 * num_poles) @ gains
        changed = np.append(h[:-1], h[-1] + 0.5)
        other_gains, other_poles = identify(changed, num_poles)
        again = vandermonde(other_poles, 2 * num_poles) @ other_gains
        np.testing.assert_allclose(again, changed, atol=1e-9)
        assert mismatch((other_gains, other_poles), gains, poles) > 1e-3


@pytest.mark.parametrize("num_poles", [2, 4])
def test_theorem_3_2_needs_gains_other_than_zero(num_poles):
    gains, poles = random_systems(num_poles, 1)[0]
    gains[0] = 0
    with pytest.raises(ValueError, match=f"h must .* num_poles = {num_poles} poles"):
        identify(vandermonde(poles, 3 * num_poles) @ gains, num_poles)


def test_theorem_3_2_finds_a_pole_at_zero_and_poles_outside_the_circle():
    poles, gains = np.array([0.0, 1.25, -0.5j]), np.array([2.0, -1.0, 1j])
    assert mismatch(identify(vandermonde(poles, 6) @ gains, 3), gains, poles) < 1e-10
    poles, gains = np.array([0.5, -0.4j, 1e3]), np.array([1.0, 1.0, 1e-15])
    found = identify(vandermonde(poles, 6) @ gains, 3)
    assert mismatch(found, gains, poles) < 1e-9
    assert np.min(np.abs(found[0])) == pytest.approx(1e-15, rel=1e-6)


# --- Lemma 3.3 and Corollary 3.4: permutations -------------------------------------------------


@pytest.mark.parametrize("num_poles", [1, 2, 3, 4])
def test_lemma_3_3_every_permutation_of_a_solution_is_one(num_poles):
    for gains, poles in random_systems(num_poles, 10):
        total = energy(gains, poles)
        for order in permutations(range(num_poles)):
            at = list(order)
            assert 0 <= loss(poles[at], poles, gains[at], gains) < 1e-26 * total
        if num_poles > 1:
            # Gains must move with their poles.
            at = np.roll(np.arange(num_poles), 1)
            assert loss(poles[at], poles, gains, gains) > 1e-6 * total


@pytest.mark.parametrize("num_poles", [2, 3, 4])
@pytest.mark.parametrize("equal_gains", [True, False])
def test_corollary_3_4_no_point_between_two_permutations_is_a_solution(num_poles, equal_gains):
    where = np.linspace(0, 1, 21)
    for gains, poles in random_systems(num_poles, 10):
        given = None if equal_gains else gains
        total = energy(np.ones(num_poles) if equal_gains else gains, poles)
        for order in list(permutations(range(num_poles)))[1:]:
            losses = segment_loss(poles, order, where, given)
            assert max(losses[0], losses[-1]) < 1e-26 * total
            # A convex function would be at most zero here.
            assert np.min(losses[1:-1]) > 1e-9 * total


def test_corollary_3_4_is_void_for_one_pole():
    """K = 1: the only permutation is the identity, and the loss may well be convex."""
    where, line = np.linspace(0, 1, 11), np.linspace(-0.95, 0.95, 381)
    assert len(list(permutations(range(1)))) == 1
    for gains, poles in random_systems(1):
        assert np.max(segment_loss(poles, [0], where, gains)) < 1e-26 * energy(gains, poles)
    assert np.min(np.diff(loss(line[:, None], [0.5]), 2)) > 0
    # Nor does K = 1 promise convexity: near the circle the loss bends for reasons of its own.
    assert np.min(np.diff(loss(line[:, None], [0.9]), 2)) < 0


# --- Lemma 3.5: the Hessian at a solution ------------------------------------------------------


@pytest.mark.parametrize("num_poles", ORDERS)
def test_lemma_3_5_hessian_is_the_gram_matrix_of_derivative_sequences(num_poles):
    for gains, poles in random_systems(num_poles, 10):
        columns = sequences(poles)[1] * gains
        expected = 2 * columns.conj().T @ columns
        scale = float(np.max(np.abs(expected)))
        found = hessian(poles, gains)
        np.testing.assert_allclose(found, expected.astype(complex), rtol=1e-10, atol=1e-13 * scale)
        np.testing.assert_array_equal(found, found.conj().T)


@pytest.mark.parametrize("num_poles", ORDERS)
def test_lemma_3_5_hessian_is_the_derivative_of_the_gradient(num_poles):
    rng = np.random.default_rng(num_poles)
    for gains, poles in random_systems(num_poles, 10):
        step = 1e-5 * (rng.normal(size=(2, num_poles)).T @ [1, 1j])
        ahead, behind = (gradient(poles + s * step, poles, gains, gains) for s in (1, -1))
        matrix = hessian(poles, gains)
        scale = np.linalg.norm(matrix, 2) * np.linalg.norm(step)
        np.testing.assert_allclose((ahead - behind) / 2, matrix @ step, atol=1e-5 * scale)


@pytest.mark.parametrize("num_poles", ORDERS)
def test_lemma_3_5_hessian_of_distinct_poles_is_positive_definite(num_poles):
    for gains, poles in random_systems(num_poles):
        assert np.linalg.eigvalsh(hessian(poles, gains))[0] > 0


FIGURES = [
    (0.75, 0.8, 91.765098, 5e-7),
    (0.79, 0.8, 1783.5625, 5e-5),
    (0.799, 0.8, 170818.47, 5e-3),
]


@pytest.mark.parametrize(("c", "d", "figure", "half_digit"), FIGURES)
def test_lemma_3_5_condition_number_of_the_published_pair(c, d, figure, half_digit):
    found = condition_number([c, d])
    assert found == pytest.approx(figure, abs=half_digit)
    assert found == pytest.approx(exact_condition(c, d), rel=1e-10)
    assert np.linalg.cond(hessian([c, d])) == pytest.approx(found, rel=1e-10)


@pytest.mark.parametrize(("c", "d"), [(0.79999, 0.8), (0.1, 0.1 + 1e-6), (-0.5, -0.5 + 1e-5)])
def test_condition_number_stays_right_where_eigenvalues_do_not(c, d):
    expected = exact_condition(c, d)
    assert condition_number([c, d]) == pytest.approx(expected, rel=1e-10)
    assert abs(np.linalg.cond(hessian([c, d])) / expected - 1) > 1e-8


@pytest.mark.parametrize("pole", [0.0, 0.05, 0.5, -0.3 + 0.4j, 0.8j, 0.95])
def test_lemma_3_5_condition_number_grows_without_bound_also_far_from_the_circle(pole):
    for gap in (1e-3j, 1e-4, 1e-5 * np.exp(1j)):
        scaled = condition_number([pole, pole + gap]) * abs(gap) ** 2
        slack = 30 * abs(gap) / (1 - abs(pole))
        assert scaled == pytest.approx(coalescence_constant(pole), rel=slack)
    assert coalescence_constant(0.05) > coalescence_constant(0.5) > coalescence_constant(0.95) > 0


@pytest.mark.parametrize("num_poles", [2, 3, 4, 5, 6])
def test_lemma_3_5_condition_number_grows_without_bound_for_any_number_of_poles(num_poles):
    for gains, poles in random_systems(num_poles, 10):
        near = [
            condition_number(np.append(poles[:-1], poles[0] + gap), gains)
            for gap in (1e-3, 1e-4, 1e-5)
        ]
        np.testing.assert_allclose(near[2] / near[1], 100, rtol=0.05)
        # The two poles' own block bounds it from below.
        pair = condition_number([poles[0], poles[0] + 1e-5], gains[[0, -1]])
        assert near[2] >= pair * (1 - 1e-6) and pair > 1e6


@pytest.mark.parametrize("num_poles", ORDERS)
def test_full_hessian_is_the_gram_matrix_of_all_derivative_sequences(num_poles):
    for gains, poles in random_systems(num_poles, 10):
        values, slopes = sequences(poles)
        columns = np.concatenate([values, slopes * gains], axis=1)
        expected = (2 * columns.conj().T @ columns).astype(complex)
        scale = np.max(np.abs(expected))
        found = full_hessian(gains, poles)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13 * scale)
        np.testing.assert_array_equal(found[num_poles:, num_poles:], hessian(poles, gains))


@pytest.mark.parametrize("num_poles", ORDERS)
def test_full_hessian_is_at_least_as_badly_conditioned_as_its_principal_block(num_poles):
    ratios = []
    for gains, poles in random_systems(num_poles):
        full = condition_number(poles, gains, full=True)
        columns = np.concatenate(sequences(poles), axis=1).astype(complex)
        columns[:, num_poles:] *= gains
        assert full == pytest.approx(np.linalg.cond(columns) ** 2, rel=1e-6)
        ratios.append(full / condition_number(poles, gains))
    assert min(ratios) >= 1 - 1e-12 and max(ratios) > 2


@pytest.mark.parametrize("num_poles", [2, 4, 6])
def test_full_hessian_grows_with_the_sixth_power_as_two_poles_meet(num_poles):
    for gains, poles in random_systems(num_poles, 10):
        near = [
            condition_number(np.append(poles[:-1], poles[0] + gap), gains, full=True)
            for gap in (1e-3, 1e-4)
        ]
        assert near[1] / near[0] == pytest.approx(1e6, rel=0.1)


# --- Loss and gradient anywhere ----------------------------------------------------------------


def test_loss_of_the_published_pair():
    found = loss([0.5, 0.6], [0.75, 0.8])
    assert found == pytest.approx(exact_loss([0.5, 0.6], [0.75, 0.8]), rel=1e-10)
    assert found == pytest.approx(1.80061744, abs=5e-9)


@pytest.mark.parametrize("num_poles", ORDERS)
def test_loss_is_the_sum_over_time(num_poles):
    truths = random_systems(num_poles % 3 + 1)
    for (gains, poles), (true_gains, true_poles) in zip(
        random_systems(num_poles), truths, strict=True
    ):
        expected = np.sum(np.abs(response(gains, poles) - response(true_gains, true_poles)) ** 2)
        found = loss(poles, true_poles, gains, true_gains)
        assert found == pytest.approx(float(expected), rel=1e-10)


@pytest.mark.parametrize("step", [1e-3, 1e-6, 1e-9])
def test_loss_is_right_near_a_solution_where_the_sum_over_pairs_cancels(step):
    poles, truth = [0.75 + step, 0.8 - step], [0.75, 0.8]
    root = np.sqrt(exact_loss(poles, truth))
    assert np.sqrt(loss(poles, truth)) == pytest.approx(root, abs=1e-15)


@pytest.mark.parametrize("num_poles", ORDERS)
def test_gradient_is_twice_the_correlation_of_residual_and_derivatives(num_poles):
    truths = random_systems(num_poles % 3 + 1)
    for (gains, poles), (true_gains, true_poles) in zip(
        random_systems(num_poles), truths, strict=True
    ):
        residual = response(gains, poles) - response(true_gains, true_poles)
        expected = 2 * (sequences(poles)[1] * gains).conj().T @ residual
        found = gradient(poles, true_poles, gains, true_gains)
        np.testing.assert_allclose(
            found, expected.astype(complex), rtol=1e-10, atol=1e-11 * np.max(np.abs(found))
        )


@pytest.mark.parametrize("num_poles", [1, 2, 4])
def test_gradient_against_finite_differences_in_real_and_imaginary_parts(num_poles):
    rng, step = np.random.default_rng(3), 1e-6
    for gains, poles in random_systems(num_poles, 10):
        true_gains, true_poles = random_system(rng, 3)
        expected = np.zeros(num_poles, complex)
        for k in range(num_poles):
            for direction in (1, 1j):
                moved = step * direction * np.eye(num_poles)[k]
                up, down = loss([poles + moved, poles - moved], true_poles, gains, true_gains)
                expected[k] += direction * (up - down) / (2 * step)
        found = gradient(poles, true_poles, gains, true_gains)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6 * np.abs(found).max())


def test_many_banks_at_once_are_each_on_its_own():
    rng = np.random.default_rng(0)
    true_gains, true_poles = random_system(rng, 2)
    banks = [random_system(rng, 3) for _ in range(4)]
    gains, poles = (np.array(part).reshape(2, 2, 3) for part in zip(*banks, strict=True))
    for function, shape in ((loss, (2, 2)), (gradient, (2, 2, 3))):
        found = function(poles, true_poles, gains, true_gains)
        one_by_one = [function(p, true_poles, g, true_gains) for g, p in banks]
        np.testing.assert_allclose(found, np.reshape(one_by_one, shape), rtol=1e-12)


def test_equal_poles_act_as_one():
    assert loss([0.5, 0.5], [0.5], true_gains=[2.0]) < 1e-30
    np.testing.assert_allclose(
        loss([0.3, 0.3, 0.2], [0.5]), loss([0.3, 0.2], [0.5], [2.0, 1.0]), rtol=1e-12
    )


def test_real_systems_stay_real():
    for found in (
        loss([0.5], [1 / 3]),
        gradient([0.5], [1 / 3]),
        hessian([0.5, 0]),
        full_hessian([1], [0.5]),
        vandermonde([0.5, 0], 3),
    ):
        assert found.dtype == np.float64
    assert gradient([0.5], [0.5j]).dtype == hessian([0.5], [1j]).dtype == np.complex128


def test_a_zero_gain_leaves_its_pole_undetermined():
    assert condition_number([0.5, 0.6], [1, 0]) == np.inf
    assert np.linalg.matrix_rank(full_hessian([1, 0], [0.5, 0.6])) == 3


# --- What is refused ---------------------------------------------------------------------------

REFUSED = [
    (loss, ([1.0], [0.5]), ValueError, r"^poles must satisfy \|p\| < 1"),
    (loss, ([0.5], [0.2, 1j]), ValueError, r"^true_poles must satisfy \|p\| < 1"),
    (loss, ([], [0.5]), ValueError, r"^poles must have shape \[\.\.\., K\]"),
    (loss, ([0.5], [[0.5]]), ValueError, r"^true_poles must have shape \[K\]"),
    (loss, (0.5, [0.5]), ValueError, "^poles must have shape"),
    (loss, ([[0.5], [0.5, 0.6]], [0.5]), ValueError, "^poles .* ragged"),
    (loss, ([0.5], [0.5], [1, 1]), ValueError, "^gains must have one gain for each of poles"),
    (loss, ([0.5], [0.5], None, [1, 2]), ValueError, "^true_gains must .* true_poles"),
    (loss, (["a"], [0.5]), TypeError, "^poles must hold"),
    (loss, ([True], [0.5]), TypeError, "^poles must hold"),
    (gradient, ([np.nan], [0.5]), ValueError, "^poles must be finite"),
    (gradient, ([0.5], [-1.5]), ValueError, "^true_poles must satisfy"),
    (gradient, ([0.5], [0.5], [np.inf]), ValueError, "^gains must be finite"),
    (hessian, ([0.5, 0.5],), ValueError, "^poles must be pairwise distinct, got 0.5"),
    (hessian, ([[0.5]],), ValueError, "^poles must have shape"),
    (hessian, ([0.5], [[1]]), ValueError, "^gains must have shape"),
    (full_hessian, ([1], [0.5, 0.6]), ValueError, "^gains must have one gain"),
    (full_hessian, ([1, 1], [0.5j, 0.5j]), ValueError, "^poles must be pairwise distinct"),
    (condition_number, ([0.2, 1.2],), ValueError, "^poles must satisfy"),
    (coalescence_constant, (1.0,), ValueError, "^pole must satisfy"),
    (coalescence_constant, ([0.5],), ValueError, "^pole must be one number"),
    (segment_loss, ([0.5, 0.6], [0, 0], [0.5]), ValueError, "^permutation must hold each of 0"),
    (segment_loss, ([0.5, 0.6], [0.0, 1.0], [0.5]), ValueError, "^permutation must hold"),
    (segment_loss, ([0.5, 0.6], [1, 0], [1.5]), ValueError, "^positions must be real"),
    (segment_loss, ([0.5, 0.5], [1, 0], [0.5]), ValueError, "^poles must be pairwise"),
    (vandermonde, ([0.5, 0.5], 3), ValueError, "^poles must be pairwise distinct"),
    (vandermonde, ([0.5], 0), ValueError, "^num_samples must be at least 1"),
    (vandermonde, ([0.5], 2.0), TypeError, "^num_samples must be an integer"),
    (vandermonde_rank, ([np.inf], 2), ValueError, "^poles must be finite"),
    (identify, ([1, 2, 3], 2), ValueError, "^h must have at least 2 "),
    (identify, ([0, 0, 0, 0], 2), ValueError, "^h must be a sum of at least num_poles = 2"),
    (identify, ([[1, 2]], 1), ValueError, "^h must have shape"),
    (identify, ([1, 2], True), TypeError, "^num_poles must be an integer"),
    (impulse_response, ([1, 2], [0, 1]), ValueError, "^inputs must start"),
    (impulse_response, ([1, 2], [1]), ValueError, "^outputs and inputs must be equally"),
    (impulse_response, (["x"], [1]), TypeError, "^outputs must hold"),
]


@pytest.mark.parametrize(("function", "arguments", "error", "match"), REFUSED)
def test_refuses_and_says_which_argument(function, arguments, error, match):
    with pytest.raises(error, match=match):
        function(*arguments)


def test_every_public_function_is_tried_with_wrong_arguments():
    assert {function.__name__ for function, *_ in REFUSED} == set(theory.__all__)
