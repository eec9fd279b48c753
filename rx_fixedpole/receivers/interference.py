r"""The spatial covariance of noise and interference on every subcarrier, from pilot residuals.

In units of the thermal noise, the covariance is the identity without interference, and
interference can only add to it. The sample covariance of few pilots scatters around it: with n
samples of A antennas its eigenvalues reach ``(1 + sqrt(A / n))^2`` by chance (Marchenko-Pastur).
Eigenvalues that chance explains are taken for one, larger ones for what they are:

.. math:: f(\lambda) = 1 + (\lambda - 1) \frac{\lambda^8}{\lambda^8 + \tau^8}

This is a rational function, so it applies to the matrix itself, without its eigenvectors.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .small_matrices import identity_like, inverse, product

# Subcarriers on each side of one that share its covariance.
REACH = 8
# Samples an antenna that the covariance of the whole slot counts for beside those within reach.
GLOBAL_SAMPLES = 2.0
# Eigenvalues up to this much beyond the largest one by chance are taken for chance.
MARGIN = 1.2
# The exponent of the test is 2 to this power.
DOUBLINGS = 3


class _Weights(NamedTuple):
    """Samples, in units of free ones, that stand behind a subcarrier's covariance."""

    near: Tensor  # [N, K] within reach
    far: Tensor  # [N, 1] in the whole slot
    prior: float  # what the latter count for
    count: Tensor  # [N, K] both


class SpatialCovariance:
    """Covariance of every occupied subcarrier in units of the thermal noise.

    Args:
        places: positions ``symbol * num_subcarriers + subcarrier`` of the residuals among the
            occupied resource elements, int ``[P]``.
        num_subcarriers: number K of occupied subcarriers.
    """

    def __init__(self, places: np.ndarray, num_subcarriers: int) -> None:
        symbols, row = np.unique(places // num_subcarriers, return_inverse=True)
        # Elements without a residual point behind the last one, where a zero is
        self._source = np.full((len(symbols), num_subcarriers), len(places))
        self._source[row, places % num_subcarriers] = np.arange(len(places))

    def __call__(self, residuals: Tensor, slack: Tensor) -> Tensor:
        """Covariance of every slot and subcarrier.

        Args:
            residuals: complex ``[N, A, P]``.
            slack: their variance over that of the noise, real ``[N, P]``.

        Returns:
            Complex ``[A, A, N, K]``, positive definite.
        """
        dtype = _backend.dtype(residuals)
        e = self._on_grid(ops.transpose(residuals, (1, 0, 2)))
        outer = ops.sum(e[:, None] * ops.conj(e), axis=-2)
        near, far = window_sum(outer), ops.sum(outer, axis=-1, keepdims=True)
        num_ant = int(residuals.shape[1])
        weight = self._weights(slack, num_ant)
        sample = near + far * ops.cast(weight.prior / weight.far, dtype)
        sample = sample * ops.cast(1.0 / weight.count, dtype)
        # Samples that scatter as much as the two sets with their weights
        prior = weight.prior
        scatter = weight.near + (prior**2 + 2 * prior * weight.near) / weight.far
        independent = _backend.at_least(ops.square(weight.count) / scatter, 1.0)
        edge = MARGIN * ops.square(1.0 + ops.sqrt(num_ant / independent))
        return beyond_chance(sample, edge)

    def shares(self, slack: Tensor, num_ant: int) -> Tensor:
        """Share of one residual in the sample covariance of its own subcarrier, real ``[N, K]``."""
        weight = self._weights(slack, num_ant)
        return (1.0 + weight.prior / weight.far) / weight.count

    def _weights(self, slack: Tensor, num_ant: int) -> _Weights:
        weight = ops.sum(self._on_grid(slack), axis=-2)
        near = window_sum(weight)
        far = _backend.at_least(ops.sum(weight, axis=-1, keepdims=True), 1e-6)
        prior = GLOBAL_SAMPLES * num_ant
        return _Weights(near, far, prior, near + prior)

    def _on_grid(self, values: Tensor) -> Tensor:
        """Values ``[..., P]`` on their resource elements ``[..., symbols, K]``, zeros elsewhere."""
        values = ops.concatenate([values, ops.zeros_like(values[..., :1])], axis=-1)
        return ops.take(values, self._source, axis=-1)


def window_sum(x: Tensor) -> Tensor:
    """Sum over the subcarriers within reach, along the last axis, by doubling shifts."""
    size = x.shape[-1]
    edge = ops.repeat(ops.zeros_like(x[..., :1]), REACH, axis=-1)
    padded = ops.concatenate([edge, x, edge], axis=-1)
    total, length = padded, 1
    while 2 * length <= 2 * REACH + 1:
        total = total[..., : total.shape[-1] - length] + total[..., length:]
        length *= 2
    for rest in range(length, 2 * REACH + 1):
        total = total[..., :size] + padded[..., rest : rest + size]
    return total


def beyond_chance(sample: Tensor, edge: Tensor) -> Tensor:
    """``f`` of this module with ``tau = edge``.

    Args:
        sample: Hermitian ``[A, A, N, K]``.
        edge: real ``[N, K]``.
    """
    dtype = _backend.dtype(sample)
    unit = identity_like(sample)
    kept = unit - inverse(unit + sample * ops.cast(1.0 / edge, dtype))

    def double(_: Tensor, kept: Tensor) -> Tensor:
        lost = unit - kept
        square = product(kept, kept)
        return product(square, inverse(square + product(lost, lost)))

    # A loop, so that one step is compiled
    kept = ops.fori_loop(0, DOUBLINGS, double, kept)
    covariance = unit + product(sample - unit, kept)
    return 0.5 * (covariance + ops.conj(ops.swapaxes(covariance, 0, 1)))
