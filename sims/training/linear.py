"""A linear diagonal RNN behind a delay line, everything in it trainable."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rx_fixedpole import recurrence
from rx_fixedpole.layers.trainable import PARAMETRIZATIONS

# A complex parameter: its real and imaginary part, or for poles the pair of the parametrization.
Pair = tuple[tf.Tensor, tf.Tensor]


class Weights(NamedTuple):
    """Parameters of B slots: K poles, A inputs, W lags, S streams."""

    poles: Pair  # [B, K]
    input_weights: Pair  # [B, K, A]
    readout: Pair  # [B, K, S]
    taps: Pair  # [B, A W, S], lag fastest


class LinearRNN:
    r"""A delay line of every input, and a bank of K poles that all the lines' ends drive.

    .. math:: s_k[n] = p_k s_k[n-1] + \sum_a W_{ka} u_a[n], \qquad
              \hat x_s[n] = \sum_k c_{ks} s_k[n - W] + \sum_a \sum_{w < W} t_{aws} u_a[n - w]

    The bank and its frequency response are here; the delay line is the caller's, who can apply it
    to features that are computed once.

    Args:
        poles: initial poles, complex ``[K]``, ``|p| < 1``.
        input_weights: initial input weights, complex ``[K, A]``.
        window: W >= 0.
        num_streams: S >= 1.
        parametrization: ``"free"`` or ``"stable"``, as in
            :class:`rx_fixedpole.layers.TrainablePoleRNN`.

    Raises:
        ValueError: for an unknown ``parametrization``.
    """

    def __init__(
        self,
        poles: np.ndarray,
        input_weights: np.ndarray,
        *,
        window: int,
        num_streams: int,
        parametrization: str,
    ) -> None:
        if parametrization not in PARAMETRIZATIONS:
            raise ValueError(
                f"parametrization must be one of {sorted(PARAMETRIZATIONS)}, "
                f"got {parametrization!r}"
            )
        from_poles, self._to_poles = PARAMETRIZATIONS[parametrization]
        num_poles, num_inputs = input_weights.shape
        pairs = (
            from_poles(poles),
            np.stack([input_weights.real, input_weights.imag]),
            np.zeros((2, num_poles, num_streams)),
            np.zeros((2, num_inputs * window, num_streams)),
        )
        self._initial = Weights(*(tuple(pair) for pair in pairs))

    def initial(self, batch: int | tf.Tensor, dtype: tf.DType) -> Weights:
        """The initial parameters, the same for all slots; readout and taps are zero."""
        return tf.nest.map_structure(
            lambda values: tf.tile(
                tf.constant(values[None], dtype), tf.stack([batch, *[1] * values.ndim])
            ),
            self._initial,
        )

    def poles(self, weights: Weights) -> tf.Tensor:
        """The poles, complex ``[B, K]``."""
        return self._to_poles(weights.poles)

    def bank_output(self, weights: Weights, u: tf.Tensor) -> tf.Tensor:
        """The bank's part of the output, ``[B, T, S]``, for inputs ``[B, T, A]``."""
        return recurrence.output(
            u,
            self.poles(weights),
            tf.complex(*weights.readout),
            input_weights=tf.complex(*weights.input_weights),
        )

    def bank_response(self, weights: Weights, omega: np.ndarray) -> tf.Tensor:
        """The bank's frequency response ``[B, S, A, N]`` at ``omega`` ``[N]``, rad a sample."""
        poles = self.poles(weights)[..., None]
        one_pole = 1 / (1 - poles * tf.constant(np.exp(-1j * omega), poles.dtype))
        readout = tf.transpose(tf.complex(*weights.readout), [0, 2, 1])[:, :, None]
        input_weights = tf.transpose(tf.complex(*weights.input_weights), [0, 2, 1])[:, None]
        return (readout * input_weights) @ one_pole[:, None]

    def readout_power(self, weights: Weights) -> tf.Tensor:
        """Squared norm ``[B]`` of readout and taps, the weights that a ridge regression has."""
        parts = [*weights.readout, *weights.taps]
        return tf.add_n([tf.reduce_sum(part**2, axis=[1, 2]) for part in parts])
