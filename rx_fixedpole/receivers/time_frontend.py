"""Features along time: a delay line and a bank that run over the received samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend, recurrence
from rx_fixedpole._backend import Tensor
from rx_fixedpole.recurrence.compiled import compiled, frozen

from .delay_products import delay_products, take_samples
from .frontend import FrontEnd, feature_scales


class TimeFrontEnd(FrontEnd):
    """Features of received samples ``[B, A, T]``, the first one taken at time ``l_min``."""

    def __init__(
        self,
        resource_grid: Any,
        poles: np.ndarray,
        basis: str,
        window: int,
        delay: int,
        dtype: str,
        l_min: int,
    ) -> None:
        super().__init__(resource_grid, poles, basis, window, delay, dtype)
        prefix = int(resource_grid.cyclic_prefix_length)
        # Sample of y at which the FFT window of each symbol starts once the delay is undone.
        self._starts = np.arange(self.num_symbols) * (self.fft_size + prefix) + prefix - l_min
        self._starts = self._starts + delay
        shift = np.arange(self.fft_size) - self.fft_size // 2
        self._bins = shift % self.fft_size

    def features(self, y: Tensor, elements: np.ndarray) -> Tensor:
        """Features ``[B, P, A F]`` at resource elements ``[P]``."""
        symbols, rows, bins = self._places(elements)
        places = rows * self.fft_size + bins
        parts = []
        if self.window:
            constants = (frozen(self._starts[symbols]), self.fft_size, self.window, frozen(places))
            spectra = compiled(_line_spectra, constants, (y.shape[1:], y.dtype), in_graphs=True)(y)
            parts.append(ops.reshape(spectra, (-1, len(elements), y.shape[1], self.window)))
        if len(self.poles):
            parts.append(_at_places(self._states(y, symbols), places))
        features = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
        return ops.reshape(features, (-1, len(elements), y.shape[1] * self.num_features))

    def products(
        self, y: Tensor, elements: np.ndarray, targets: np.ndarray
    ) -> tuple[Tensor, Tensor] | None:
        """As in :class:`FrontEnd`: of a delay line alone, from its displacement structure."""
        if len(self.poles):
            return None
        symbols, rows, bins = self._places(elements)
        taken = np.zeros((len(symbols), self.fft_size), bool)
        taken[rows, bins] = True
        on_grid = np.zeros((*taken.shape, targets.shape[-1]), np.complex128)
        on_grid[rows, bins] = targets
        constants = (frozen(self._starts[symbols]), frozen(taken), frozen(on_grid), self.window)
        return compiled(delay_products, constants, (y.shape[1:], y.dtype), in_graphs=True)(y)

    def apply(self, y: Tensor, weights: Tensor) -> Tensor:
        """Outputs ``[B, S, M, fft_size]`` of weights ``[B, A F, S]``; states are never formed."""
        constants = (self.window, frozen(self.poles), self.basis)
        constants = (frozen(self._starts), self.fft_size, frozen(self._bins), *constants)
        fixed = (y.shape[1:], weights.shape[1:], y.dtype)
        outputs = compiled(_outputs, constants, fixed, in_graphs=True)(y, weights)
        shape = (-1, weights.shape[-1], self.num_symbols, self.fft_size)
        return ops.reshape(outputs, shape)

    def _places(self, elements: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """OFDM symbols with such elements, and of each element the symbol's place and the bin."""
        symbols = np.unique(elements // self.fft_size)
        rows = np.searchsorted(symbols, elements // self.fft_size)
        return symbols, rows, self._bins[self._subcarriers(elements)]

    def _states(self, y: Tensor, symbols: np.ndarray) -> Tensor:
        """What the bank says in the FFT window of some symbols: ``[B, A, K, symbols, fft_size]``.

        The bank is at rest before the first sample, so a window that begins earlier begins with
        zeros.
        """
        u = ops.swapaxes(_complete(y, self._starts, self.fft_size), 1, 2)
        starts = self._starts[symbols] - self.window
        missing = max(0, -int(starts[0]))
        u = ops.pad(u, [(0, 0), (missing, 0), (0, 0)])
        windows = [(int(a), int(a) + self.fft_size) for a in starts + missing]
        states = recurrence.states_within(u, self.poles, windows, basis=self.basis)
        scales = np.tile(feature_scales(self.poles, self.basis), y.shape[1])
        states = ops.swapaxes(states * _backend.constant(scales, self.dtype), 1, 2)
        shape = (-1, y.shape[1], len(self.poles), len(symbols), self.fft_size)
        return ops.reshape(states, shape)


def _line_spectra(
    starts: np.ndarray, size: int, window: int, places: np.ndarray, y: Tensor
) -> Tensor:
    """Spectra of the delay line at some places of the symbols, ``[B, P, A, W]``."""
    lags = np.arange(window)[:, None, None]
    return _at_places(take_samples(y, starts[:, None] + np.arange(size) - lags), places)


def _at_places(segments: Tensor, places: np.ndarray) -> Tensor:
    """DFT of segments ``[B, A, F, symbols, N]`` at flat places: ``[B, P, A, F]``."""
    flat = ops.reshape(_dft(segments), (-1, *segments.shape[1:3], math.prod(segments.shape[3:])))
    return ops.transpose(ops.take(flat, places, axis=-1), (0, 3, 1, 2))


def _outputs(
    starts: np.ndarray,
    size: int,
    bins: np.ndarray,
    window: int,
    poles: np.ndarray,
    basis: str,
    y: Tensor,
    weights: Tensor,
) -> Tensor:
    """Spectra of the outputs in the FFT windows of all symbols, ``[B, S, M, N]``."""
    num_ant, (num_weights, num_streams) = y.shape[1], weights.shape[1:]
    weights = ops.reshape(weights, (-1, num_ant, num_weights // num_ant, num_streams))
    u = ops.swapaxes(_complete(y, starts, size), 1, 2)
    samples = starts[:, None] + np.arange(size)
    segments = 0.0
    if window:
        taps = ops.reshape(weights[:, :, :window], (-1, num_ant * window, num_streams))
        output = recurrence.delay_line_output(u, window, taps)
        segments = take_samples(ops.swapaxes(output, 1, 2), samples)
    if len(poles):
        scales = _backend.constant(feature_scales(poles, basis), _backend.dtype(weights))
        bank = weights[:, :, window:] * scales[:, None]
        bank = ops.reshape(bank, (-1, num_ant * len(poles), num_streams))
        output = recurrence.output(u, poles, bank, basis=basis)
        segments += take_samples(ops.swapaxes(output, 1, 2), samples - window)
    return ops.take(_dft(segments), bins, axis=-1)


def _complete(y: Tensor, starts: np.ndarray, size: int) -> Tensor:
    """``y`` as far as the last output looks: the filters ring on after the last sample."""
    missing = int(starts[-1]) + size - y.shape[-1]
    return ops.pad(y, [(0, 0)] * (len(y.shape) - 1) + [(0, max(0, missing))])


def _dft(segments: Tensor) -> Tensor:
    scale = np.asarray(1.0 / np.sqrt(segments.shape[-1]))
    return _backend.fft(segments) * _backend.constant(scale, _backend.dtype(segments))
