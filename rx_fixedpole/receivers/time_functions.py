"""Functions of time that hold what channels do within a slot, and their powers by speed."""

from __future__ import annotations

import numpy as np

from .doppler import jakes

_NUM_SPEEDS = 17
# Share of the power of the fastest channel that functions of time may leave out
_LEFT_OUT = 1e-3
# Power that every function of time is granted: phase noise, drift.
_FLOOR = 1e-5


def time_functions(
    num_symbols: int, fastest: float, number: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Functions of time ``[Q, M]`` of unit mean power, and their powers ``[V, Q]`` at V speeds.

    They are the principal components of processes with Jakes' correlation, averaged over speeds,
    the slowest first; speed 0 comes first too.

    Args:
        num_symbols: M.
        fastest: largest Doppler shift, radians a symbol.
        number: Q, or M if there are fewer symbols. None: as many as the fastest channel needs.

    >>> functions, powers = time_functions(14, 0.0)
    >>> functions.shape, powers.tolist()
    ((1, 14), [[1.0]])
    >>> functions, powers = time_functions(14, 0.8, number=4)
    >>> functions.shape, powers[0].round(3).tolist(), powers[-1].round(3).tolist()
    ((4, 14), [0.988, 0.0, 0.01, 0.0], [0.183, 0.194, 0.251, 0.26])
    """
    if fastest == 0:
        return np.ones((1, num_symbols)), np.ones((1, 1))
    speeds = fastest * np.linspace(0, 1, _NUM_SPEEDS) ** 1.5
    time = np.arange(num_symbols)
    correlations = [jakes(speed, time, time) for speed in speeds]
    _, vectors = np.linalg.eigh(np.mean(correlations, axis=0))
    vectors = vectors[:, ::-1]
    powers = np.array([np.diag(vectors.T @ r @ vectors) for r in correlations]) / num_symbols
    if number is None:
        number = int(np.argmax(1 - np.cumsum(powers[-1]) < _LEFT_OUT)) + 1
    return vectors[:, :number].T * np.sqrt(num_symbols), powers[:, :number] + _FLOOR
