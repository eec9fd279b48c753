"""From LLRs of the coded bits to what is known of every resource element."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .pilots import data_elements, grid_elements


class SoftSymbols:
    r"""Means and variances of the symbols of all streams on the occupied resource elements.

    .. math:: \bar x = \sum_i P_i\, c_i, \qquad v = \sum_i P_i |c_i|^2 - |\bar x|^2, \qquad
              P_i = \prod_j \big( 1 + e^{-b_{ij} L_j} \big)^{-1}

    with the points c of the constellation and their bits b, written as -1 and 1. Pilots are known.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        points: the constellation's points, complex ``[2^bits]``; the index of a point is its bits,
            the first one most significant.
        dtype: ``"complex64"`` or ``"complex128"``.
    """

    def __init__(self, resource_grid: Any, points: np.ndarray, dtype: str) -> None:
        self._points, self._dtype = np.asarray(points).astype(np.complex128), dtype
        self.num_bits = int(np.log2(len(self._points)))
        shifts = np.arange(self.num_bits)[::-1]
        self._signs = 2.0 * ((np.arange(len(self._points))[:, None] >> shifts) & 1) - 1.0
        occupied = grid_elements(resource_grid)
        places = np.searchsorted(occupied, data_elements(resource_grid))
        self._num_streams, self._num_data = places.shape
        sent = np.asarray(resource_grid.pilot_pattern.pilots).astype(np.complex128)
        self._pilots = sent.reshape(self._num_streams, -1)
        num_symbols = int(resource_grid.num_ofdm_symbols)
        self._shape = (num_symbols, len(occupied) // num_symbols)
        # Of each resource element, its place among a stream's data symbols, then its pilots
        self._order = np.zeros((self._num_streams, len(occupied)), int)
        for row, data in zip(self._order, places, strict=True):
            known = np.ones(len(occupied), bool)
            known[data] = False
            row[data] = np.arange(self._num_data)
            row[known] = self._num_data + np.arange(self._pilots.shape[1])

    def __call__(self, llr: Tensor) -> tuple[Tensor, Tensor]:
        """Means, complex, and variances, real, both ``[B, S, M, K]`` on the K occupied subcarriers.

        Args:
            llr: of the coded bits of every stream, real ``[B, S, D bits]``, positive for a one.
        """
        real = _backend.REAL_OF[self._dtype]
        shape = (-1, self._num_streams, self._num_data, 1, self.num_bits)
        llr = ops.reshape(ops.cast(llr, real), shape)
        logits = -ops.softplus(-llr * _backend.constant(self._signs, real))
        weights = ops.softmax(ops.sum(logits, axis=-1), axis=-1)

        def mean(values: np.ndarray) -> Tensor:
            return ops.sum(weights * _backend.constant(values, real), axis=-1)

        x = _backend.complex(mean(self._points.real), mean(self._points.imag))
        centred = mean(np.abs(self._points) ** 2) - _backend.power(x)
        variance = ops.cast(_backend.at_least(centred, 0.0), self._dtype)
        known = _backend.constant(self._pilots, self._dtype)
        x, variance = self._placed(x, known), self._placed(variance, 0 * known)
        return x, ops.real(variance)

    def _placed(self, data: Tensor, pilots: Tensor) -> Tensor:
        """Values of data ``[B, S, D]`` and pilots ``[S, P]`` where they are on the grid."""
        pilots = pilots + 0 * data[..., :1]
        values = ops.concatenate([data, pilots], axis=-1)
        length = values.shape[-1]
        places = self._order + length * np.arange(self._num_streams)[:, None]
        values = ops.take(ops.reshape(values, (-1, self._num_streams * length)), places, axis=-1)
        return ops.reshape(values, (-1, self._num_streams, *self._shape))
