"""Banks of poles as state spaces ``s[n] = A s[n-1] + b u[n]``, in NumPy complex128.

The state is the feature vector itself. Everything that does not depend on the data comes from here,
is computed once in double precision and rounded once.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.complex128]


def parallel(poles: Array) -> tuple[Array, Array]:
    """``s_k[n] = p_k s_k[n-1] + u[n]``: the diagonal of A ``[K]``, and b ``[K]``."""
    return poles, np.ones_like(poles)


def orthonormal(poles: Array) -> tuple[Array, Array]:
    """The Takenaka-Malmquist cascade: A ``[K, K]``, lower triangular, and b ``[K]``.

    Stage k passes ``v_k[n] = d_k s_k[n-1] - conj(p_k) v_(k-1)[n]`` on, where ``s_k`` is its feature
    and ``d_k = sqrt(1 - |p_k|^2)``; unrolling the cascade gives the entries. The powers of A never
    exceed norm 1, however close or equal the poles are.
    """
    gains = np.sqrt(1 - np.abs(poles) ** 2)
    a = np.diag(poles)
    b = np.zeros_like(poles)
    passed_on = np.zeros(poles.size + 1, np.complex128)  # v_(k-1) in terms of the states and u
    passed_on[-1] = 1
    for k, pole in enumerate(poles):
        a[k] += gains[k] * passed_on[:-1]
        b[k] = gains[k] * passed_on[-1]
        passed_on *= -np.conj(pole)
        passed_on[k] = gains[k]
    return a, b


BASES = {"parallel": parallel, "orthonormal": orthonormal}


def check_basis(basis: str) -> None:
    """Refuse a basis that is not in :data:`BASES`."""
    if basis not in BASES:
        raise ValueError(f"basis must be one of {sorted(BASES)}, got {basis!r}")


@lru_cache(maxsize=64)
def powers(poles: tuple[complex, ...], basis: str, first: int, count: int) -> Array:
    """``A^first, A^(first + 1), ...``: ``[count, K]``, or ``[count, K, K]``."""
    a, _ = BASES[basis](np.asarray(poles))
    if a.ndim == 1:
        return a ** np.arange(first, first + count)[:, None]
    result = np.empty((count, *a.shape), np.complex128)
    result[0] = np.linalg.matrix_power(a, first)
    for i in range(1, count):
        result[i] = result[i - 1] @ a
    return result


@lru_cache(maxsize=64)
def impulses(poles: tuple[complex, ...], basis: str, count: int) -> Array:
    """``A^n b``, the features after a unit impulse at n = 0: ``[count, K]``."""
    a, b = BASES[basis](np.asarray(poles))
    if a.ndim == 1:
        return a ** np.arange(count)[:, None] * b
    result = np.empty((count, len(b)), np.complex128)
    state = b
    for n in range(count):
        result[n] = state
        state = a @ state
    return result
