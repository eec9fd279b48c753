"""The loss over poles and gains, and its gradient: sums over all time in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rx_fixedpole.theory.checks import Array, matching_gains, numbers, solution, stable


def loss(
    poles: ArrayLike,
    true_poles: ArrayLike,
    gains: ArrayLike | None = None,
    true_gains: ArrayLike | None = None,
) -> NDArray[np.float64]:
    r"""Squared error between the impulse responses of two banks of poles.

    .. math:: f = \sum_{n \ge 0} \Bigl| \sum_k b_k \beta_k^n - \sum_l b^*_l (\beta^*_l)^n \Bigr|^2
        = \sum_{i,j} \frac{\bar e_i e_j}{1 - \bar p_i p_j}

    with :math:`p` all poles and :math:`e` the gains of the first bank and minus those of the
    second: the mean squared error for white input of unit power.

    Args:
        poles: Poles :math:`\beta`, shape ``[K]``, or ``[..., K]`` for many banks at once,
            modulus below 1. They may repeat: two equal poles act as one with the sum of gains.
        true_poles: Poles :math:`\beta^*` to be learned, shape ``[L]``, modulus below 1.
        gains: :math:`b`, shape ``[K]`` or that of ``poles``; ones if not given.
        true_gains: :math:`b^*`, shape ``[L]``; ones if not given.

    Returns:
        ``float64`` of shape ``[...]``, never negative.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If a modulus is not below 1 or shapes do not match.

    Note:
        Summed as a norm in the Takenaka-Malmquist basis of all poles, not as above, where all
        digits cancel at a solution: the root of the loss is right to rounding. Costs
        :math:`O((K + L)^2)` a bank.

    >>> loss([0.5, 0.6], [0.75, 0.8]).round(8).item()
    1.80061744
    >>> bool(loss([0.8, 0.75], [0.75, 0.8]) < 1e-28)
    True
    """
    bank = stable(poles, "poles", batch=True)
    target = stable(true_poles, "true_poles")
    weights = matching_gains(gains, bank, "gains", "poles")
    target_weights = matching_gains(true_gains, target, "true_gains", "true_poles")
    return _energy(_joined(bank, target), _joined(weights, -target_weights))


def gradient(
    poles: ArrayLike,
    true_poles: ArrayLike,
    gains: ArrayLike | None = None,
    true_gains: ArrayLike | None = None,
) -> Array:
    r"""Derivative of :func:`loss` with respect to the poles, at any point.

    .. math:: G_k = \frac{\partial f}{\partial \Re \beta_k} + j \frac{\partial f}
        {\partial \Im \beta_k} = 2 \frac{\partial f}{\partial \bar\beta_k}
        = 2 \bar b_k \sum_j \frac{e_j p_j}{(1 - \bar\beta_k p_j)^2}

    Twice the conjugate Wirtinger derivative: ``poles - rate * gradient(...)`` is the step of
    gradient descent on real and imaginary parts, and for a real problem the plain derivative.

    Args:
        poles: As in :func:`loss`, shape ``[K]`` or ``[..., K]``.
        true_poles: Poles to be learned, shape ``[L]``.
        gains: Shape ``[K]`` or that of ``poles``; ones if not given.
        true_gains: Shape ``[L]``; ones if not given.

    Returns:
        Array of the shape of ``poles``: ``float64`` if all arguments are real, else
        ``complex128``.

    Raises:
        TypeError, ValueError: As :func:`loss`.

    >>> gradient([0.5], [0.75]).round(6).tolist()
    [-2.062222]
    """
    bank = stable(poles, "poles", batch=True)
    target = stable(true_poles, "true_poles")
    weights = matching_gains(gains, bank, "gains", "poles")
    target_weights = matching_gains(true_gains, target, "true_gains", "true_poles")
    points, errors = _joined(bank, target), _joined(weights, -target_weights)
    kernel = points[..., None, :] / (1 - np.conj(bank)[..., :, None] * points[..., None, :]) ** 2
    slopes: Array = np.sum(errors[..., None, :] * kernel, axis=-1)
    return 2 * np.conj(weights) * slopes


def segment_loss(
    poles: ArrayLike,
    permutation: Sequence[int],
    positions: ArrayLike,
    gains: ArrayLike | None = None,
) -> NDArray[np.float64]:
    r"""Loss along the straight line from a solution to one of its permutations.

    .. math:: \ell(t) = f\bigl((1 - t) (b, \beta) + t (P b, P \beta)\bigr)

    Both ends are solutions. All permutations lie on one sphere around the origin and the inside
    of a chord does not, so no point between them is a solution: the loss is not convex. A single
    pole (K = 1) has no other permutation, and the argument says nothing.

    Args:
        poles: Poles of the solution, shape ``[K]``, pairwise distinct, modulus below 1.
        permutation: Indices 0 .. K-1 in the order of the other end.
        positions: Where on the line, shape ``[T]``, from 0 (the solution) to 1 (the other end).
        gains: Gains of the solution, shape ``[K]``; ones if not given.

    Returns:
        ``float64`` ``[T]``.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the poles are not as above, the permutation is none, or a position is not
            between 0 and 1.

    >>> segment_loss([0.75, 0.8], [1, 0], [0.0, 0.5, 1.0]).round(4).tolist()
    [0.0, 0.0006, 0.0]
    """
    bank, weights = solution(poles, gains)
    order = np.asarray(permutation)
    if order.dtype.kind not in "iu" or not np.array_equal(np.sort(order), np.arange(bank.size)):
        raise ValueError(
            f"permutation must hold each of 0 .. {bank.size - 1} once, got {permutation}"
        )
    where = numbers(positions, "positions")[:, None]
    if np.iscomplexobj(where) or np.any((where < 0) | (where > 1)):
        raise ValueError("positions must be real numbers between 0 and 1")
    line, line_weights = ((1 - where) * end + where * end[order] for end in (bank, weights))
    return loss(line, bank, line_weights, weights)


def _joined(left: Array, right: Array) -> Array:
    """Append one vector to each of many."""
    return np.concatenate([left, np.broadcast_to(right, left.shape[:-1] + right.shape)], axis=-1)


def _energy(poles: Array, gains: Array) -> NDArray[np.float64]:
    """Return the squared norm of sum_k gains[k] poles[k]^n over their last axis.

    Row m of the basis, seen by the sequence of a pole z, is the product of
    (z - p_i) / (1 - conj(p_i) z) over i < m and sqrt(1 - |p_m|^2) / (1 - conj(p_m) z).
    """
    passed_on = np.ones_like(poles)
    total = np.zeros(poles.shape[:-1])
    for m in range(poles.shape[-1]):
        pole = poles[..., m, None]
        below = 1 - np.conj(pole) * poles
        projection = np.sum(gains * passed_on / below, axis=-1)
        total = total + (1 - np.abs(pole[..., 0]) ** 2) * np.abs(projection) ** 2
        passed_on = passed_on * (poles - pole) / below
    return total
