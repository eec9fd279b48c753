"""The equation of a Gram matrix whose features are the states of a bank."""

from __future__ import annotations

from keras import ops

from .. import _backend
from .._backend import Tensor
from .bank import FixedBank, moved


def stein(bank: FixedBank, h: Tensor) -> Tensor:
    """G in ``G - conj(A) G A^T = h``, A acting on each bank of the features.

    Args:
        bank: array poles.
        h: Hermitian ``[B, F, F]``, complex128.

    Returns:
        ``[B, F, F]``.
    """
    return _divided(bank, h) if bank.diagonal else _doubled(bank, h)


def _divided(bank: FixedBank, h: Tensor) -> Tensor:
    poles = bank.power(1)[0, 0]
    batch, num_features, _ = ops.shape(h)
    num_banks, num_poles = num_features // bank.num_poles, bank.num_poles
    banks = ops.reshape(h, (batch, num_banks, num_poles, num_banks, num_poles))
    banks = banks / (1.0 - ops.conj(poles)[:, None, None] * poles)
    return ops.reshape(banks, (batch, num_features, num_features))


def _doubled(bank: FixedBank, h: Tensor) -> Tensor:
    """The series ``sum_n conj(A)^n h (A^T)^n``, twice as many terms each time."""
    for j in range(bank.num_doublings()):
        h = h + moved(bank, _backend.adjoint(moved(bank, h, 2**j)), 2**j)
    return h
