r"""Detection with soft interference cancellation, resource element by resource element.

.. math:: C = \sum_s v_s h_s h_s^H + \sigma^2 I, \quad q_s = h_s^H C^{-1} h_s, \quad
          \hat x_s = \bar x_s + h_s^H C^{-1} e / q_s, \quad \mathrm{E}|\hat x_s - x_s|^2
          = 1 / q_s - v_s

for ``e`` what the means of all symbols leave of the received samples. The estimate of a symbol
does not depend on what was known of it: its own mean, which ``e`` lacks, is put back.
"""

from __future__ import annotations

from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from . import small_matrices
from .reliability import SMALLEST_ERROR


def detect(
    error: Tensor, channel: Tensor, mean: Tensor, variance: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Unbiased estimates ``[B, S, M, K]`` and their error variance, real.

    Args:
        error: received samples less those of the means, complex ``[B, A, M, K]``.
        channel: complex ``[B, A, S, M, K]``.
        mean, variance: of the symbols, complex and real ``[B, S, M, K]``.
        noise: variance of what else there is, real ``[B, M, K]``.
    """
    dtype = _backend.dtype(error)
    h = ops.transpose(channel, (1, 2, 0, 3, 4))
    v = ops.cast(ops.transpose(variance, (1, 0, 2, 3)), dtype)
    covariance = ops.sum((v * h)[:, None] * ops.conj(h)[None], axis=2)
    covariance = covariance + small_matrices.identity_like(covariance) * ops.cast(noise, dtype)
    seen = ops.concatenate([h, ops.transpose(error, (1, 0, 2, 3))[:, None]], axis=1)
    seen = small_matrices.forward(covariance, seen)
    h, error = seen[:, :-1], seen[:, -1:]
    gain = _backend.at_least(ops.sum(_backend.power(h), axis=0), 1e-12)
    added = ops.sum(ops.conj(h) * error, axis=0) / ops.cast(gain, dtype)
    left = 1.0 / gain - ops.real(v)
    left = _backend.at_least(left, SMALLEST_ERROR)
    return mean + ops.transpose(added, (1, 0, 2, 3)), ops.transpose(left, (1, 0, 2, 3))
