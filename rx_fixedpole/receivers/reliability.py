"""How good an equalized symbol is, told from the pilots that trained the equalizer.

A residual on training pilots is optimistic; leave-one-out errors are not. For a readout close to
the linear MMSE one, error variance and gain on a subcarrier are one number: with error
``e = x - x_hat`` and ``epsilon = E|e|^2`` at ``E|x|^2 = 1``, the gain is ``mu = 1 - epsilon`` and
the noise after division by it has variance ``epsilon / (1 - epsilon)``.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

# Pilots that tell the error variance at one subcarrier: enough to know it within a quarter.
NUM_NEIGHBOURS = 18
# An equalizer that explains less than 3 % of the symbols' power says nothing about their bits.
LARGEST_ERROR = 0.97
SMALLEST_ERROR = 1e-7


def neighbourhood(
    subcarriers: np.ndarray, fft_size: int, num_neighbours: int = NUM_NEIGHBOURS
) -> np.ndarray:
    """Averaging weights ``[P, fft_size]`` over the pilots nearest to each subcarrier, float64.

    Pilots as near as the farthest one taken are all taken, so that OFDM symbols and the two sides
    weigh the same.

    Args:
        subcarriers: subcarrier of each pilot, int ``[P]``.
        fft_size: number of subcarriers.
        num_neighbours: pilots to average over, at least; all if there are fewer.
    """
    distance = np.abs(subcarriers[:, None] - np.arange(fft_size))
    nearest = np.sort(distance, axis=0)[min(num_neighbours, len(subcarriers)) - 1]
    taken = (distance <= nearest).astype(np.float64)
    return taken / taken.sum(axis=0)


def error_variance(errors: Tensor, noise: Tensor, averaging: np.ndarray) -> Tensor:
    r"""Error variance of every stream and subcarrier.

    Half of it is the mean of ``|e|^2`` over neighbouring pilots, half has the shape that a linear
    MMSE equalizer leaves where it passes the noise ``n(k)``, the solution of
    ``n = epsilon (1 - epsilon)``, scaled to the mean of ``|e|^2`` over the slot. The first sees
    interference, the second sees fades that are narrower than the neighbourhood.

    Args:
        errors: leave-one-out errors, complex ``[B, P, S]``.
        noise: thermal noise after the equalizer on the subcarriers, real ``[B, S, fft_size]``.
        averaging: see :func:`neighbourhood`, ``[P, fft_size]``.

    Returns:
        Real ``[B, S, fft_size]`` within the bounds of this module.
    """
    real_dtype = _backend.dtype(noise)
    power = ops.swapaxes(_backend.power(errors), 1, 2)  # [B, S, P]
    local = power @ ops.convert_to_tensor(averaging.astype(real_dtype))
    shape = (1.0 - ops.sqrt(1.0 - 4.0 * ops.minimum(noise, 0.25))) / 2.0
    scale = ops.mean(local, axis=-1, keepdims=True) / ops.maximum(
        ops.mean(shape, axis=-1, keepdims=True), 1e-30
    )
    return ops.clip(0.5 * local + 0.5 * scale * shape, SMALLEST_ERROR, LARGEST_ERROR)
