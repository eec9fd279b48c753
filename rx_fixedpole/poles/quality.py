"""What a set of poles can reach (error law) and how badly it is conditioned (Gram matrix)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import solve_discrete_lyapunov

from rx_fixedpole.poles.checks import ComplexArray, validate


def approximation_error(target: ArrayLike, poles: ArrayLike) -> NDArray[np.float64]:
    r"""Error of the best readout over fixed poles for a one-pole target, for white input.

    .. math:: e(\alpha) = \prod_k \frac{|\alpha - \beta_k|}{|1 - \bar\beta_k \alpha|}

    is the relative :math:`H_2` error of the best approximation of
    :math:`1 / (1 - \alpha z^{-1})` by :math:`\sum_k w_k / (1 - \beta_k z^{-1})`. It holds for any
    number of poles, repeated ones included, and needs no training.

    Args:
        target: Pole(s) :math:`\alpha` to be reached, real or complex, any shape, modulus below 1.
        poles: Fixed poles :math:`\beta_k`, shape ``[K]``, modulus below 1.

    Returns:
        ``float64`` errors between 0 and 1, of the shape of ``target``.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If a modulus is not below 1, or the poles are not of shape ``[K]``.

    Note:
        The factors are at most one, so their product loses no accuracy before it underflows.

    >>> approximation_error(0.5, [0.0, 0.4]).round(6).item()
    0.0625
    """
    bank = validate(poles)
    alpha = np.asarray(target)
    flat = validate(alpha.reshape(-1), name="target").reshape(alpha.shape + (1,))
    error: NDArray[np.float64] = np.prod(
        np.abs(flat - bank) / np.abs(1 - np.conj(bank) * flat), axis=-1
    )
    return error


def gram_condition(poles: ArrayLike, *, basis: str = "parallel") -> float:
    r"""Condition number of the white-input Gram matrix of a bank, scaled to a unit diagonal.

    .. math:: G_{kl} = \sum_n \overline{\phi_k[n]} \, \phi_l[n], \quad
        \kappa = \mathrm{cond}\bigl(D^{-1/2} G D^{-1/2}\bigr), \quad D = \mathrm{diag}(G)

    Args:
        poles: Poles, shape ``[K]``, modulus below 1.
        basis: ``"parallel"``: :math:`\phi_k[n] = \beta_k^n`; ``"orthonormal"``: the
            Takenaka-Malmquist functions of the same span.

    Returns:
        The condition number, at least 1 up to rounding; infinite where two parallel poles
        coincide.

    Raises:
        TypeError: If the poles are not numbers.
        ValueError: If a pole is not inside the unit circle, or the basis is unknown.

    Note:
        The parallel Gram is a Cauchy matrix, whose inverse is known entry by entry; the largest
        eigenvalues of the two give a figure that stays right far beyond the reach of floating
        point inversion. Costs :math:`O(K^3)`.

    >>> round(gram_condition([0.8, 0.8j, -0.8, -0.8j]) / 0.8**-6, 10)
    1.0
    """
    bank = validate(poles)
    if basis not in _CONDITIONS:
        raise ValueError(f"basis must be one of {sorted(_CONDITIONS)}, got {basis!r}")
    return _CONDITIONS[basis](bank)


def _parallel_condition(poles: ComplexArray) -> float:
    norms = np.sqrt(1 - np.abs(poles) ** 2)
    cauchy = 1 / (1 - np.conj(poles)[:, None] * poles)
    gram = norms[:, None] * cauchy * norms
    duals = _dual_gains(poles) / norms
    if not np.all(np.isfinite(duals)):
        return float("inf")
    inverse = duals[:, None] * cauchy.T * np.conj(duals)
    return float(_largest_eigenvalue(gram) * _largest_eigenvalue(inverse))


def _dual_gains(poles: ComplexArray) -> ComplexArray:
    """Return 1 / B'(beta_k), B the Blaschke product of the poles; infinite where two coincide."""
    distances = poles[:, None] - poles
    np.fill_diagonal(distances, 1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gains: ComplexArray = np.prod((1 - np.conj(poles) * poles[:, None]) / distances, axis=1)
    return gains


def _orthonormal_condition(poles: ComplexArray) -> float:
    transition, drive = _orthonormal_state_space(poles)
    gram = solve_discrete_lyapunov(transition, np.outer(drive, np.conj(drive)))
    scale = 1 / np.sqrt(np.real(np.diag(gram)))
    eigenvalues = np.linalg.eigvalsh(scale[:, None] * gram * scale)
    return float(eigenvalues[-1] / eigenvalues[0])


def _orthonormal_state_space(poles: ComplexArray) -> tuple[ComplexArray, ComplexArray]:
    """Return A, b of phi[n] = A phi[n-1] + b u[n], phi the Takenaka-Malmquist features.

    Stage k is driven by what stage k - 1 passes on, a row over phi[n-1] plus a share of u[n].
    """
    num_poles = poles.size
    transition = np.zeros((num_poles, num_poles), np.complex128)
    drive = np.zeros(num_poles, np.complex128)
    row, share = np.zeros(num_poles, np.complex128), 1.0 + 0j
    for k, pole in enumerate(poles):
        norm = np.sqrt(1 - np.abs(pole) ** 2)
        transition[k] = norm * row
        transition[k, k] += pole
        drive[k] = norm * share
        row, share = -np.conj(pole) * row, -np.conj(pole) * share
        row[k] += norm
    return transition, drive


def _largest_eigenvalue(matrix: NDArray[Any]) -> float:
    return float(np.linalg.eigvalsh(matrix)[-1])


_CONDITIONS = {"parallel": _parallel_condition, "orthonormal": _orthonormal_condition}
