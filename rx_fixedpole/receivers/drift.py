r"""The Doppler shift that all paths of a user share, told from one pilot symbol to the next."""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .doppler import DopplerTable
from .pole_model import PoleModel

# A turn between pilot symbols counts if they agree so well, and if it is no larger than this.
_COHERENT, _LARGEST = 0.8, np.pi / 2


class Drift:
    """Estimates and removes the common turn of a user's channel from symbol to symbol.

    It needs streams whose functions of time can be solved apart, and as many of these as pilot
    symbols; on other grids nothing is removed.

    Args:
        model: what pilots see.
        table: functions of time.
        symbols: OFDM symbols with pilots ``[Mp]``.
        num_symbols: M.
        enabled: False to leave everything as it is.
    """

    def __init__(
        self,
        model: PoleModel,
        table: DopplerTable,
        symbols: np.ndarray,
        num_symbols: int,
        enabled: bool,
    ) -> None:
        self._model = model
        functions = table.functions
        num_streams, num_functions = int(model.stream.max()) + 1, functions.shape[1]
        self._num_users = int(model.user.max()) + 1
        gaps = np.diff(symbols)
        apart = model.real.shape[1] == 1 and len(model.stream) == num_streams * num_functions
        square = 1 < num_functions == len(symbols)
        self._enabled = enabled and apart and square
        self._num_symbols = num_symbols
        if not self._enabled:
            return
        gap = int(gaps.min())
        self._functions = functions
        self._positions = (symbols - symbols[0]) / gap
        self._time = (np.arange(num_symbols) - symbols[0]) / gap
        close = np.flatnonzero(gaps == gap)
        self._next = functions[close + 1].T @ functions[close]  # [Q, Q]
        self._same = 0.5 * (
            functions[close + 1].T @ functions[close + 1] + functions[close].T @ functions[close]
        )
        self._order = np.zeros((num_streams, num_functions), int)
        self._order[model.stream[:, 0], model.function[:, 0]] = np.arange(len(model.stream))
        self._user = model.user[self._order[:, 0], 0]
        self._members = (self._user == np.arange(self._num_users)[:, None]).astype(float)

    def removed(self, z: Tensor, found: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Matched outputs ``[B, A, J, 1, K]`` without the turn, and the turn of every OFDM symbol.

        Returns:
            The outputs, and complex128 ``[B, U, M]`` of unit modulus.
        """
        still = ops.ones_like(ops.cast(found[..., :1], "complex128"))
        still = still * _backend.constant(np.ones(self._num_symbols), "complex128")
        if not self._enabled:
            return z, still
        angle = self._angle(z, found, no)
        rotation = self._rotation(angle[..., None] * _real(self._positions))
        rotation = ops.take(ops.cast(rotation, _backend.dtype(z)), self._user, axis=1)
        streams = ops.take(z[:, :, :, 0], self._order, axis=2)  # [B, A, S, Q, K]
        streams = rotation[:, None] @ streams
        flat = ops.reshape(streams, (-1, z.shape[1], self._order.size, z.shape[-1]))
        back = np.argsort(self._order.reshape(-1))
        turn = angle[..., None] * _real(self._time)
        turn = _backend.complex(ops.cos(turn), ops.sin(turn))
        return ops.take(flat, back, axis=2)[:, :, :, None], turn

    def _angle(self, z: Tensor, found: Tensor, no: Tensor) -> Tensor:
        """Turn from a pilot symbol to the next, radians, float64 ``[B, U]``."""
        heard = ops.take(ops.cast(found, "float64"), self._user, axis=1)
        streams = ops.cast(ops.take(z[:, :, :, 0], self._order, axis=2), "complex128")
        streams = streams * ops.cast(heard[:, None, :, None], "complex128")
        product = ops.sum(streams @ _backend.adjoint(streams), axis=1)  # [B, S, Q, Q]
        energy = _real(self._model.energy[self._order, 0])
        count = z.shape[1] * ops.sum(heard, axis=-1)[..., None]
        noise = ops.reshape(no, (-1, 1, 1)) * energy * count  # [B, S, Q]
        following = self._summed(product, self._next)
        power = ops.real(self._summed(product, self._same))
        power = power - self._summed_noise(noise, np.diag(self._same))
        angle = ops.arctan2(ops.imag(following), ops.real(following))
        size = ops.sqrt(_backend.power(following))
        counts = ops.logical_and(size > _COHERENT * power, ops.abs(angle) < _LARGEST)
        return ops.where(counts, angle, ops.zeros_like(angle))

    def _summed(self, product: Tensor, weights: np.ndarray) -> Tensor:
        weighted = product * _backend.constant(weights, "complex128")
        per_stream = ops.sum(weighted, axis=(2, 3))
        return per_stream @ _backend.constant(self._members.T, "complex128")

    def _summed_noise(self, noise: Tensor, weights: np.ndarray) -> Tensor:
        return ops.sum(noise * _real(weights), axis=-1) @ _real(self._members.T)

    def _rotation(self, phase: Tensor) -> Tensor:
        """``V^T diag(exp(-j phase)) V`` of phases ``[B, U, Mp]``."""
        turned = _backend.complex(ops.cos(phase), -ops.sin(phase))[..., None, :]
        functions = _backend.constant(self._functions, "complex128")
        return (_backend.constant(self._functions.T, "complex128") * turned) @ functions


def _real(x: np.ndarray) -> Tensor:
    return _backend.constant(x, "float64")
