"""From coefficients of delays and time functions to the channel on the grid, and its error."""

from __future__ import annotations

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
# Powers learnt from one observation of each delay are off by so much that the posterior variance
# understates the error by this share [measured]; it falls with the square of their number.
_UNSURE = 0.25


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
        self, mean: Tensor, posterior: Posterior, prior: Prior, turn: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The channel ``[B, A, streams, M, K]`` and its error variance, the antennas' mean.

        Args:
            mean: coefficients, complex128 ``[B, A, J, I, k]``.
            posterior, prior: what they come from.
            turn: common turn of every OFDM symbol, complex128 ``[B, U, M]``.
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
        return h_hat, self._error(posterior, prior, ops.take(weights, self._user, axis=1), mean)

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

    def _error(self, posterior: Posterior, prior: Prior, weights: Tensor, mean: Tensor) -> Tensor:
        """Posterior variance ``[B, streams, M, K]`` of the channel, and what motion leaves open."""
        model, size = self._model, prior.chosen.shape[-1]
        user = model.user[model.example]
        kinds, parts = user.shape
        ramps = _backend.constant(self._ramps[:, self._points].conj(), self._dtype)
        ramps = ops.take(ops.take(ramps, prior.chosen, axis=0), user.reshape(-1), axis=1)
        ramps = ops.reshape(ramps, (-1, 1, kinds, parts, size, len(self._points)))
        shift = ops.conj(self._shift(prior.chosen, user, model.example))
        root = ops.reshape(posterior.root, (-1, *posterior.root.shape[1:4], parts, size))
        root = ops.transpose(root, (0, 1, 2, 4, 3, 5)) * shift[:, None, :, :, None, :]
        error = ops.sum(_backend.power(ops.cast(root, self._dtype) @ ramps), axis=-2)
        error = ops.reshape(ops.mean(error, axis=1), (-1, kinds * parts, len(self._points)))
        places = np.append((model.kind[:, None] * parts + np.arange(parts)).reshape(-1), 0)
        heard = (self._order < model.real.size)[..., None]
        error = ops.cast(ops.take(error, places[self._order], axis=1), "float64") * _real(heard)
        # In double precision: TensorFlow's single-precision product (oneDNN) overruns its memory
        # where a stack of matrices meets one matrix.
        error = (weights**2 @ error) @ _real(self._hats)
        unknown = prior.speeds @ _real(self._table.unknown)
        unknown = unknown * ops.sum(prior.delays, axis=-1, keepdims=True)
        error = error * self._unsure(prior, mean.shape[1])
        error = error + ops.take(unknown, self._user, axis=1)[..., None]
        return ops.cast(error, _backend.REAL_OF[self._dtype])

    def _unsure(self, prior: Prior, num_ant: int) -> Tensor:
        """Factor ``[B, streams, 1, 1]`` on the variance for powers learnt from few observations."""
        powers = prior.speeds @ _real(self._table.powers)
        functions = ops.square(ops.sum(powers, axis=-1)) / ops.sum(ops.square(powers), axis=-1)
        factor = 1.0 + _UNSURE / ops.square(num_ant * self._per_user * functions)
        return ops.take(factor, self._user, axis=1)[..., None, None]


def _real(x: np.ndarray) -> Tensor:
    return _backend.constant(x, "float64")
