"""A pass over a slot most of whose symbols are known: identify, restore, cancel and detect."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .cancellation import detect
from .circularity import Circularity
from .doppler import fastest_shift
from .pilots import pilot_groups
from .residual import PilotResidual
from .virtual_pilots import Channel, VirtualPilots
from .wiener import FIRST_LAG

# Updates of the channel from nothing, and once more where the prefix has been made good.
_FIRST_UPDATES, _MORE_UPDATES = 4, 2
# Noise relative to the received power below which the factorisations lose their digits.
_LEAST_NOISE = 1e-10


class Redetection:
    r"""Detects a slot again from what is known of its symbols, mean :math:`\bar x`, variance v.

    The channel is identified with the means as pilots, the less sure ones weighing less, then used
    to make good what a short prefix takes, and identified once more. Detection has interference
    between symbols, subcarriers and streams cancelled as far as it is known,

    .. math:: \tilde y - \sum_s \bar x_s h_s = \sum_s (x_s - \bar x_s) h_s + w.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        l_min: time of the first received sample relative to the first transmitted one, <= 0.
        dtype: of the received grid, ``"complex64"`` or ``"complex128"``.
    """

    def __init__(self, resource_grid: Any, l_min: int, dtype: str) -> None:
        size, prefix = int(resource_grid.fft_size), int(resource_grid.cyclic_prefix_length)
        lags = min(l_min, FIRST_LAG) + np.arange(max(1, size // 2))
        #: Start of the FFT window behind which the received grid is expected.
        self.capture = -min(prefix // 2, -l_min)
        pilots = np.concatenate([group.elements for group in pilot_groups(resource_grid)])
        self._channel = VirtualPilots(resource_grid, lags, fastest_shift(np.unique(pilots // size)))
        self._prefix = Circularity(resource_grid, lags, self.capture)
        self._residual = PilotResidual(resource_grid)
        occupied = np.asarray(resource_grid.effective_subcarrier_ind)
        self._occupied, self._size, self._dtype = occupied, size, dtype
        self._ramps = np.exp(-2j * np.pi * np.outer(lags, occupied - size // 2) / size)

    def __call__(self, y: Tensor, no: Tensor, x: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Unbiased estimates ``[B, S, M, K]`` and their error variance, real.

        Args:
            y: received grid, complex ``[B, A, M, fft_size]``.
            no: thermal noise variance, real ``[B]``.
            x, variance: of the symbols, complex and real ``[B, S, M, K]``.
        """
        taps, noise, restored = self._identified(y, no, x, variance)
        error = restored - ops.sum(self._response(taps) * x[:, None], axis=2)
        return detect(error, self._prefix.gain(taps), x, variance, noise)

    def _identified(
        self, y: Tensor, no: Tensor, x: Tensor, variance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Taps, the noise of detection ``[B, M, K]``, and the grid with the prefix made good."""
        seen = ops.take(y, self._occupied, axis=-1)
        power = ops.mean(_backend.power(seen), axis=(1, 2, 3))
        no = _backend.at_least(no, _LEAST_NOISE * power + 1e-30)
        power = _backend.at_least(power - no, 0.0)[:, None, None] / x.shape[1]
        noise = no[:, None, None] + power * ops.sum(variance, axis=1)
        channel = self._channel.start(seen, x, variance, noise)
        channel = self._channel.refined(channel, seen, x, variance, noise, updates=_FIRST_UPDATES)
        # The prefix is made good with the taps that were found without, and these found again
        restored = self._prefix.restored(y, channel.taps, x)
        response = ops.mean(_backend.power(self._response(channel.taps)), axis=1)
        unsure = self._prefix.interference(channel.taps, variance)[..., None]
        noise = no[:, None, None] + ops.sum(variance * response, axis=1) + unsure
        seen = ops.take(restored, self._occupied, axis=-1)
        channel = self._channel.refined(channel, seen, x, variance, noise, updates=_MORE_UPDATES)
        restored = self._prefix.restored(y, channel.taps, x)
        unsure = self._prefix.interference(channel.taps, variance)[..., None]
        noise = self._left(restored, channel, no)[:, None, None] + channel.error[..., None] + unsure
        restored = ops.take(restored, self._occupied, axis=-1)
        return channel.taps, noise + ops.zeros_like(variance[:, 0]), restored

    def _response(self, taps: Tensor) -> Tensor:
        """The channel ``[B, A, S, M, K]`` on the occupied subcarriers."""
        return taps @ _backend.constant(self._ramps, self._dtype)

    def _left(self, y: Tensor, channel: Channel, no: Tensor) -> Tensor:
        """Noise variance of every slot by what the channel leaves of the pilots, ``[B]``."""
        response = self._response(channel.taps)
        error = channel.error[:, None, None, :, None] / response.shape[2]
        flat = ops.reshape(y, (-1, y.shape[1], y.shape[2] * self._size))
        error = error + ops.zeros_like(ops.real(response))
        left = ops.mean(self._residual.variance(flat, response, error), axis=-1)
        return _backend.at_least(left, no)
