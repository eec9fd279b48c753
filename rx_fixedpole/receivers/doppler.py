r"""How channels move along OFDM symbols: Jakes' correlation, told from the slot's own pilots.

A channel that moves with the maximum Doppler shift :math:`f_d` has the correlation
:math:`J_0(2 \pi f_d\, \Delta t)` between OFDM symbols. On a few orthonormal functions of the pilot
symbols that is a power each, so that :math:`f_d` follows from the powers seen there, and with it
the best interpolation from pilot symbols to all others. Everything is tabulated over a grid of
:math:`f_d` on the first branch of :math:`J_0`: beyond it, pilots are too far apart to tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import j0

# Argument of the first minimum of J0, up to which it can be inverted.
_FIRST_BRANCH = 3.8317
_NUM_SPEEDS = 33
# Functions of time at most: a Doppler spectrum on its first branch has no more to it.
_MAX_FUNCTIONS = 4
# Power that even a standing channel is granted on each function: phase noise, drift.
_FLOOR = 1e-5


@dataclass(frozen=True)
class DopplerTable:
    """Time functions, and what each Doppler shift makes of them; V speeds, the first one zero.

    Args:
        functions: orthonormal functions of the pilot symbols, float64 ``[Mp, Q]``.
        powers: power of each function for a process of unit power, float64 ``[V, Q]``.
        interpolation: from functions to all OFDM symbols, float64 ``[V, M, Q]``.
        unknown: share of the power that no interpolation recovers, float64 ``[V, M]``.
    """

    functions: np.ndarray
    powers: np.ndarray
    interpolation: np.ndarray
    unknown: np.ndarray


def doppler_table(symbols: np.ndarray, num_symbols: int, moving: bool) -> DopplerTable:
    """Tabulate pilots on OFDM symbols ``[Mp]`` of ``num_symbols``.

    Args:
        symbols: OFDM symbols with pilots, ascending.
        num_symbols: M.
        moving: False for a channel that stands still, the only speed in the table.

    >>> table = doppler_table(np.array([2, 11]), 14, moving=True)
    >>> (table.functions * 2**0.5).round(3).tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    >>> table.powers[0].round(3).tolist(), table.powers[-1].round(3).tolist()
    ([2.0, 0.0], [0.597, 1.403])
    """
    gap = int(np.diff(symbols).min()) if len(symbols) > 1 else 1
    steps = np.linspace(0.0, 1.0, _NUM_SPEEDS) ** 1.5 if moving and len(symbols) > 1 else [0.0]
    speeds = _FIRST_BRANCH / gap * np.asarray(steps)
    functions = _functions(symbols, speeds)
    time = np.arange(num_symbols)
    powers, interpolation, unknown = [], [], []
    for speed in speeds:
        known = functions.T @ jakes(speed, symbols, symbols) @ functions
        known += _FLOOR * len(symbols) * np.eye(len(known))
        cross = jakes(speed, time, symbols) @ functions
        weights = np.linalg.solve(known, cross.T).T
        powers.append(np.diag(known))
        interpolation.append(weights)
        unknown.append(np.maximum(1.0 - np.sum(weights * cross, axis=1), 0.0))
    return DopplerTable(functions, np.array(powers), np.array(interpolation), np.array(unknown))


def _functions(symbols: np.ndarray, speeds: np.ndarray) -> np.ndarray:
    """The functions that hold most of the power over all speeds, the smoothest first."""
    mean = np.mean([jakes(speed, symbols, symbols) for speed in speeds], axis=0)
    if len(speeds) == 1:
        return np.full((len(symbols), 1), len(symbols) ** -0.5)
    _, vectors = np.linalg.eigh(mean)
    vectors = vectors[:, ::-1][:, :_MAX_FUNCTIONS]
    return vectors * np.where(vectors[:1] < 0, -1.0, 1.0)


def fastest_shift(symbols: np.ndarray) -> float:
    """Largest Doppler shift, radians a symbol, that pilots on OFDM symbols ``[Mp]`` can tell."""
    return _FIRST_BRANCH / int(np.diff(symbols).min()) if len(symbols) > 1 else 0.0


def jakes(speed: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Correlation of symbols ``a`` and ``b`` at a Doppler shift of ``speed`` radians a symbol."""
    return np.asarray(j0(speed * np.abs(a[:, None] - b)))
