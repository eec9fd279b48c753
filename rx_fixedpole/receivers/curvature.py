r"""What weights that are a line in time miss of a channel between the symbols with pilots.

Pilots on two OFDM symbols fit any line, so they cannot show it. The channel's estimate h knows the
Doppler spread, and goes on between them along its correlation in time. With :math:`L` the weights
of a least-squares line through the symbols with pilots, and :math:`\epsilon` the variance of the
estimate's error, the power that a line misses is, over that of the channel,

.. math:: \kappa = \frac{\sum_t |h(t) - (L h)(t)|^2 + \max(0, \epsilon(t) - (L \epsilon)(t))}
          {\sum_t |h(t)|^2}

Equalizers' weights follow the channel's inverse, whose relative error is the same to first order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .layout import StreamLayout


class Curvature:
    """Of one grid.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        pilot_elements: resource elements with pilots, int ``[P]``, on two OFDM symbols or more.
        layout: where the streams are.
    """

    def __init__(
        self, resource_grid: Any, pilot_elements: np.ndarray, layout: StreamLayout
    ) -> None:
        symbols = np.unique(pilot_elements // int(resource_grid.fft_size))
        self._beside = np.eye(int(resource_grid.num_ofdm_symbols))
        self._beside[:, symbols] -= line_through(symbols, int(resource_grid.num_ofdm_symbols))
        self._layout = layout

    def __call__(self, h_hat: Tensor, err_var: Tensor) -> Tensor:
        """Share of a symbol's power that is missed, real ``[B, num_tx, S]``.

        Args:
            h_hat: ``[B, R, A, num_tx, S, M, K]``.
            err_var: ``[B, R, 1, num_tx, S, M, K]``.
        """
        missed = _backend.power(self._of(h_hat, _backend.dtype(h_hat)))
        wider = self._of(err_var, _backend.dtype(err_var))
        missed = ops.sum(missed + _backend.at_least(wider, 0.0), axis=(2, 5, 6))
        power = ops.sum(_backend.power(h_hat), axis=(2, 5, 6))
        ratio = missed / _backend.at_least(power, 1e-30)
        num_streams = self._layout.num_streams
        return self._layout.rows(ops.reshape(ratio, (-1, num_streams, 1)))[..., 0]

    def _of(self, values: Tensor, dtype: str) -> Tensor:
        # As one matrix: TensorFlow's float32 product of many with one writes beside its buffer
        rows = ops.swapaxes(values, -1, -2)
        flat = ops.reshape(rows, (-1, values.shape[-2]))
        flat = flat @ _backend.constant(self._beside.T, dtype)
        return ops.swapaxes(ops.reshape(flat, (-1, *rows.shape[1:])), -1, -2)


def line_through(symbols: np.ndarray, num_symbols: int) -> np.ndarray:
    """Weights ``[M, n]`` that take values at some symbols to their least-squares line at all.

    >>> line_through(np.array([0, 2]), 3)
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]])
    """
    design = np.stack([np.ones(len(symbols)), symbols], axis=1)
    at_all = np.stack([np.ones(num_symbols), np.arange(num_symbols)], axis=1)
    return np.round(at_all @ np.linalg.pinv(design), 12) + 0.0
