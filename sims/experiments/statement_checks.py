"""What the table of statements checks: each statement on one random system at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, permutations
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rx_fixedpole import theory

Generator: TypeAlias = np.random.Generator
Complex: TypeAlias = NDArray[np.complex128]

RADII = (0.3, 0.95)
GAINS = (0.5, 1.5)
SEPARATION = 0.2
# The published pairs of real poles with gains 1.
PAIRS = ((0.75, 0.8), (0.79, 0.8), (0.799, 0.8))
# 0.95^1600 = 2e-36: what a sum of squares over so many samples cuts off is below rounding.
NUM_SAMPLES = 800
# Segments looked at for one system, of its K! - 1.
NUM_SEGMENTS = 24
# What double precision leaves of the loss of a solution, relative to the energy of h.
ROUNDING = 1e-24


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Args:
        statement: its number in the paper; empty for what only our closed forms claim.
        text: what is measured.
        measure: (random numbers, K) -> figures; none where the statement does not apply.
        relation: how a figure must stand to the bar; empty if nothing is required.
        bar: the limit.
        random: whether to measure on random systems, or once, with K = 2.
    """

    statement: str
    text: str
    measure: Callable[[Generator, int], Iterator[float]]
    relation: Literal["<=", ">=", ">", ""]
    bar: float = 0.0
    random: bool = True

    def worst(self, values: list[float]) -> float:
        """Return the figure that is nearest to a failure, or beyond."""
        return min(values) if self.relation.startswith(">") else max(values)

    def holds(self, value: float) -> bool | None:
        """Return whether a figure is as required; None if nothing is."""
        verdicts = {
            "<=": value <= self.bar,
            ">=": value >= self.bar,
            ">": value > self.bar,
            "": None,
        }
        return verdicts[self.relation]


def random_system(rng: Generator, num_poles: int) -> tuple[Complex, Complex]:
    """Draw gains and poles; poles that come too near to each other are drawn again."""
    while True:
        radii = np.sqrt(rng.uniform(RADII[0] ** 2, RADII[1] ** 2, num_poles))
        poles = radii * np.exp(2j * np.pi * rng.uniform(size=num_poles))
        distances = np.abs(poles[:, None] - poles)[~np.eye(num_poles, dtype=bool)]
        if np.min(distances, initial=np.inf) >= SEPARATION:
            gains = rng.uniform(*GAINS, num_poles)
            return gains * np.exp(2j * np.pi * rng.uniform(size=num_poles)), poles


def _sequences(poles: Complex) -> tuple[Complex, Complex]:
    """Return beta^n and n beta^(n-1) as columns, independently of the closed forms."""
    n = np.arange(NUM_SAMPLES)[:, None]
    return poles**n, n * poles ** np.maximum(n - 1, 0)


def _energy(gains: Complex, poles: Complex) -> float:
    return float(np.sum(np.abs(_sequences(poles)[0] @ gains) ** 2))


