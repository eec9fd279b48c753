"""What a cyclic prefix shorter than the channel takes from a symbol, given back by cancellation."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .demodulation import advance
from .mmse import fine_size
from .prefix import lost_share


class Circularity:
    r"""Restores the circular convolution of OFDM symbols with the taps of their channel.

    .. math:: \tilde y_m = y_m + \sum_s \Big( H_{s,m} \bar x_{s,m}
              - \mathrm{DFT}\big[ (h_{s,m} * \bar x_s)(t) \big]_{t \in m} \Big)

    The DFT is that of the FFT window, in which the tails of neighbouring symbols stand where parts
    of the symbol itself should. With symbols that are known, :math:`\tilde y = H x + w` whatever
    the prefix is. Symbols of variance v leave interference, :meth:`interference`, and of the own
    symbol's gain only what is in the window, :meth:`gain`.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        lags: of the taps, int ``[L]``, ascending by one.
        shift: start of the FFT window, relative to the end of the prefix.
    """

    def __init__(self, resource_grid: Any, lags: np.ndarray, shift: int) -> None:
        size, prefix = int(resource_grid.fft_size), int(resource_grid.cyclic_prefix_length)
        num_symbols = int(resource_grid.num_ofdm_symbols)
        self._size, self._prefix, self._num_lags = size, prefix, len(lags)
        occupied = np.asarray(resource_grid.effective_subcarrier_ind)
        lost = lost_share(lags, shift, prefix, size)
        ramps = np.exp(-2j * np.pi * np.outer(lags, np.arange(size) - size // 2) / size)
        self._ramps, self._occupied = ramps, occupied
        self._weakened = ((1 - lost)[:, None] * ramps)[:, occupied]
        self._overrun = 2 * lost - lost**2
        # Subcarriers in the order of the DFT, from the occupied ones and a zero after them
        self._bins = np.full(size, len(occupied))
        self._bins[(occupied - size // 2) % size] = np.arange(len(occupied))
        self._centred = (np.arange(size) - size // 2) % size
        starts = np.arange(num_symbols) * (size + prefix) + prefix + shift
        samples = starts[:, None] - int(lags[-1]) + np.arange(size + len(lags) - 1)
        self._before = max(0, -int(samples.min()))
        self._after = max(0, int(samples.max()) + 1 - num_symbols * (size + prefix))
        self._samples = samples + self._before
        self._fine = fine_size(size + len(lags) - 1)
        self._undo = advance(size, -shift) / np.sqrt(size)

    def restored(self, y: Tensor, taps: Tensor, x: Tensor) -> Tensor:
        """The grid as a long prefix would have made it.

        Args:
            y: received grid, complex ``[B, A, M, fft_size]``.
            taps: complex ``[B, A, S, M, L]``.
            x: means of the symbols, complex ``[B, S, M, K]`` on the occupied subcarriers.
        """
        dtype = _backend.dtype(y)
        spectra = ops.take(ops.pad(x, [(0, 0)] * 3 + [(0, 1)]), self._bins, axis=-1)
        symbols = _backend.ifft(spectra) * float(np.sqrt(self._size))
        if self._prefix:
            symbols = ops.concatenate([symbols[..., -self._prefix :], symbols], axis=-1)
        length = int(symbols.shape[-2] * symbols.shape[-1])
        waves = ops.reshape(symbols, (-1, x.shape[1], length))
        waves = ops.pad(waves, [(0, 0), (0, 0), (self._before, self._after)])
        sent = self._fine_spectrum(ops.take(waves, self._samples, axis=-1))
        seen = ops.sum(sent[:, None] * self._fine_spectrum(taps), axis=2)
        first = self._num_lags - 1
        seen = _backend.fft(_backend.ifft(seen)[..., first : first + self._size])
        seen = ops.take(seen, self._centred, axis=-1) * _backend.constant(self._undo, dtype)
        response = taps @ _backend.constant(self._ramps, dtype)
        centred = ops.take(spectra, self._centred, axis=-1)
        return y + ops.sum(response * centred[:, None], axis=2) - seen

    def gain(self, taps: Tensor) -> Tensor:
        """Gain of the symbols as the window has it, ``[B, A, S, M, K]`` of ``[B, A, S, M, L]``."""
        return taps @ _backend.constant(self._weakened, _backend.dtype(taps))

    def interference(self, taps: Tensor, variance: Tensor) -> Tensor:
        """Mean power on an antenna that unsure symbols leave, real ``[B, M]``.

        Args:
            taps: complex ``[B, A, S, M, L]``.
            variance: of the symbols, real ``[B, S, M, K]``.
        """
        power = ops.mean(_backend.power(taps), axis=1)
        outside = ops.sum(power * _backend.constant(self._overrun, _backend.dtype(power)), axis=-1)
        unsure = ops.sum(variance, axis=-1) / self._size  # [B, S, M]
        # As much of it is of the symbol itself as of the one before
        before = ops.pad(unsure[..., :-1], [(0, 0), (0, 0), (1, 0)])
        return ops.sum(outside * 0.5 * (unsure + before), axis=1)

    def _fine_spectrum(self, x: Tensor) -> Tensor:
        padding = [(0, 0)] * (len(x.shape) - 1) + [(0, self._fine - x.shape[-1])]
        return _backend.fft(ops.pad(x, padding))
