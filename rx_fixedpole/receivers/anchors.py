"""Times in a slot at which something is worked out, and what holds between them."""

from __future__ import annotations

import numpy as np


def anchors(num_symbols: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spaced times: weights from them to the symbols, and from the symbols to them.

    Args:
        num_symbols: OFDM symbols M of the slot.
        number: times J, 1 .. M.

    Returns:
        Float64 ``[M, J]`` and ``[J, M]``, both of linear interpolation; one time alone stands for
        the mean over the slot.

    >>> anchors(4, 2)[1]
    array([[1., 0., 0., 0.],
           [0., 0., 0., 1.]])
    """
    symbols = np.arange(num_symbols)
    if number == 1:
        return np.ones((num_symbols, 1)), np.full((1, num_symbols), 1 / num_symbols)
    at = np.linspace(0, num_symbols - 1, number)
    mixing = np.stack([np.interp(symbols, at, row) for row in np.eye(number)], axis=1)
    times = np.stack([np.interp(at, symbols, row) for row in np.eye(num_symbols)], axis=1)
    return mixing, times
