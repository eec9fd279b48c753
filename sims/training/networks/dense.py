"""The dense complex RNN of the paper, and two of its nonlinear kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sims.training.networks.base import Network, Pair, complex_normal, complex_pair, per_slot
from sims.training.networks.sequential import scan

# Below it a modulus counts as zero: its derivative stays finite.
_SMALL = 1e-12


class Dense(NamedTuple):
    """Parameters of B slots: H neurons, A inputs."""

    recurrent: Pair  # [B, H, H]
    input_weights: Pair  # [B, A, H]
    bias: Pair  # [B, H]; modReLU uses the first part alone, as a threshold


def _linear(z: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return z + bias


def _split_tanh(z: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    return tf.tanh(z + bias)


def _modrelu(z: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    re, im = tf.split(z, 2, axis=-1)
    modulus = tf.sqrt(re**2 + im**2 + _SMALL)
    scale = tf.nn.relu(modulus + tf.split(bias, 2, axis=-1)[0]) / modulus
    return z * tf.concat([scale, scale], axis=-1)


# Name -> function of [re, im] and bias, both [.., 2 H].
ACTIVATIONS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    "linear": _linear,
    "split_tanh": _split_tanh,
    "modrelu": _modrelu,
}


class DenseRNN(Network):
    r"""A complex RNN with a dense recurrent matrix.

    .. math:: s[n] = \sigma(s[n-1] \, W_{rec} + u[n] \, W_{in}, \; b)

    with :math:`\sigma(z, b)` = ``z + b`` ("linear", as in the paper), ``tanh`` of real and
    imaginary part of ``z + b`` ("split_tanh"), or ``relu(|z| + b) z / |z|`` ("modrelu").

    Args:
        recurrent: initial W_rec, complex ``[H, H]``.
        input_weights: initial W_in, complex ``[A, H]``.
        activation: a name of ``ACTIVATIONS``.

    Raises:
        ValueError: for an unknown ``activation``.

    Example:
        >>> network = DenseRNN(np.array([[0.5 + 0j]]), np.array([[1.0 + 0j]]), activation="linear")
        >>> impulse = tf.constant([[[1.0], [0.0], [0.0]]], tf.complex128)
        >>> states = network.states(network.initial(1, tf.float64), impulse)
        >>> print(states[0, :, 0].numpy().real)
        [1.   0.5  0.25]
    """

    def __init__(
        self, recurrent: np.ndarray, input_weights: np.ndarray, *, activation: str
    ) -> None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {sorted(ACTIVATIONS)}, got {activation!r}")
        self.activation = activation
        num_neurons = len(recurrent)
        bias = complex_pair(np.zeros(num_neurons, np.complex128))
        initial = Dense(complex_pair(recurrent), complex_pair(input_weights), bias)
        super().__init__(initial, num_neurons)

    @classmethod
    def random(
        cls,
        num_neurons: int,
        num_inputs: int,
        *,
        activation: str,
        radius: float,
        rng: np.random.Generator,
    ) -> DenseRNN:
        """Random W_rec scaled to a spectral radius, and inputs that give states of unit power."""
        matrix = complex_normal(rng, num_neurons, num_neurons)
        matrix *= radius / np.abs(np.linalg.eigvals(matrix)).max()
        inputs = complex_normal(rng, num_inputs, num_neurons)
        gain = _mean_power(matrix) * num_inputs
        return cls(matrix, inputs / np.sqrt(gain), activation=activation)

    def states(self, recurrent: Dense, u: tf.Tensor) -> tf.Tensor:
        """States step by step, see :class:`Network`."""
        drive = per_slot(u, tf.complex(*recurrent.input_weights))
        drive = tf.concat([tf.math.real(drive), tf.math.imag(drive)], axis=-1)
        bias = tf.concat(recurrent.bias, axis=-1)
        bias = tf.reshape(bias, tf.concat([tf.shape(bias)[:1], [1] * (u.shape.rank - 2), [-1]], 0))
        activation, width = ACTIVATIONS[self.activation], 2 * self.num_states

        def cell(drive: tf.Tensor, inner: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
            del state
            return activation(drive[..., :width] + inner, drive[..., width:])

        drive = tf.concat([drive, bias + tf.zeros_like(drive)], axis=-1)
        states = scan(cell, drive, _real_form(*recurrent.recurrent), width)
        return tf.complex(states[..., : self.num_states], states[..., self.num_states :])

    def matrix(self, recurrent: Dense) -> tf.Tensor:
        """W_rec, complex ``[B, H, H]``, applied to row vectors from the right."""
        return tf.complex(*recurrent.recurrent)

    def response(self, recurrent: Dense, omega: np.ndarray) -> tf.Tensor | None:
        """``W_in (I - W_rec exp(-j omega))^-1`` of the linear network, else None."""
        if self.activation != "linear":
            return None
        matrix, inputs = self.matrix(recurrent), tf.complex(*recurrent.input_weights)
        z = tf.constant(np.exp(-1j * omega)[:, None, None], matrix.dtype)
        system = tf.eye(self.num_states, dtype=matrix.dtype) - z * matrix[:, None]
        inputs = tf.broadcast_to(
            inputs[:, None], tf.concat([tf.shape(system)[:2], inputs.shape[1:]], 0)
        )
        states = tf.linalg.solve(
            tf.linalg.matrix_transpose(system), tf.linalg.matrix_transpose(inputs)
        )
        return tf.transpose(states, [0, 2, 3, 1])


def _real_form(re: tf.Tensor, im: tf.Tensor) -> tf.Tensor:
    """The real matrix with ``[Re s, Im s] @ R = [Re, Im]`` of ``s @ (re + j im)``."""
    return tf.concat([tf.concat([re, im], axis=-1), tf.concat([-im, re], axis=-1)], axis=-2)


def _mean_power(matrix: np.ndarray) -> float:
    """Mean power of the linear network's states for independent unit-power drives."""
    power, total = np.eye(len(matrix)), 0.0
    for _ in range(1000):
        total += float(np.sum(np.abs(power) ** 2)) / len(matrix)
        power = power @ matrix
    return total
