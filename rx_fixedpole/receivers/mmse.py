r"""Time-domain linear MMSE filters from channel taps, and what they make of the channel.

.. math:: w_s = C^{-1} p_s, \qquad C = E[y y^H], \qquad p_s = E[y\, x_s^*[n]]

for ``y`` the samples ``y_a[n + d - w]`` of all antennas. The transmitted waveform is taken as
stationary with its correlation averaged over time: a symbol of N + CP samples is correlated with
itself alone, so the spectrum leaks into empty subcarriers,

.. math:: r[v] = \max(0, 1 - |v| / (N + CP))\; \tfrac{1}{N} \sum_{k} e^{2 \pi j k v / N}

over the occupied subcarriers k, and with S its spectrum on a grid of G points that holds all lags

.. math:: C_{ab}[w' - w] = \mathrm{IDFT}\Big( S \sum_s H_{as} H_{bs}^* \Big)[w' - w]
          + \mathit{load}\; I, \qquad p_{as}[w] = \mathrm{IDFT}(S H_{as})[d - w]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor
from rx_fixedpole.readout.solve import loaded

from .prefix import lost_share

# Taps that explain the estimate on the occupied subcarriers, by ridge: it tells how H goes on
# over guard bands and the DC null, at -60 dB of error on the others.
TAP_RIDGE = 1e-3
# A tap beyond the prefix comes out of the FFT window weakened; this much is made good.
LEAST_GAIN = 0.5


class Response(NamedTuple):
    """What filters make of the channel, on all subcarriers, real but for the gain."""

    gain: Tensor  # [B, S, N] of the wanted stream, prefix overrun included
    leak: Tensor  # [B, S, N] power of the other streams and of what outruns the prefix


class MMSEDesign:
    """Constants of one grid, window and delay.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        window: filter length W an antenna.
        delay: decision delay d in samples.
        first_lag: first lag of the taps; there are half as many as subcarriers.
        shifts: start of the FFT window, relative to the end of the prefix, where the channel was
            estimated and where the filters' output is transformed.
    """

    def __init__(
        self, resource_grid: Any, window: int, delay: int, first_lag: int, shifts: tuple[int, int]
    ) -> None:
        size, prefix = int(resource_grid.fft_size), int(resource_grid.cyclic_prefix_length)
        occupied = np.asarray(resource_grid.effective_subcarrier_ind) - size // 2
        lags = first_lag + np.arange(max(1, size // 2))
        self.window, self.num_lags = window, len(lags)
        self.fine = fine_size(size + prefix + len(lags) + window)
        weakened = 1 - lost_share(lags, shifts[0], prefix, size)
        self.to_taps = tap_weights(occupied, lags, size)
        self.from_taps = np.exp(-2j * np.pi * np.outer(lags, occupied) / size)
        self.strengthened = 1 / np.maximum(weakened, LEAST_GAIN)
        self.least_remaining = min(1.0, len(lags) / len(occupied))
        self.spectrum = waveform_spectrum(occupied, size, prefix, self.fine)
        # Of a tap sequence that starts at first_lag
        self.ramp = np.exp(-2j * np.pi * np.arange(self.fine) * first_lag / self.fine)
        positions = np.arange(window)
        self.steps = (positions[None, :] - positions[:, None]) % self.fine
        self.wanted = (delay - positions) % self.fine
        combined = first_lag - delay + np.arange(window + len(lags) - 1)
        lost = lost_share(combined, shifts[1], prefix, size)
        subcarriers = np.arange(size) - size // 2
        phases = np.outer(combined, subcarriers)
        self.combined = (1 - lost)[:, None] * np.exp(-2j * np.pi * phases / size)
        self.overrun = 2 * lost - lost**2

    def taps(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Taps of frequency responses, and the power in these that no tap explains.

        Args:
            h: on the occupied subcarriers, complex ``[B, A, S, K]``.

        Returns:
            ``[B, A, S, L]``, complex128, and per subcarrier and antenna, over the streams,
            float64 ``[B]``.
        """
        h = ops.cast(h, "complex128")
        taps = h @ _backend.constant(self.to_taps, "complex128")
        rest = _backend.power(h - taps @ _backend.constant(self.from_taps, "complex128"))
        removed = ops.mean(ops.sum(rest, axis=2), axis=(1, 2))
        return taps * _backend.constant(self.strengthened, "complex128"), removed

    def remaining(self, err_var: Tensor, removed: Tensor) -> Tensor:
        """Error variance of the taps' response, ``[B]``: what no tap explains was error."""
        removed = ops.cast(removed, _backend.dtype(err_var))
        return _backend.at_least(err_var - removed, self.least_remaining * err_var)

    def filters(self, taps: Tensor, load: Tensor) -> Tensor:
        """Filters ``[B, A W, S]``, complex128, to be applied as ``y @ filters``.

        Args:
            taps: complex128 ``[B, A, S, L]``.
            load: variance of noise and of what else is white in a sample, float64 ``[B]``.
        """
        num_ant, num_streams = taps.shape[1], taps.shape[2]
        h = self._fine_response(taps) * _backend.constant(self.ramp, "complex128")
        spectrum = _backend.constant(self.spectrum, "complex128")
        seen = 0.0
        for s in range(num_streams):  # a sum of products by hand: matrices this small are slow
            seen = seen + h[:, :, None, s] * ops.conj(h[:, None, :, s])
        correlation = ops.take(_backend.ifft(seen * spectrum), self.steps, axis=-1)
        size = num_ant * self.window
        correlation = ops.reshape(ops.transpose(correlation, (0, 1, 3, 2, 4)), (-1, size, size))
        wanted = ops.take(_backend.ifft(h * spectrum), self.wanted, axis=-1)
        wanted = ops.reshape(ops.transpose(wanted, (0, 1, 3, 2)), (-1, size, num_streams))
        gram = loaded(correlation, ops.reshape(load, (-1, 1, 1)))
        return ops.conj(_backend.cholesky_solve(gram, wanted))

    def response(self, filters: Tensor, taps: Tensor) -> Response:
        """Gain and leak of filters ``[B, A W, S]`` over taps ``[B, A, S, L]``, double precision."""
        num_ant, num_streams = taps.shape[1], taps.shape[2]
        w = ops.reshape(filters, (-1, num_ant, self.window, num_streams))
        w = self._fine_response(ops.transpose(w, (0, 1, 3, 2)))
        h = self._fine_response(taps)
        joined = 0.0
        for a in range(num_ant):
            joined = joined + w[:, a, :, None] * h[:, a, None]
        joined = _backend.ifft(joined)[..., : self.window + self.num_lags - 1]
        gains = joined @ _backend.constant(self.combined, "complex128")
        overrun = _backend.power(joined) @ _backend.constant(self.overrun[:, None], "float64")
        own = _backend.constant(np.eye(num_streams)[:, :, None], "float64")
        gain = ops.sum(gains * ops.cast(own, "complex128"), axis=2)
        leak = ops.sum(_backend.power(gains) * (1.0 - own) + overrun, axis=2)
        return Response(gain, leak)

    def _fine_response(self, x: Tensor) -> Tensor:
        padding = [(0, 0)] * (len(x.shape) - 1) + [(0, self.fine - x.shape[-1])]
        return _backend.fft(ops.pad(x, padding))


