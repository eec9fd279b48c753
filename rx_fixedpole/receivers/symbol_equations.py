"""Normal equations of every OFDM symbol by itself, to be weighted, added and given new targets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor


class SymbolEquations(NamedTuple):
    """Normal equations of some resource elements of every OFDM symbol, complex128."""

    gram: Tensor  # [B, M, F, F]
    moment: Tensor  # [B, M, F, S]
    power: Tensor  # [B, M] power of the targets over resource elements and streams, real
    count: Tensor  # [B, M] or [1, M] resource elements, real

    def weighted(self, trust: Tensor) -> SymbolEquations:
        """Every symbol's rows weighted by ``trust``, real ``[B, M]``."""
        matrices = ops.cast(trust, "complex128")[..., None, None]
        return SymbolEquations(
            matrices * self.gram, matrices * self.moment, trust * self.power, trust * self.count
        )

    def plus(self, other: SymbolEquations) -> SymbolEquations:
        """Those of both sets of rows."""
        return SymbolEquations(*(a + b for a, b in zip(self, other, strict=True)))


def symbol_equations(features: Tensor, rows: np.ndarray, targets: Tensor) -> SymbolEquations:
    """Normal equations of some rows of every symbol, with targets that are known.

    Args:
        features: complex128 ``[B, M, K, F]``.
        rows: which resource elements count, bool ``[M, K]``.
        targets: complex ``[B, M, K, S]``.
    """
    taken = features * _backend.constant(rows[..., None], "complex128")
    count = ops.convert_to_tensor(rows.sum(axis=-1).astype(np.float64)[None], dtype="float64")
    gram = _backend.adjoint_product(taken, features)
    return with_targets(SymbolEquations(gram, 0.0, 0.0, count), features, rows, targets, 0.0)


def with_targets(
    equations: SymbolEquations,
    features: Tensor,
    rows: np.ndarray,
    targets: Tensor,
    variance: Tensor | float,
) -> SymbolEquations:
    """Those of the same rows with other targets, known up to ``variance``, real as the targets."""
    targets = ops.cast(targets, "complex128") * _backend.constant(rows[..., None], "complex128")
    moment = _backend.adjoint_product(features, targets)
    known = ops.convert_to_tensor(rows[..., None].astype(np.float64), dtype="float64")
    power = ops.sum(_backend.power(targets) + variance * known, axis=(2, 3))
    return equations._replace(moment=moment, power=power)
