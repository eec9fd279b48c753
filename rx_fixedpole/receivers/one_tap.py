"""Linear MMSE detection on every resource element, in white noise."""

from __future__ import annotations

from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .small_matrices import linear_mmse


def one_tap(y: Tensor, h: Tensor, err_var: Tensor) -> tuple[Tensor, Tensor]:
    """Unbiased symbols and their error variance; the channel's error counts as noise.

    Args:
        y: samples in units of the noise's standard deviation, complex ``[N, A, M, K]``.
        h: channel likewise, ``[N, A, streams, M, K]``.
        err_var: its error variance, mean over the antennas, real ``[N, streams, M, K]``.

    Returns:
        ``[N, streams, M, K]``, complex and real.
    """
    scale = ops.cast(ops.rsqrt(1.0 + ops.sum(err_var, axis=1)), _backend.dtype(y))
    h, y = ops.transpose(h, (1, 2, 0, 3, 4)) * scale, ops.transpose(y, (1, 0, 2, 3)) * scale
    x_hat, no_eff = linear_mmse(h, y)
    return ops.transpose(x_hat, (1, 0, 2, 3)), ops.transpose(no_eff, (1, 0, 2, 3))
