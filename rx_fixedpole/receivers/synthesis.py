"""From coefficients of delays and time functions to the channel on the grid, and its error."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .doppler import DopplerTable
from .evidence import Posterior, Prior
from .pole_model import PoleModel

# Subcarriers on which the error variance is worked out; it is smooth between them.
_ERROR_POINTS = 32
# Share of the power below which what motion leaves open does not matter.
_NEGLIGIBLE = 1e-6


class Synthesis:
    """Channel and error variance on a resource grid.

    Args:
        model: what pilots see.
        table: how channels move.
        resource_grid: Sionna's ``ResourceGrid``.
        dtype: complex dtype of the channel.
    """

    def __init__(
        self, model: PoleModel, table: DopplerTable, resource_grid: Any, dtype: str
    ) -> None:
        self._model, self._table, self._dtype = model, table, dtype
        self._num_users = int(resource_grid.num_tx)
        self._per_user = int(resource_grid.num_streams_per_tx)
        self._num_symbols = int(resource_grid.num_ofdm_symbols)
        num_streams, num_functions = self._num_users * self._per_user, table.powers.shape[1]
        subcarriers = np.asarray(resource_grid.effective_subcarrier_ind)
        self._ramps = model.delays.response(subcarriers).T
        self._user = np.arange(num_streams) // self._per_user
        # Where the part of each stream and function is; the last place is for those not heard
        missing = model.real.size
        self._order = np.full((num_streams, num_functions), missing)
        places = np.arange(missing).reshape(model.real.shape)
        self._order[model.stream[model.real], model.function[model.real]] = places[model.real]
        self._pairs, self._together, self._covariances = self._paired()
        self._open = np.log(table.unknown + _NEGLIGIBLE)
        points = np.linspace(0, len(subcarriers) - 1, _ERROR_POINTS)
        self._points = np.unique(points.round().astype(int))
        columns = np.arange(len(subcarriers))
        hats = [np.interp(columns, self._points, row) for row in np.eye(len(self._points))]
        self._hats = np.array(hats)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """``(num_tx, S, M, num_effective_subcarriers)``."""
        return self._num_users, self._per_user, self._num_symbols, self._ramps.shape[1]

    def __call__(
        self, mean: Tensor, posterior: Posterior, prior: Prior, turn: Tensor, missing: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The channel ``[B, A, streams, M, K]`` and its error variance, the antennas' mean.

        Args:
            mean: coefficients, complex128 ``[B, A, J, I, k]``.
            posterior, prior: what they come from.
            turn: common turn of every OFDM symbol, complex128 ``[B, U, M]``.
            missing: power of what the chosen delays leave out, float64 ``[B, U]``.
        """
        num_functions = self._order.shape[1]
        weights = prior.speeds @ _real(
            self._table.interpolation.reshape(len(self._table.powers), -1)
        )
        weights = ops.reshape(weights, (-1, self._num_users, self._num_symbols, num_functions))
        moved = ops.cast(weights, "complex128") * turn[..., None]
        response = self._responses(mean, prior)
        h_hat = ops.cast(ops.take(moved, self._user, axis=1), self._dtype) @ response
        shape = (-1, len(self._user), self._num_symbols, mean.shape[1], self._ramps.shape[1])
        h_hat = ops.transpose(ops.reshape(h_hat, shape), (0, 3, 1, 2, 4))
        error = self._variance(posterior, prior, ops.take(weights, self._user, axis=1))
        left = ops.take(self._left_open(prior) + missing[..., None], self._user, axis=1)
        return h_hat, ops.cast(error + left[..., None], _backend.REAL_OF[self._dtype])

    def _responses(self, mean: Tensor, prior: Prior) -> Tensor:
        """Response of every stream and function of time, ``[B, streams, Q, A K]``."""
        model, (num_streams, num_functions) = self._model, self._order.shape
        num_ant, size = mean.shape[1], mean.shape[-1]
        shift = self._shift(prior.chosen, model.user, np.arange(len(model.kind)))
        mean = ops.cast(mean * shift[:, None], self._dtype)
        mean = ops.reshape(mean, (-1, num_ant, model.real.size, size))
        mean = ops.pad(mean, [(0, 0), (0, 0), (0, 1), (0, 0)])
        mean = ops.transpose(ops.take(mean, self._order, axis=2), (0, 2, 3, 1, 4))
        mean = ops.reshape(mean, (-1, num_streams, num_functions * num_ant, size))
        ramps = ops.take(_backend.constant(self._ramps, self._dtype), prior.chosen, axis=0)
        response = mean @ ops.take(ramps, self._user, axis=1)
        return ops.reshape(response, (-1, num_streams, num_functions, num_ant * ramps.shape[-1]))

    def _shift(self, chosen: Tensor, user: np.ndarray, block: np.ndarray) -> Tensor:
        """Phase that takes coefficients of parts ``[.., I]`` of blocks to DC, ``[B, .., I, k]``."""
        shift = self._model.shift
        place = ops.cast(ops.take(chosen, user, axis=1), "int32")
        place = place + (block[:, None, None] * shift.shape[1]).astype(np.int32)
        return ops.take(_backend.constant(shift.reshape(-1), "complex128"), place)

    def _variance(self, posterior: Posterior, prior: Prior, weights: Tensor) -> Tensor:
        """Posterior variance of the channel, float64 ``[B, streams, M, K]``.

        Args:
            posterior, prior: of the coefficients.
            weights: from functions of time to OFDM symbols, float64 ``[B, streams, M, Q]``.
        """
        model, size = self._model, prior.chosen.shape[-1]
        user = model.user[model.example]
        kinds, parts = user.shape
        ramps = _backend.constant(self._ramps[:, self._points].conj(), self._dtype)
        ramps = ops.take(ops.take(ramps, prior.chosen, axis=0), user.reshape(-1), axis=1)
        ramps = ops.reshape(ramps, (-1, 1, kinds, parts, size, len(self._points)))
        shift = ops.conj(self._shift(prior.chosen, user, model.example))
        root = ops.reshape(posterior.root, (-1, *posterior.root.shape[1:4], parts, size))
        root = ops.transpose(root, (0, 1, 2, 4, 3, 5)) * shift[:, None, :, :, None, :]
        root = ops.cast(root, self._dtype) @ ramps  # [B, V, C, I, I k, points]
        pairs = []
        for i, j in self._pairs:
            one, other = root[:, :, :, i], root[:, :, :, j]
            both = _backend.power(one) if i == j else 2.0 * ops.real(ops.conj(one) * other)
            pairs.append(ops.mean(ops.sum(both, axis=-2), axis=1))
        pairs = ops.reshape(ops.stack(pairs, axis=2), (-1, kinds * len(pairs), len(self._points)))
        pairs = ops.cast(ops.pad(pairs, [(0, 0), (0, 1), (0, 0)]), "float64")
        first, second = np.transpose(self._together)
        weights = ops.take(weights, first, axis=-1) * ops.take(weights, second, axis=-1)
        # In double precision: TensorFlow's single-precision product (oneDNN) overruns its memory
        # where a stack of matrices meets one matrix.
        return (weights @ ops.take(pairs, self._covariances, axis=1)) @ _real(self._hats)

    def _paired(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]], np.ndarray]:
        """Which covariances a stream's error consists of.

        Functions of time that are solved apart are independent; others have a covariance.

        Returns:
            Pairs of parts of a block, pairs of functions of time, and the place of each stream's
            covariance of these, ``[streams, pairs of functions]``, among kinds and pairs of parts;
            the last place is for what there is not.
        """
        model, num_streams = self._model, self._order.shape[0]
        found: dict[tuple[int, int, int], tuple[int, tuple[int, int]]] = {}
        for j, kind in enumerate(model.kind):
            for s in np.unique(model.stream[j][model.real[j]]):
                own = np.flatnonzero(model.real[j] & (model.stream[j] == s))
                for a, b in itertools.combinations_with_replacement(own, 2):
                    p, q = int(model.function[j, a]), int(model.function[j, b])
                    found[int(s), p, q] = int(kind), (int(a), int(b))
        parts = sorted({pair for _, pair in found.values()})
        functions = sorted({(p, q) for _, p, q in found})
        places = np.full((num_streams, len(functions)), len(model.example) * len(parts))
        for (s, p, q), (kind, own) in found.items():
            places[s, functions.index((p, q))] = kind * len(parts) + parts.index(own)
        return parts, functions, places

    def _left_open(self, prior: Prior) -> Tensor:
        """Power that no interpolation in time recovers, float64 ``[B, U, M]``.

        It goes with about the fourth power of a speed that few paths tell, so its logarithm is
        averaged: what fast outliers leave open would outweigh all the others.
        """
        share = ops.exp(prior.speeds @ _real(self._open)) - _NEGLIGIBLE
        return share * ops.sum(prior.delays, axis=-1, keepdims=True)


def _real(x: np.ndarray) -> Tensor:
    return _backend.constant(x, "float64")
