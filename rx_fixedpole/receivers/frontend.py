"""Where features come from and how a readout is applied: along time, or along subcarriers.

Both front ends make the same features of each receive antenna: a delay line of ``window`` samples,
then one feature a pole, all advanced by ``delay`` samples. The bank is driven by what leaves the
delay line. That spans the same outputs as a bank driven by the input, as
``1 / (1 - beta z^-1) = sum_{w < W} beta^w z^-w + beta^W z^-W / (1 - beta z^-1)``, but no feature
repeats another: in the orthonormal basis all of them are orthonormal for white input, a delay line
being W poles at the origin.

The readout is linear and does not change within an OFDM symbol, so it commutes with the DFT: it is
trained on the features' DFT at pilot resource elements, which may share a symbol with data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor


def feature_scales(poles: np.ndarray, basis: str) -> np.ndarray:
    """Gains ``[K]`` that give every pole's feature unit power for white input of unit power."""
    if basis == "orthonormal":
        return np.ones(len(poles))
    return np.sqrt(1.0 - np.abs(poles) ** 2)


def pole_responses(poles: np.ndarray, basis: str, omega: np.ndarray) -> np.ndarray:
    """Scaled responses of the bank's features at ``omega`` (rad a sample), complex ``[K, N]``."""
    z = np.exp(-1j * omega)[None, :]
    poles = poles[:, None]
    scale = np.sqrt(1.0 - np.abs(poles) ** 2)
    one_pole = scale / (1.0 - poles * z)
    if basis == "parallel":
        return one_pole
    all_pass = (z - np.conj(poles)) / (1.0 - poles * z)
    passed = np.cumprod(np.concatenate([np.ones_like(z), all_pass[:-1]]), axis=0)
    return one_pole * passed


# Delay line by default: at least this long, and twice the cyclic prefix, as an inverse is longer
# than the channel, but with this many pilots a feature.
SHORTEST_WINDOW = 32
PILOTS_PER_FEATURE = 4
# A delay line that is shorter than the bank leaves no room for a decision delay, which costs more
# than few pilots do: so many a feature suffice there.
FEWEST_PILOTS_PER_FEATURE = 2


def default_window(num_pilots: int, num_poles: int, prefix: int) -> int:
    """Length of an antenna's delay line beside K poles, >= 1.

    Args:
        num_pilots: pilots of a stream over the number of antennas.
        num_poles: K.
        prefix: length of the cyclic prefix.

    >>> default_window(512, num_poles=8, prefix=16)
    32
    >>> default_window(64, num_poles=8, prefix=16), default_window(32, num_poles=8, prefix=16)
    (8, 8)
    """
    longest = max(SHORTEST_WINDOW, 2 * prefix)
    room = num_pilots // PILOTS_PER_FEATURE - num_poles
    tight = min(num_poles, num_pilots // FEWEST_PILOTS_PER_FEATURE - num_poles)
    return max(1, tight, min(longest, room))


def default_delay(window: int, num_poles: int) -> int:
    """Half of the features of an antenna, but no more than the delay line still holds.

    A bank is driven by what leaves the delay line, and ``sum_k b_k beta_k^n`` makes a poor impulse.
    """
    half = (window + num_poles) // 2
    return min(half, window - 1) if window else half


class FrontEnd(ABC):
    """Shared geometry of both domains.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        poles: complex128 ``[K]``, may be empty.
        basis: ``"parallel"`` or ``"orthonormal"``.
        window: length W of the delay line, in samples.
        delay: advance of the input over the output, in samples.
        dtype: ``"complex64"`` or ``"complex128"``.
    """

    def __init__(
        self, resource_grid: Any, poles: np.ndarray, basis: str, window: int, delay: int, dtype: str
    ) -> None:
        self.fft_size = int(resource_grid.fft_size)
        self.num_symbols = int(resource_grid.num_ofdm_symbols)
        self.poles, self.basis, self.window, self.delay = poles, basis, window, delay
        self.dtype = dtype
        self.num_features = window + len(poles)
        omega = 2 * np.pi * (np.arange(self.fft_size) - self.fft_size // 2) / self.fft_size
        taps = np.exp(-1j * np.outer(np.arange(window), omega))
        bank = np.exp(-1j * omega * window) * pole_responses(poles, basis, omega)
        # [F, fft_size], F features of one antenna, subcarriers as in Sionna's grids (DC at N // 2)
        self.responses = np.exp(1j * omega * delay) * np.concatenate([taps, bank])

    @abstractmethod
    def features(self, y: Tensor, elements: np.ndarray) -> Tensor:
        """Features ``[B, P, A F]`` at resource elements ``[P]``."""

    def products(
        self, y: Tensor, elements: np.ndarray, targets: np.ndarray
    ) -> tuple[Tensor, Tensor] | None:
        """Gram matrix of these features and moment with targets ``[P, S]``, complex128.

        None where they are not to be had without the features.
        """
        del y, elements, targets
        return None

    @abstractmethod
    def apply(self, y: Tensor, weights: Tensor) -> Tensor:
        """Outputs ``[B, S, M, fft_size]`` of weights ``[B, A F, S]``."""

    def noise(self, weights: Tensor, no: Tensor) -> Tensor:
        """Thermal noise in the outputs of weights ``[B, A F, S]``, real ``[B, S, fft_size]``."""
        response = antenna_responses(weights, self.responses, self.dtype)
        return ops.reshape(no, (-1, 1, 1)) * ops.sum(_backend.power(response), axis=2)

    def _subcarriers(self, elements: np.ndarray) -> np.ndarray:
        return elements % self.fft_size


class FrequencyFrontEnd(FrontEnd):
    """Features of a demodulated grid ``[B, A, M, fft_size]``: a delay is a phase ramp.

    Filtering is circular over an OFDM symbol, which is what the channel does too as long as the
    cyclic prefix covers it.
    """

    def features(self, y: Tensor, elements: np.ndarray) -> Tensor:
        """Features ``[B, P, A F]`` at resource elements ``[P]``."""
        flat = ops.reshape(y, (-1, y.shape[1], self.num_symbols * self.fft_size))
        samples = ops.transpose(ops.take(flat, elements, axis=-1), (0, 2, 1))[..., None]
        responses = _backend.constant(self.responses[:, self._subcarriers(elements)].T, self.dtype)
        return ops.reshape(
            samples * responses[:, None, :],
            (-1, len(elements), y.shape[1] * self.num_features),
        )

    def apply(self, y: Tensor, weights: Tensor) -> Tensor:
        """Outputs ``[B, S, M, fft_size]`` of weights ``[B, A F, S]``."""
        response = antenna_responses(weights, self.responses, self.dtype)
        return ops.sum(y[:, None] * response[..., None, :], axis=2)


def antenna_responses(weights: Tensor, responses: np.ndarray, dtype: str) -> Tensor:
    """Frequency response ``[B, S, A, N]`` that weights ``[B, A F, S]`` give each antenna."""
    num_features = responses.shape[0]
    num_ant = weights.shape[1] // num_features
    per_antenna = ops.reshape(weights, (-1, num_ant, num_features, weights.shape[-1]))
    return ops.transpose(per_antenna, (0, 3, 1, 2)) @ _backend.constant(responses, dtype)
