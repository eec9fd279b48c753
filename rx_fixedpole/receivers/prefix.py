"""What a cyclic prefix covers of a channel, and what becomes of the rest."""

from __future__ import annotations

import numpy as np


def lost_share(lags: np.ndarray, first: int, cp_length: int, fft_size: int) -> np.ndarray:
    """Share e / fft_size of the FFT window that a tap e samples out of the prefix's reach loses.

    Such a tap keeps the gain 1 - share and turns 2 share - share^2 of its power into interference
    between symbols and subcarriers.

    Args:
        lags: int, in samples.
        first: first lag within reach; the last one is first + cp_length.
        cp_length, fft_size: of the grid.

    Returns:
        float64, in 0 .. 1.

    >>> lost_share(np.array([-2, 0, 4, 6]), first=0, cp_length=4, fft_size=64)
    array([0.03125, 0.     , 0.     , 0.03125])
    """
    excess = np.maximum(np.maximum(first - lags, lags - first - cp_length), 0)
    return np.minimum(excess / fft_size, 1.0)
