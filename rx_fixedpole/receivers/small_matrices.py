"""Linear algebra of many small matrices at once: entries lead, what there are many of follows.

A matrix is a tensor ``[n, n, ...]`` whose trailing axes run over subcarriers and symbols. Written
as elimination steps it needs no library routine for small matrices, and compiles to plain loops.
"""

from __future__ import annotations

from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

# A pivot that rounds to nothing belongs to a direction that nothing is known of.
_MIN_PIVOT = 1e-30


def forward(matrix: Tensor, rhs: Tensor) -> Tensor:
    """``L^-1 rhs`` with ``matrix = L L^H`` Hermitian positive definite.

    Args:
        matrix: complex ``[n, n, ...]``.
        rhs: complex ``[n, c, ...]``, its trailing axes broadcast against those of ``matrix``.

    Returns:
        Complex ``[n, c, ...]``.
    """
    rows = []
    for _ in range(matrix.shape[0]):
        pivot = ops.rsqrt(_backend.at_least(ops.real(matrix[0, 0]), _MIN_PIVOT))
        pivot = ops.cast(pivot, _backend.dtype(matrix))
        column, row = matrix[1:, 0] * pivot, rhs[0] * pivot
        rows.append(row)
        matrix = matrix[1:, 1:] - column[:, None] * ops.conj(column)
        rhs = rhs[1:] - column[:, None] * row
    return ops.stack(rows)


def adjoint_product(a: Tensor, b: Tensor) -> Tensor:
    """``a^H b`` of ``[n, i, ...]`` and ``[n, j, ...]``: ``[i, j, ...]``."""
    terms = [ops.conj(a[k])[:, None] * b[k] for k in range(a.shape[0])]
    return sum(terms[1:], terms[0])


def product(a: Tensor, b: Tensor) -> Tensor:
    """``a b`` of ``[i, n, ...]`` and ``[n, j, ...]``: ``[i, j, ...]``."""
    terms = [a[:, k, None] * b[k] for k in range(b.shape[0])]
    return sum(terms[1:], terms[0])


def identity_like(matrix: Tensor) -> Tensor:
    """Identity matrices, ``[n, n, 1, ...]``."""
    size, rank = matrix.shape[0], len(matrix.shape)
    unit = ops.reshape(ops.eye(size, dtype="float64"), (size, size, *(1,) * (rank - 2)))
    return ops.cast(unit, _backend.dtype(matrix))


def whitener(matrix: Tensor) -> Tensor:
    """``L^-1`` with ``matrix = L L^H``, ``[n, n, ...]``."""
    return forward(matrix, identity_like(matrix) + ops.zeros_like(matrix))


def inverse(matrix: Tensor) -> Tensor:
    """Inverse of Hermitian positive definite matrices ``[n, n, ...]``."""
    root = whitener(matrix)
    return adjoint_product(root, root)


def log_determinant(matrix: Tensor) -> Tensor:
    """Natural logarithm of the determinant of Hermitian positive definite ``[n, n, ...]``."""
    total = 0.0
    for _ in range(matrix.shape[0]):
        pivot = _backend.at_least(ops.real(matrix[0, 0]), _MIN_PIVOT)
        total = total + ops.log(pivot)
        column = matrix[1:, 0]
        step = column[:, None] * ops.conj(column)
        matrix = matrix[1:, 1:] - step * ops.cast(1.0 / pivot, _backend.dtype(matrix))
    return total


def linear_mmse(channel: Tensor, signal: Tensor) -> tuple[Tensor, Tensor]:
    r"""Unbiased LMMSE estimates of unit-power symbols in white noise of unit variance.

    .. math:: \hat x = (I + H^H H)^{-1} H^H y, \quad
              \epsilon_s = [(I + H^H H)^{-1}]_{ss}, \quad
              \hat x_s / (1 - \epsilon_s), \quad \epsilon_s / (1 - \epsilon_s)

    Args:
        channel: complex ``[A, S, ...]``.
        signal: complex ``[A, ...]``.

    Returns:
        Estimates ``[S, ...]`` complex and their error variance ``[S, ...]`` real.
    """
    gram = adjoint_product(channel, channel)
    gram = gram + identity_like(gram)
    matched = adjoint_product(channel, signal[:, None])
    root = whitener(gram)
    error = ops.sum(_backend.power(root), axis=0)
    x_hat = adjoint_product(root, product(root, matched))[:, 0]
    gain = _backend.at_least(1.0 - error, 1e-6)
    return x_hat / ops.cast(gain, _backend.dtype(x_hat)), error / gain
