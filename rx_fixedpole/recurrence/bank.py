"""A bank as the chunked recurrences see it: its impulse response and the powers of its transition.

Two kinds with one face: constants, rounded once from complex128, and tensors, whose every value is
differentiable in the poles.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from keras import ops

from .. import _backend
from .._backend import Tensor
from ..poles import validate
from . import realization
from .realization import Array, check_basis


class Bank(Protocol):
    """What the chunked forms need of a bank of K poles."""

    num_poles: int
    diagonal: bool

    def impulses(self, count: int) -> Tensor:
        """``A^n b`` for n < count: ``[count, K]``, or one bank a slot ``[B, count, K]``."""

    def powers(self, count: int, first: int = 1) -> Tensor:
        """``A^first, A^(first + 1), ...``: diagonals ``[count, K]`` or ``[B, count, K]``, or
        matrices ``[count, K, K]`` to be applied to row vectors from the right."""

    def power(self, exponent: int) -> Tensor:
        """``A^exponent``, a diagonal ``[1 or B, 1, K]`` or a matrix ``[K, K]``."""


class FixedBank:
    """Poles that are known now, in either basis."""

    def __init__(self, poles: Any, basis: str, dtype: str) -> None:
        check_basis(basis)
        self._poles = tuple(validate(poles).tolist())
        self._basis = basis
        self._dtype = dtype
        self.num_poles = len(self._poles)
        self.diagonal = basis == "parallel"

    def impulses(self, count: int) -> Tensor:
        values = realization.impulses(self._poles, self._basis, count)
        return _backend.constant(values, self._dtype)

    def powers(self, count: int, first: int = 1) -> Tensor:
        return self._powers(first, count)

    def power(self, exponent: int) -> Tensor:
        power = self._powers(exponent, 1)
        return power[None] if self.diagonal else power[0]

    def num_doublings(self) -> int:
        """The least j with ``|A^(2^j)|`` below rounding: ``sum A^n`` then has 2^j terms."""
        count = 0
        while np.linalg.norm(self._values(2**count, 1)) > 1e-18:
            count += 1
        return count

    def _powers(self, first: int, count: int) -> Tensor:
        values = self._values(first, count)
        values = values if self.diagonal else np.swapaxes(values, -1, -2)
        return _backend.constant(values, self._dtype)

    def _values(self, first: int, count: int) -> Array:
        return realization.powers(self._poles, self._basis, first, count)


class TrainableBank:
    """Poles that are tensors, ``[K]`` or one set a slot ``[B, K]``; parallel basis."""

    diagonal = True

    def __init__(self, poles: Tensor, basis: str, dtype: str) -> None:
        poles = _backend.require_complex(poles, "poles")
        if len(poles.shape) not in (1, 2):
            raise ValueError(f"poles must have shape [K] or [B, K], got {tuple(poles.shape)}")
        if basis != "parallel":
            raise ValueError(f"poles given as a tensor need basis 'parallel', got {basis!r}")
        self._poles = ops.cast(poles, dtype)
        self.num_poles = poles.shape[-1]

    def impulses(self, count: int) -> Tensor:
        return self.powers(count, first=0)

    def powers(self, count: int, first: int = 1) -> Tensor:
        # [1], [1, p], [1, p, p^2, p^3], ...: products only, so p = 0 has its gradient too.
        base = self._poles[..., None, :]
        result = ops.ones_like(base)
        while result.shape[-2] < first + count:
            result = ops.concatenate([result, result * base], axis=-2)
            base = base * base
        return result[..., first : first + count, :]

    def power(self, exponent: int) -> Tensor:
        power = self.powers(1, first=exponent)
        return power if len(power.shape) == 3 else power[None]


def make_bank(poles: Any, basis: str, dtype: str) -> FixedBank | TrainableBank:
    """The bank that the poles call for."""
    if _backend.is_tensor(poles):
        return TrainableBank(poles, basis, dtype)
    return FixedBank(poles, basis, dtype)


def moved(bank: FixedBank, x: Tensor, exponent: int = 1) -> Tensor:
    """``conj(A)^exponent x`` with A acting on each bank of the features, x ``[B, F, X]``."""
    batch, num_features, width = ops.shape(x)
    power = bank.power(exponent)
    num_banks = num_features // bank.num_poles
    banks = ops.reshape(x, (batch, num_banks, bank.num_poles, width))
    if bank.diagonal:
        result = ops.conj(power)[0, 0, :, None] * banks
    else:
        result = _backend.adjoint(power) @ banks
    return ops.reshape(result, (batch, num_features, width))