def tap_weights(occupied: np.ndarray, lags: np.ndarray, fft_size: int) -> np.ndarray:
    """Ridge from frequency responses to taps, complex128 ``[K, L]``, applied from the right.

    Args:
        occupied: occupied subcarriers, 0 at DC.
        lags: lags of the taps.
        fft_size: number of subcarriers.
    """
    response = np.exp(-2j * np.pi * np.outer(occupied, lags) / fft_size)
    gram = response.conj().T @ response + TAP_RIDGE * len(occupied) * np.eye(len(lags))
    return np.linalg.solve(gram, response.conj().T).T


def waveform_spectrum(occupied: np.ndarray, fft_size: int, prefix: int, fine: int) -> np.ndarray:
    """Power spectrum S of the transmitted waveform at ``fine`` points, float64.

    >>> spectrum = waveform_spectrum(np.arange(-4, 4), fft_size=8, prefix=0, fine=32)
    >>> np.allclose(spectrum, 1)  # all subcarriers occupied, no prefix: white
    True
    """
    steps = np.arange(1 - fft_size - prefix, fft_size + prefix)
    correlation = 1 - np.abs(steps) / (fft_size + prefix)
    phases = np.exp(2j * np.pi * np.outer(steps, occupied) / fft_size)
    correlation = correlation * phases.sum(axis=1) / fft_size
    placed = np.zeros(fine, np.complex128)
    np.add.at(placed, steps % fine, correlation)
    return np.fft.fft(placed).real


def fine_size(at_least: int) -> int:
    """The smallest ``2^a`` or ``3 * 2^a`` that is not below ``at_least``."""
    power = 1 << (at_least - 1).bit_length()
    return 3 * power // 4 if 3 * power // 4 >= at_least else power
