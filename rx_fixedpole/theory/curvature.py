"""The Hessian of the loss at a solution, and how badly it is conditioned, in closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rx_fixedpole.theory.checks import Array, solution, stable


def hessian(poles: ArrayLike, gains: ArrayLike | None = None) -> Array:
    r"""Second derivative of :func:`~rx_fixedpole.theory.loss` over the poles, where it is zero.

    .. math:: H = 2 J^H J, \quad J_{nk} = b_k \, n \beta_k^{n-1}, \quad
        H_{ik} = 2 \bar b_i b_k \, g(\bar\beta_i \beta_k), \quad g(p) = \frac{1 + p}{(1 - p)^3}

    so that a small step :math:`\delta` of the poles costs :math:`\delta^H H \delta / 2`.

    Args:
        poles: Poles of the solution, shape ``[K]``, pairwise distinct, modulus below 1.
        gains: Their gains, shape ``[K]``; ones if not given.

    Returns:
        Hermitian ``[K, K]``: ``float64`` if all arguments are real, else ``complex128``.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If a modulus is not below 1, a pole occurs twice or shapes do not match.

    Note:
        The entries are exact to rounding; its condition number is not, once it is large: use
        :func:`condition_number`.

    >>> hessian([0.75, 0.8]).round(2).tolist()
    [[37.32, 50.0], [50.0, 70.3]]
    """
    bank, weights = solution(poles, gains)
    products = np.conj(bank)[:, None] * bank
    scales = np.conj(weights)[:, None] * weights
    return _hermitian(scales * (1 + products) / (1 - products) ** 3)


def full_hessian(gains: ArrayLike, poles: ArrayLike) -> Array:
    r"""Second derivative of the loss over gains and poles, where it is zero.

    .. math:: H = 2 J^H J, \quad J = \bigl[\, \beta_k^n \;\big|\; b_k \, n \beta_k^{n-1} \bigr]

    Args:
        gains: Gains of the solution, shape ``[K]``; a zero gain makes the matrix singular.
        poles: Its poles, shape ``[K]``, pairwise distinct, modulus below 1.

    Returns:
        Hermitian ``[2K, 2K]``, gains first; the last K rows and columns are :func:`hessian`.

    Raises:
        TypeError, ValueError: As :func:`hessian`.

    >>> full_hessian([1.0], [0.5]).round(4).tolist()
    [[2.6667, 1.7778], [1.7778, 5.9259]]
    """
    bank, weights = solution(poles, gains)
    products = np.conj(bank)[:, None] * bank
    corner = _hermitian(1 / (1 - products))
    mixed = 2 * np.conj(bank)[:, None] * weights / (1 - products) ** 2
    return np.block([[corner, mixed], [np.conj(mixed.T), hessian(bank, weights)]])


def condition_number(
    poles: ArrayLike, gains: ArrayLike | None = None, *, full: bool = False
) -> float:
    r"""Condition number of the Hessian at a solution.

    .. math:: \kappa = \lambda_{\max}(H) / \lambda_{\min}(H)

    Args:
        poles: Poles of the solution, shape ``[K]``, pairwise distinct, modulus below 1.
        gains: Their gains, shape ``[K]``; ones if not given.
        full: Whether of :func:`full_hessian` instead of :func:`hessian`.

    Returns:
        The condition number, at least 1; infinite where a gain is zero.

    Raises:
        TypeError, ValueError: As :func:`hessian`.

    Note:
        As two poles come together it grows like their distance to the power -2, see
        :func:`coalescence_constant`, and ``full`` to the power -6. Taken from the singular values
        of a factor of the Hessian, whose entries are products of differences of poles: right to
        :math:`\sqrt\kappa` times rounding, where eigenvalues of the matrix would lose
        :math:`\kappa` times rounding. Costs :math:`O(K^3)`.

    >>> round(condition_number([0.75, 0.8]), 6)
    91.765098
    """
    bank, weights = solution(poles, gains)
    values, derivatives = _coordinates(np.repeat(bank, 2), bank)
    factor = derivatives * weights
    if full:
        factor = np.concatenate([values, factor], axis=1)
    singular = np.linalg.svd(factor, compute_uv=False)
    return float((singular[0] / singular[-1]) ** 2) if singular[-1] > 0 else float("inf")


def coalescence_constant(pole: complex) -> float:
    r"""What the condition number of two poles with equal gains grows with as they meet.

    .. math:: \lim_{d \to c} |d - c|^2 \, \kappa(c, d)
        = \frac{(1 - |c|^4)^2}{1 + |c|^2 + |c|^4}

    It falls from 1 at the origin to 0 at the unit circle: the condition number grows without
    bound wherever two poles meet, and far from the circle it is larger, not smaller.

    Args:
        pole: Where they meet, :math:`c`, modulus below 1.

    Returns:
        The limit, between 0 and 1.

    Raises:
        TypeError: If the pole is not a number.
        ValueError: If its modulus is not below 1.

    >>> round(coalescence_constant(0.8), 4)
    0.1701
    """
    if np.ndim(pole) != 0:
        raise ValueError(f"pole must be one number, got shape {np.shape(pole)}")
    square = float(np.abs(stable([pole], "pole")[0])) ** 2
    return (1 - square**2) ** 2 / (1 + square + square**2)


def _hermitian(half: Array) -> Array:
    """Return twice a matrix that is Hermitian but for rounding."""
    return half + np.conj(half.T)


def _coordinates(basis: Array, points: Array) -> tuple[Array, Array]:
    """Return z^n and n z^(n-1), for each of the points z, in the basis of some poles."""
    passed_on, slope = np.ones_like(points), np.zeros_like(points)
    values, derivatives = [], []
    for pole in basis:
        below = 1 - np.conj(pole) * points
        norm = np.sqrt(1 - np.abs(pole) ** 2)
        values.append(norm * passed_on / below)
        derivatives.append(norm * (slope + passed_on * np.conj(pole) / below) / below)
        slope = (slope * (points - pole) + passed_on * norm**2 / below) / below
        passed_on = passed_on * (points - pole) / below
    return np.array(values), np.array(derivatives)
