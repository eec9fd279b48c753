"""Poles and gains from samples: independence of the sequences, and identification."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import hankel, solve_triangular, toeplitz

from rx_fixedpole.theory.checks import Array, distinct, numbers, whole

ComplexArray: TypeAlias = NDArray[np.complex128]


def vandermonde(poles: ArrayLike, num_samples: int) -> Array:
    r"""Return the first samples of the sequences of some poles as columns.

    .. math:: V_{nk} = \beta_k^n, \quad 0 \le n < N

    Args:
        poles: Poles, shape ``[K]``, pairwise distinct; finitely many samples exist outside the
            unit circle too.
        num_samples: ``N >= 1``.

    Returns:
        ``[N, K]``: ``float64`` if the poles are real, else ``complex128``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If ``poles`` is not of shape ``[K]``, a pole occurs twice or is not finite, or
            there is no sample.

    >>> vandermonde([0.5, -1.0], 3).tolist()
    [[1.0, 1.0], [0.5, -1.0], [0.25, 1.0]]
    """
    bank = distinct(numbers(poles, "poles"), "poles")
    samples = np.arange(whole(num_samples, "num_samples"))
    return bank ** samples[:, None]


def vandermonde_rank(poles: ArrayLike, num_samples: int) -> int:
    r"""Numerical rank of :func:`vandermonde`.

    .. math:: \mathrm{rank}\, V = \min(N, K)

    in exact arithmetic: from N = K samples on, the sequences are linearly independent.

    Args:
        poles: Poles, shape ``[K]``, pairwise distinct.
        num_samples: ``N >= 1``.

    Returns:
        The number of singular values above rounding, with columns of unit norm. Poles so near to
        each other that double precision cannot tell their first N samples apart count as one.

    Raises:
        TypeError, ValueError: As :func:`vandermonde`.

    >>> [vandermonde_rank([0.5, 0.6, 0.6j], n) for n in (1, 2, 3, 9)]
    [1, 2, 3, 3]
    """
    columns = vandermonde(poles, num_samples)
    return int(np.linalg.matrix_rank(columns / np.linalg.norm(columns, axis=0)))


def identify(h: ArrayLike, num_poles: int) -> tuple[ComplexArray, ComplexArray]:
    r"""Find poles and gains from the first samples of an impulse response (matrix pencil).

    .. math:: h[n] = \sum_k b_k \beta_k^n, \quad 0 \le n < N, \quad N \ge 2 K

    The Hankel matrix of h has rank K, and dropping the first instead of the last row of its
    column space multiplies by the poles: they are the eigenvalues of a K x K matrix. The gains
    then follow by least squares.

    Args:
        h: Samples, shape ``[N]``; of a system whose input is known, see
            :func:`impulse_response`.
        num_poles: K, the number of poles to be found.

    Returns:
        Gains and poles, ``complex128`` ``[K]`` each, in the same, otherwise arbitrary, order.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there are fewer than 2K samples, or fewer than K poles explain them.

    Note:
        Exact for noiseless samples up to rounding, which near poles and short records amplify.
        With noise, or more poles in h than K, and N > 2K: an approximation.

    >>> gains, poles = identify([2.0, 0.5, 0.5, 0.125], 2)     # 0.5^n + (-0.5)^n, and a little
    >>> poles.round(6).tolist()
    [(0.5+0j), (-0.5+0j)]
    >>> gains.round(6).tolist()
    [(1.5+0j), (0.5+0j)]
    """
    samples = numbers(h, "h").astype(np.complex128)
    count = whole(num_poles, "num_poles")
    if samples.size < 2 * count:
        raise ValueError(
            f"h must have at least 2 * num_poles = {2 * count} samples, got {samples.size}"
        )
    rows = samples.size // 2 + 1
    matrix = hankel(samples[:rows], samples[rows - 1 :])
    left, singular, _ = np.linalg.svd(matrix, full_matrices=False)
    rank = int(np.sum(singular > rows * np.finfo(np.float64).eps * singular[0]))
    if rank < count:
        raise ValueError(
            f"h must be a sum of at least num_poles = {count} poles, got samples that {rank} "
            "explain to rounding"
        )
    span = left[:, :count]
    shift = np.linalg.lstsq(span[:-1], span[1:], rcond=None)[0]
    poles: ComplexArray = np.linalg.eigvals(shift).astype(np.complex128)
    # Of unit norm, lest a pole outside the circle makes the columns of the others look like zero.
    columns = poles ** np.arange(samples.size)[:, None]
    norms = np.linalg.norm(columns, axis=0)
    scaled = np.linalg.lstsq(columns / norms, samples, rcond=None)[0].astype(np.complex128)
    gains: ComplexArray = scaled / norms
    return gains, poles


def impulse_response(outputs: ArrayLike, inputs: ArrayLike) -> ComplexArray:
    r"""Find the first samples of an impulse response from a known input (deconvolution).

    .. math:: y[n] = \sum_{m \le n} x[n - m] \, h[m] \iff y = T(x) \, h

    with T(x) lower triangular and Toeplitz, invertible if and only if :math:`x[0] \ne 0`.

    Args:
        outputs: y, shape ``[N]``, from rest.
        inputs: x, shape ``[N]``, ``x[0] != 0``.

    Returns:
        ``complex128`` ``[N]``, for :func:`identify`.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ or ``x[0]`` is zero.

    Note:
        Rounding and noise grow like the impulse response of 1 / x: slowly where x is minimum
        phase, exponentially in N where it is not. SciPy: ``scipy.linalg.solve_toeplitz``, which
        does not use the triangle.

    >>> impulse_response([2.0, 2.0, 1.0], [2.0, 1.0, 0.25]).round(6).tolist()
    [(1+0j), (0.5+0j), (0.125+0j)]
    """
    received, known = numbers(outputs, "outputs"), numbers(inputs, "inputs")
    if received.shape != known.shape:
        raise ValueError(
            f"outputs and inputs must be equally long, got shapes {received.shape} and "
            f"{known.shape}"
        )
    if known[0] == 0:
        raise ValueError("inputs must start with a sample other than zero, got inputs[0] = 0")
    convolution: NDArray[Any] = toeplitz(known, np.zeros_like(known))
    solution: ComplexArray = solve_triangular(convolution, received, lower=True).astype(
        np.complex128
    )
    return solution
