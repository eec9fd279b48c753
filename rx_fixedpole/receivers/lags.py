"""The delays that stand as poles along subcarriers, and what a grid's pilots can tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import arguments
from .pilots import PilotGroup, pilot_groups

# Lags before the strongest path that a receiver's timing leaves, at most.
_EARLIEST = 8


@dataclass(frozen=True)
class Delays:
    r"""Equally spaced delays and their responses along subcarriers.

    A delay is the pole :math:`e^{-j 2 \pi k l / N}`. In a channel that is simulated, or built, with
    taps at the whole lags ``taps[0] .. taps[1]`` alone, a delay between two of them is the part of
    a sinc pulse that these hold, :math:`\sum_t \mathrm{sinc}(t - l)\, e^{-j 2 \pi k t / N}`. The
    two differ near the edges of a band without guards, where the second is continuous.

    Args:
        lags: in samples, float64 ``[K]``, equally spaced.
        fft_size: N.
        taps: first and last tap; None for delays as they are.
    """

    lags: np.ndarray
    fft_size: int
    taps: tuple[int, int] | None

    @property
    def spacing(self) -> float:
        """Distance of two delays in samples."""
        return float(self.lags[1] - self.lags[0]) if len(self.lags) > 1 else 1.0

    def response(self, subcarriers: np.ndarray, reference: int | None = None) -> np.ndarray:
        """Response at subcarriers 0 .. N - 1 (DC at N // 2), complex128 ``[subcarriers, K]``.

        With a reference subcarrier it is that of delays by :meth:`shift`, so that combs of equal
        spacing see the same.
        """
        frequency = subcarriers - self.fft_size // 2
        if self.taps is not None:
            taps = np.arange(self.taps[0], self.taps[1] + 1)
            return _ramp(frequency, taps, self.fft_size) @ np.sinc(taps[:, None] - self.lags)
        if reference is not None:
            frequency = subcarriers - reference
        return _ramp(frequency, self.lags, self.fft_size)

    def shift(self, reference: int) -> np.ndarray:
        """Factor that takes coefficients at a reference to coefficients at DC, ``[K]``."""
        if self.taps is not None:
            return np.ones(len(self.lags), np.complex128)
        return _ramp(np.array([self.fft_size // 2 - reference]), self.lags, self.fft_size)[0]


def delays(resource_grid: Any, l_min: int | None, l_max: int | None, spacing: float) -> Delays:
    """Delays of the poles for a grid.

    A comb of every c-th subcarrier repeats itself after fft / c samples, and streams that share it
    share that window.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        l_min, l_max: first and last tap of the channel; both None: the whole window, a little of it
            before zero, and no taps.
        spacing: distance of the poles in samples, > 0.
    """
    if not isinstance(spacing, int | float) or isinstance(spacing, bool):
        raise TypeError(f"spacing must be a number of samples, got {spacing!r}")
    if not 0 < spacing < np.inf:
        raise ValueError(f"spacing must be positive and finite, got {spacing}")
    if (l_min is None) != (l_max is None):
        raise ValueError(f"l_min and l_max must be given together, got {l_min} and {l_max}")
    fft_size = int(resource_grid.fft_size)
    window = min(_window(group, fft_size) for group in pilot_groups(resource_grid))
    if l_min is None:
        first = -min(_EARLIEST, window // 4)
        return Delays(_spaced(first, first + window - 1, spacing), fft_size, None)
    first, last = arguments.integer(l_min, "l_min"), arguments.integer(l_max, "l_max")
    if not first <= last < first + fft_size:
        raise ValueError(f"l_max must be in {first}..{first + fft_size - 1}, got {last}")
    # Pilots see no difference between delays a window apart: the later ones are left out.
    reached = min(last, first + window - 1)
    return Delays(_spaced(first, reached, spacing), fft_size, (first, last))


def _spaced(first: int, last: int, spacing: float) -> np.ndarray:
    return first + spacing * np.arange(int((last - first) / spacing + 1e-9) + 1)


def _ramp(frequency: np.ndarray, lags: np.ndarray, fft_size: int) -> np.ndarray:
    """Phase ramps of delays, complex128 ``[frequency, lags]``."""
    return np.exp(-2j * np.pi * np.outer(frequency, lags) / fft_size)


def _window(group: PilotGroup, fft_size: int) -> int:
    """Number of whole lags that tell the streams of a group apart."""
    subcarriers, symbols = group.elements % fft_size, group.elements // fft_size
    window = fft_size
    for stream in range(len(group.streams)):
        sent = group.targets[:, stream] != 0
        if not sent.any():
            continue
        used = subcarriers[sent & (symbols == symbols[sent][0])]
        comb = int(np.diff(used).min()) if len(used) > 1 else fft_size
        together = int(np.sum(np.any(group.targets[sent] != 0, axis=0)))
        window = min(window, max(fft_size // (comb * together), 1))
    return window
