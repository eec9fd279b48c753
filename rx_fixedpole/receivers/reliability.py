r"""How good an equalized symbol is, told from the pilots that trained the equalizer.

For a linear MMSE output with ``E|x|^2 = 1`` one number a subcarrier says it all. With the error
variance ``epsilon = E|x - x_hat|^2``, the gain is ``mu = 1 - epsilon``, the output has power
``mu``, the noise in it is ``mu epsilon``, and after division by the gain its variance is
``epsilon / (1 - epsilon)``. So thermal noise in the output over the output's power is ``epsilon``
itself, subcarrier by subcarrier and fades included, as far as thermal noise goes. What it leaves
out (interference, weights learned from few pilots, a prefix that is too short) shows in the
leave-one-out errors on the pilots, which unlike residuals are not optimistic.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

# Pilots averaged for what changes fast with the subcarrier (known within a quarter), and slowly.
NEAR, FAR = 18, 72
# Subcarriers on each side that share an estimate of the output's power.
POWER_REACH = 1
# An equalizer that explains less than 3 % of the symbols' power says nothing about their bits.
LARGEST_ERROR = 0.97
SMALLEST_ERROR = 1e-7


class Reliability:
    """Error variance of the outputs of one group of streams.

    Args:
        pilots: subcarrier of each pilot, int ``[P]``.
        occupied: occupied subcarriers, int.
        fft_size: number of subcarriers.
    """

    def __init__(self, pilots: np.ndarray, occupied: np.ndarray, fft_size: int) -> None:
        self._pilots = pilots
        self._near = neighbourhood(pilots, fft_size, NEAR)
        self._far = neighbourhood(pilots, fft_size, FAR)
        reach = np.abs(np.arange(fft_size)[:, None] - np.arange(fft_size)) <= POWER_REACH
        reach = reach & np.isin(np.arange(fft_size), occupied)[:, None]
        self._reach = reach / np.maximum(reach.sum(axis=0), 1)

    def error_variance(self, errors: Tensor, outputs: Tensor, noise: Tensor) -> Tensor:
        """Error variance of every stream and subcarrier.

        Args:
            errors: leave-one-out errors, complex ``[B, P, S]``.
            outputs: complex ``[B, S, M, fft_size]``, data and pilots.
            noise: thermal noise in the outputs, real ``[B, S, fft_size]``.

        Returns:
            Real ``[B, S, fft_size]`` within the bounds of this module.
        """
        real = _backend.dtype(noise)
        power = ops.mean(_backend.power(outputs), axis=2) @ _matrix(self._reach, real)
        thermal = ops.clip(noise / _backend.at_least(power, 1e-20), 0.0, 1.0)
        excess = ops.swapaxes(_backend.power(errors), 1, 2)
        near, far = self.averages(excess - ops.take(thermal, self._pilots, axis=-1))
        excess = 0.5 * (_backend.at_least(near, 0.0) + _backend.at_least(far, 0.0))
        return ops.clip(thermal + excess, SMALLEST_ERROR, LARGEST_ERROR)

    def averages(self, at_pilots: Tensor) -> tuple[Tensor, Tensor]:
        """What is seen at the pilots, averaged around every subcarrier: narrowly, and widely.

        Args:
            at_pilots: error power less what is known of it, real ``[B, S, P]``.

        Returns:
            Two real ``[B, S, fft_size]``.
        """
        real = _backend.dtype(at_pilots)
        return at_pilots @ _matrix(self._near, real), at_pilots @ _matrix(self._far, real)


def neighbourhood(pilots: np.ndarray, fft_size: int, size: int) -> np.ndarray:
    """Averaging weights ``[P, fft_size]`` over the pilots nearest to each subcarrier, float64.

    Pilots as near as the farthest one taken are all taken, so that OFDM symbols and the two sides
    weigh the same.

    Args:
        pilots: subcarrier of each pilot, int ``[P]``.
        fft_size: number of subcarriers.
        size: pilots to average over, at least; all if there are fewer.
    """
    distance = np.abs(pilots[:, None] - np.arange(fft_size))
    farthest = np.sort(distance, axis=0)[min(size, len(pilots)) - 1]
    taken = (distance <= farthest).astype(np.float64)
    return taken / taken.sum(axis=0)


def _matrix(weights: np.ndarray, dtype: str) -> Tensor:
    return _backend.constant(weights, dtype)
