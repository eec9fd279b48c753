"""The noise that a channel estimate was found in, measured where all streams are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .pilots import grid_elements


class PilotResidual:
    r"""Total noise variance on the pilots: thermal, interference, prefix overrun, all of it.

    .. math:: \hat\sigma^2 = \frac1P \sum_p \Big( \big| y_p - \sum_s \hat h_{ps} x_{ps} \big|^2
              + \sum_s \mathrm{err}_{ps} |x_{ps}|^2 \Big)

    A linear estimate of error variance ``lambda sigma^2`` leaves ``(1 - lambda) sigma^2`` of the
    noise at the pilots it was fitted to, so adding the first to the second undoes the fit.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
    """

    def __init__(self, resource_grid: Any) -> None:
        pattern = resource_grid.pilot_pattern
        mask = np.asarray(pattern.mask).astype(bool)
        mask = mask.reshape(mask.shape[0] * mask.shape[1], -1)
        pilots = np.asarray(pattern.pilots).astype(np.complex128).reshape(len(mask), -1)
        sent = np.zeros(mask.shape, np.complex128)
        sent[mask] = pilots.reshape(-1)
        self._places = np.flatnonzero(mask.all(axis=0))  # among the occupied elements
        self._elements = grid_elements(resource_grid)[self._places]
        self._sent = sent[:, self._places]  # [S, P]

    def variance(self, y: Tensor, h: Tensor, err_var: Tensor) -> Tensor:
        """Noise variance of every antenna, real ``[B, A]``; zero without common pilots.

        Args:
            y: received grid, complex ``[B, A, M fft_size]``.
            h: estimate ``[B, A, S, M, K]`` on the occupied subcarriers.
            err_var: its error variance, real, of the same shape.
        """
        if len(self._places) == 0:
            return ops.zeros_like(ops.real(y[..., 0]))
        dtype, flat = _backend.dtype(y), (-1, *h.shape[1:3], h.shape[3] * h.shape[4])
        h, err_var = (ops.take(ops.reshape(x, flat), self._places, axis=-1) for x in (h, err_var))
        error = ops.take(y, self._elements, axis=-1)
        error = error - ops.sum(ops.cast(h, dtype) * _backend.constant(self._sent, dtype), axis=2)
        power = _backend.constant(np.abs(self._sent) ** 2, _backend.dtype(err_var))
        return ops.mean(_backend.power(error) + ops.sum(err_var * power, axis=2), axis=-1)
