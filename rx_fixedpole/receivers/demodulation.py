"""From received samples to the grid that a channel estimator takes."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .delay_products import take_samples


def demodulate(y: Tensor, resource_grid: Any, l_min: int, shift: int) -> Tensor:
    """Spectra of the FFT windows, unitary, DC in the middle, the shift's phase ramp undone.

    Args:
        y: samples ``[..., T]``, the first one taken at time ``l_min``.
        resource_grid: Sionna's ``ResourceGrid``.
        l_min: see ``y``.
        shift: start of the windows against the end of the prefix, <= 0.

    Returns:
        Complex ``[..., M, fft_size]``.
    """
    size, prefix = int(resource_grid.fft_size), int(resource_grid.cyclic_prefix_length)
    starts = np.arange(int(resource_grid.num_ofdm_symbols)) * (size + prefix) + prefix - l_min
    samples = starts[:, None] + shift + np.arange(size)
    bins = (np.arange(size) - size // 2) % size
    spectra = ops.take(_backend.fft(take_samples(y, samples)), bins, axis=-1)
    scale = advance(size, -shift) / np.sqrt(size)
    return spectra * _backend.constant(scale, _backend.dtype(y))


def window_start(resource_grid: Any, l_min: int) -> int:
    """A shift for :func:`demodulate`: early by the taps before zero, but within the prefix."""
    return -min(int(resource_grid.cyclic_prefix_length) // 2, -l_min)


def advance(fft_size: int, samples: int) -> np.ndarray:
    """What an advance by so many samples does to the subcarriers, complex128 ``[fft_size]``."""
    subcarriers = np.arange(fft_size) - fft_size // 2
    return np.exp(2j * np.pi * subcarriers * samples / fft_size)
