"""What outputs say about the symbols that were sent, and how good the outputs are.

With ``E|x|^2 = 1`` an output with error variance ``epsilon = E|x - x_hat|^2`` has the gain
``1 - epsilon`` and noise of variance ``epsilon (1 - epsilon)``, see :mod:`.reliability`. That
variance is the sum of four parts: thermal noise in the output over its power, which tells the
fades; the variance of the weights, which grows between pilots; what the errors on the pilots show
beyond that; and what the spread around the constellation shows beyond that in an OFDM symbol.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .reliability import FAR, LARGEST_ERROR, NEAR, SMALLEST_ERROR, neighbourhood

# OFDM symbols and subcarriers on each side that share an estimate of the output's power.
POWER_REACH = 2
# Rounds of posterior and error variance, each from the other.
NUM_ROUNDS = 4
# How far the mean power of a constellation may be from one, as rounding leaves it.
_POWER_TOLERANCE = 1e-3


class Decisions:
    """Error variance of the outputs of a group of streams, and the posterior of their symbols.

    Args:
        pilots: where the pilots are, bool ``[M, K]``; data everywhere else.
        points: of the constellation, complex ``[N]``.
    """

    def __init__(self, pilots: np.ndarray, points: np.ndarray) -> None:
        num_symbols, num_subcarriers = pilots.shape
        self._points, self._data = points, (~pilots).astype(np.float64)
        self._over_time, self._over_frequency = (_near(n) for n in pilots.shape)
        seen = self._over_time @ self._data @ self._over_frequency
        self._seen = 1.0 / np.maximum(seen, 1.0)
        self._share = self._data / np.maximum(self._data.sum(axis=1, keepdims=True), 1.0)
        self._pilots = np.flatnonzero(pilots)
        place = self._pilots % num_subcarriers
        self._near, self._far = (neighbourhood(place, num_subcarriers, n) for n in (NEAR, FAR))

    def error_variance(
        self, outputs: Tensor, noise: Tensor, variance: Tensor, errors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Error variance, and the posterior that goes with it.

        Args:
            outputs: complex ``[B, S, M, K]``.
            noise: thermal noise in them, real ``[B, S, M, K]``.
            variance: of the outputs for that of the weights, real ``[B, 1, M, K]``.
            errors: squared errors on the pilots, freed of what training on them hides, real
                ``[B, S, P]``.

        Returns:
            Error variance, posterior means and posterior variances of the symbols,
            ``[B, S, M, K]``.
        """
        real = _backend.dtype(noise)
        power = self._power(outputs, real)
        thermal = ops.clip(noise / _backend.at_least(power, 1e-20), 0.0, 1.0)
        known = thermal + variance + self._excess(errors, thermal, real)
        share = _backend.constant(self._share, real)
        error = ops.clip(known, SMALLEST_ERROR, LARGEST_ERROR)
        mean, doubt = posterior(outputs, error, self._points)
        for _ in range(NUM_ROUNDS):
            spread = _backend.power(mean - outputs) + doubt - known
            spread = _backend.at_least(ops.sum(spread * share, axis=-1, keepdims=True), 0.0)
            error = ops.clip(known + spread, SMALLEST_ERROR, LARGEST_ERROR)
            mean, doubt = posterior(outputs, error, self._points)
        return error, mean, doubt

    def average(self, values: Tensor) -> Tensor:
        """Mean ``[B, M]`` of values ``[B, S, M, K]`` over streams and the data of each symbol."""
        share = _backend.constant(self._share, _backend.dtype(values))
        return ops.mean(ops.sum(values * share, axis=-1), axis=1)

    def _power(self, outputs: Tensor, real: str) -> Tensor:
        data, time, frequency, seen = (
            _backend.constant(x, real)
            for x in (self._data, self._over_time, self._over_frequency, self._seen)
        )
        power = _last_axis(_backend.power(outputs) * data, frequency)
        power = ops.swapaxes(_last_axis(ops.swapaxes(power, -1, -2), time), -1, -2)
        return power * seen

    def _excess(self, errors: Tensor, thermal: Tensor, real: str) -> Tensor:
        """What pilots show beyond thermal noise, ``[B, S, 1, K]``: half narrowly, half widely."""
        flat = ops.reshape(thermal, (-1, thermal.shape[1], self._data.size))
        excess = errors - ops.take(flat, self._pilots, axis=-1)
        parts = [_last_axis(excess, _backend.constant(x, real)) for x in (self._near, self._far)]
        near, far = (_backend.at_least(part, 0.0) for part in parts)
        return (0.5 * (near + far))[:, :, None]


def posterior(outputs: Tensor, error: Tensor, points: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and variance of equally likely symbols, given outputs of some error variance.

    Args:
        outputs: complex, any shape.
        error: error variance in (0, 1), real, of the shape of the outputs.
        points: of the constellation ``[N]``.
    """
    gain, dtype = 1.0 - error, _backend.dtype(error)
    real, imag = (_backend.constant(part, dtype) for part in (points.real, points.imag))
    distance = ops.square(ops.real(outputs)[..., None] - gain[..., None] * real)
    distance = distance + ops.square(ops.imag(outputs)[..., None] - gain[..., None] * imag)
    likely = ops.softmax(-distance / (error * gain)[..., None], axis=-1)
    mean = _backend.complex(ops.sum(likely * real, axis=-1), ops.sum(likely * imag, axis=-1))
    power = ops.sum(likely * (real**2 + imag**2), axis=-1)
    return mean, _backend.at_least(power - _backend.power(mean), 0.0)


def constellation_points(constellation: Any) -> np.ndarray:
    """Points of a Sionna ``Constellation``, or of an array, complex128 ``[N]``.

    Raises:
        ValueError: if they are not two points or more of unit mean power.
    """
    points = np.asarray(getattr(constellation, "points", constellation))
    if points.ndim != 1 or len(points) < 2 or points.dtype.kind not in "fc":
        raise ValueError(
            "constellation must be a Constellation or an array of two points or more, "
            f"got {constellation!r}"
        )
    power = float(np.mean(np.abs(points) ** 2))
    if not abs(power - 1.0) < _POWER_TOLERANCE:
        raise ValueError(f"constellation must have unit mean power, got {power:.4g}")
    return points.astype(np.complex128)


def _last_axis(values: Tensor, matrix: Tensor) -> Tensor:
    """``values @ matrix`` as a product of two matrices.

    With four axes on the left and two on the right, the batched product of TensorFlow 2.21 with
    oneDNN writes outside its buffer in float32.
    """
    flat = ops.reshape(values, (-1, matrix.shape[0])) @ matrix
    return ops.reshape(flat, (-1, *values.shape[1:-1], matrix.shape[1]))


def _near(size: int) -> np.ndarray:
    """Which places are within the reach of which, float64 ``[size, size]``."""
    place = np.arange(size)
    return (np.abs(place[:, None] - place) <= POWER_REACH).astype(np.float64)
