"""GRU and LSTM on real and imaginary parts, with Keras' equations and one set a slot."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from sims.training.networks.base import Network, per_slot
from sims.training.networks.sequential import scan


class Gates(NamedTuple):
    """Parameters of B slots: H units, A complex inputs, G gates in Keras' order."""

    kernel: tf.Tensor  # [B, 2 A, G H], real parts of the inputs before their imaginary parts
    recurrent: tf.Tensor  # [B, H, G H]
    bias: tf.Tensor  # [B, G H]; the GRU's ends in H more, inside its reset gate


class _Gated(Network):
    """What both share.

    Args:
        kernel, recurrent, bias: initial parameters, see :class:`Gates`, without the slots' axis.
    """

    num_gates: int

    def __init__(self, kernel: np.ndarray, recurrent: np.ndarray, bias: np.ndarray) -> None:
        super().__init__(Gates(kernel, recurrent, bias), len(recurrent))

    @classmethod
    def random(cls, num_units: int, num_inputs: int, *, rng: np.random.Generator) -> _Gated:
        """Keras' initial values: Glorot's uniform kernel, an orthogonal recurrent one."""
        kernel = _glorot(rng, 2 * num_inputs, cls.num_gates * num_units)
        recurrent = _orthogonal(rng, num_units, cls.num_gates * num_units)
        return cls(kernel, recurrent, cls._first_bias(num_units))

    @staticmethod
    def _first_bias(num_units: int) -> np.ndarray:
        raise NotImplementedError

    @staticmethod
    def _cell(drive: tf.Tensor, inner: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        raise NotImplementedError

    def states(self, recurrent: Gates, u: tf.Tensor) -> tf.Tensor:
        """Hidden states step by step, see :class:`Network`; their imaginary part is zero."""
        parts = tf.concat([tf.math.real(u), tf.math.imag(u)], axis=-1)
        bias = recurrent.bias
        drive = per_slot(parts, recurrent.kernel)
        extra = bias.shape[-1] - drive.shape[-1]
        drive = tf.pad(drive, [[0, 0]] * (u.shape.rank - 1) + [[0, extra]])
        drive += tf.reshape(
            bias, tf.concat([tf.shape(bias)[:1], [1] * (u.shape.rank - 2), [bias.shape[-1]]], 0)
        )
        width = self._state_size()
        states = scan(self._cell, drive, recurrent.recurrent, width)[..., : self.num_states]
        return tf.complex(states, tf.zeros_like(states))

    def _state_size(self) -> int:
        return self.num_states


class GRU(_Gated):
    r"""Gated recurrent unit, as ``keras.layers.GRU`` (reset after the product).

    .. math:: z, r = \sigma(x W + h U + b), \quad
              \tilde h = \tanh(x W_h + b_h + r (h U_h + b'_h)), \quad
              h \leftarrow z h + (1 - z) \tilde h
    """

    num_gates = 3

    @staticmethod
    def _first_bias(num_units: int) -> np.ndarray:
        return np.zeros(4 * num_units)

    @staticmethod
    def _cell(drive: tf.Tensor, inner: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        update, reset, new, inside = tf.split(drive, 4, axis=-1)
        update_h, reset_h, new_h = tf.split(inner, 3, axis=-1)
        z, r = tf.sigmoid(update + update_h), tf.sigmoid(reset + reset_h)
        return z * state + (1 - z) * tf.tanh(new + r * (new_h + inside))


class LSTM(_Gated):
    r"""Long short-term memory, as ``keras.layers.LSTM``.

    .. math:: i, f, o = \sigma(x W + h U + b), \quad
              c \leftarrow f c + i \tanh(x W_c + h U_c + b_c), \quad h \leftarrow o \tanh(c)
    """

    num_gates = 4

    @staticmethod
    def _first_bias(num_units: int) -> np.ndarray:
        return np.repeat([0.0, 1.0, 0.0, 0.0], num_units)  # it remembers at first

    @staticmethod
    def _cell(drive: tf.Tensor, inner: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        i, f, new, o = tf.split(drive + inner, 4, axis=-1)
        _, memory = tf.split(state, 2, axis=-1)
        memory = tf.sigmoid(f) * memory + tf.sigmoid(i) * tf.tanh(new)
        return tf.concat([tf.sigmoid(o) * tf.tanh(memory), memory], axis=-1)

    def _state_size(self) -> int:
        return 2 * self.num_states


def _glorot(rng: np.random.Generator, num_in: int, num_out: int) -> np.ndarray:
    limit = np.sqrt(6 / (num_in + num_out))
    return rng.uniform(-limit, limit, (num_in, num_out))


def _orthogonal(rng: np.random.Generator, num_in: int, num_out: int) -> np.ndarray:
    q, r = np.linalg.qr(rng.standard_normal((num_out, num_in)))
    return (q * np.sign(np.diag(r))).T