def _deviation(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the largest difference, relative to the largest entry."""
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def _mismatch(found: tuple[Complex, Complex], gains: Complex, poles: Complex) -> float:
    """Return the largest error of poles and gains, under the best assignment of the poles."""
    distances = np.abs(found[1][:, None] - poles)
    ours, theirs = linear_sum_assignment(distances)
    return float(max(distances[ours, theirs].max(), np.abs(found[0][ours] - gains[theirs]).max()))


def _rank(rng: Generator, order: int) -> Iterator[float]:
    _, poles = random_system(rng, order)
    for num_samples in range(1, 3 * order + 1):
        yield abs(theory.vandermonde_rank(poles, num_samples) - min(num_samples, order))


def _determinant(rng: Generator, order: int) -> Iterator[float]:
    _, poles = random_system(rng, order)
    expected = np.prod([poles[j] - poles[i] for j in range(order) for i in range(j)])
    yield float(abs(np.linalg.det(theory.vandermonde(poles, order)) / expected - 1))


def _from_terms(rng: Generator, order: int) -> Iterator[float]:
    gains, poles = random_system(rng, order)
    h = theory.vandermonde(poles, 2 * order) @ gains
    yield _mismatch(theory.identify(h, order), gains, poles)


def _from_qpsk(rng: Generator, order: int) -> Iterator[float]:
    gains, poles = random_system(rng, order)
    yield _from_input(gains, poles, rng.choice([-1, 1], (2 * order, 2)) @ [1, 1j])


def _from_noise(rng: Generator, order: int) -> Iterator[float]:
    gains, poles = random_system(rng, order)
    yield _from_input(gains, poles, rng.normal(size=(2 * order, 2)) @ [1, 1j])


def _from_input(gains: Complex, poles: Complex, known: NDArray[Any]) -> float:
    h = theory.vandermonde(poles, known.size) @ gains
    outputs = np.convolve(known, h)[: known.size]
    found = theory.identify(theory.impulse_response(outputs, known), poles.size)
    return _mismatch(found, gains, poles)


def _one_term_fewer(rng: Generator, order: int) -> Iterator[float]:
    gains, poles = random_system(rng, order)
    h = theory.vandermonde(poles, 2 * order) @ gains
    changed = h + 0.5 * (np.arange(h.size) == h.size - 1)
    other = theory.identify(changed, order)
    again = theory.vandermonde(other[1], h.size) @ other[0]
    shares = _deviation(again[:-1], h[:-1]) < 1e-9
    yield _mismatch(other, gains, poles) if shares else 0.0


def _permutations(rng: Generator, order: int) -> Iterator[float]:
    if order > 1:
        gains, poles = random_system(rng, order)
        at = np.array(list(permutations(range(order))))
        losses = theory.loss(poles[at], poles, gains[at], gains)
        yield float(np.max(losses)) / _energy(gains, poles)


def _segments(rng: Generator, order: int) -> Iterator[float]:
    if order > 1:
        gains, poles = random_system(rng, order)
        total = _energy(gains, poles)
        for at in islice(permutations(range(order)), 1, NUM_SEGMENTS + 1):
            inside = theory.segment_loss(poles, at, np.linspace(0.1, 0.9, 9), gains)
            yield float(np.min(inside)) / total


def _single_pole(rng: Generator, order: int) -> Iterator[float]:
    if order == 1:
        gains, poles = random_system(rng, order)
        losses = theory.segment_loss(poles, [0], np.linspace(0, 1, 11), gains)
        yield float(np.max(losses)) / _energy(gains, poles)


def _loss(rng: Generator, order: int) -> Iterator[float]:
    (gains, poles), (true_gains, true_poles) = (random_system(rng, order) for _ in range(2))
    error = _sequences(poles)[0] @ gains - _sequences(true_poles)[0] @ true_gains
    expected = float(np.sum(np.abs(error) ** 2))
    yield abs(float(theory.loss(poles, true_poles, gains, true_gains)) / expected - 1)


def _gradient(rng: Generator, order: int) -> Iterator[float]:
    (gains, poles), (true_gains, true_poles) = (random_system(rng, order) for _ in range(2))
    moved = 1e-6 * np.eye(order)
    slopes = [
        theory.loss(poles + turn * moved, true_poles, gains, true_gains)
        - theory.loss(poles - turn * moved, true_poles, gains, true_gains)
        for turn in (1, 1j)
    ]
    expected = (slopes[0] + 1j * slopes[1]) / 2e-6
    yield _deviation(theory.gradient(poles, true_poles, gains, true_gains), expected)


def _gram(rng: Generator, order: int) -> Iterator[float]:
    gains, poles = random_system(rng, order)
    columns = _sequences(poles)[1] * gains
    yield _deviation(theory.hessian(poles, gains), 2 * columns.conj().T @ columns)


def _definite(rng: Generator, order: int) -> Iterator[float]:
    gains, poles = random_system(rng, order)
    eigenvalues = np.linalg.eigvalsh(theory.hessian(poles, gains))
    yield float(eigenvalues[0] / eigenvalues[-1])


def _pairs(rng: Generator, order: int) -> Iterator[float]:
    def entry(a: float, b: float) -> Fraction:
        product = Fraction(a) * Fraction(b)
        return (1 + product) / (1 - product) ** 3

    for c, d in PAIRS:
        trace = entry(c, c) + entry(d, d)
        determinant = entry(c, c) * entry(d, d) - entry(c, d) ** 2
        quarter = float(trace**2 / (4 * determinant))
        expected = quarter * (1 + np.sqrt(1 - 1 / quarter)) ** 2
        yield abs(theory.condition_number([c, d]) / float(expected) - 1)


def _law(rng: Generator, order: int) -> Iterator[float]:
    if order == 2:
        pole, gap = random_system(rng, 1)[1][0], 1e-6 * np.exp(2j * np.pi * rng.uniform())
        scaled = theory.condition_number([pole, pole + gap]) * abs(gap) ** 2
        yield abs(scaled / theory.coalescence_constant(pole) - 1)


def _growth(rng: Generator, order: int) -> Iterator[float]:
    if order > 1:
        gains, poles = random_system(rng, order)
        near, nearer = (
            theory.condition_number(np.append(poles[:-1], poles[0] + gap), gains)
            for gap in (1e-5, 1e-6)
        )
        yield abs(nearer / near / 100 - 1)


def _full_growth(rng: Generator, order: int) -> Iterator[float]:
    if order > 1:
        gains, poles = random_system(rng, order)
        near, nearer = (
            theory.condition_number(np.append(poles[:-1], poles[0] + gap), gains, full=True)
            for gap in (1e-3, 1e-4)
        )
        yield abs(nearer / near / 1e6 - 1)


def _full_gram(rng: Generator, order: int) -> Iterator[float]:
    gains, poles = random_system(rng, order)
    values, slopes = _sequences(poles)
    columns = np.concatenate([values, slopes * gains], axis=1)
    yield _deviation(theory.full_hessian(gains, poles), 2 * columns.conj().T @ columns)


def _full(rng: Generator, order: int) -> Iterator[float]:
    gains, poles = random_system(rng, order)
    full = theory.condition_number(poles, gains, full=True)
    yield full / theory.condition_number(poles, gains)


CHECKS = (
    Check("Lemma 3.1", "rank of N x K powers is min(N, K), N = 1 .. 3K", _rank, "<=", 0),
    Check(
        "Lemma 3.1", "N = K: determinant / product of differences - 1", _determinant, "<=", 1e-10
    ),
    Check("Theorem 3.2", "poles and gains from 2K terms of h", _from_terms, "<=", 1e-6),
    Check("Theorem 3.2", "from 2K outputs of known QPSK symbols", _from_qpsk, "<=", 1e-6),
    Check("Theorem 3.2", "from 2K outputs of known Gaussian noise", _from_noise, ""),
    Check("Theorem 3.2", "2K - 1 terms: distance of a second fit", _one_term_fewer, ">", 1e-3),
    Check("Lemma 3.3", "loss of every permutation of a solution", _permutations, "<=", ROUNDING),
    Check("Corollary 3.4", "loss between permutations, K >= 2", _segments, ">", ROUNDING),
    Check("Corollary 3.4", "K = 1: identity alone, its loss", _single_pole, "<=", ROUNDING),
    Check("Lemma 3.5", "Hessian / Gram matrix of n beta^(n-1) - 1", _gram, "<=", 1e-10),
    Check("Lemma 3.5", "smallest / largest eigenvalue of the Hessian", _definite, ">", 0),
    Check("Lemma 3.5", "kappa of 3 published pairs / exact - 1", _pairs, "<=", 1e-10, random=False),
    Check("After 3.5", "2 poles meet: kappa gap^2 / its limit - 1", _law, "<=", 1e-3),
    Check("After 3.5", "any K: kappa x 100 as the gap / 10, - 1", _growth, "<=", 1e-2),
    Check("After 3.5", "full Hessian / Gram matrix - 1", _full_gram, "<=", 1e-10),
    Check("After 3.5", "kappa of full Hessian / of its pole block", _full, ">=", 1),
    Check("After 3.5", "full: kappa x 10^6 as the gap / 10, - 1", _full_growth, "<=", 0.1),
    Check("", "closed form of the loss / sum over time - 1", _loss, "<=", 1e-10),
    Check("", "gradient / finite differences - 1", _gradient, "<=", 1e-5),
)
