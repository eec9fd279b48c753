"""What a recurrent network of the laboratory is: from inputs to hidden states, slot by slot.

The readout and the delay line beside the network are not its own: all networks share them, see
:mod:`sims.training.regression`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import tensorflow as tf

# A complex parameter: its real and imaginary part, or for poles the pair of the parametrization.
Pair = tuple[tf.Tensor, tf.Tensor]
# The parameters of a network's recurrence: a structure (tf.nest) of real tensors [B, ...].
Recurrent = Any


class Network(ABC):
    """A recurrent network with parameters of its own in every slot.

    Args:
        initial: its first parameters, a structure of real arrays without the axis of slots.
        num_states: H, states that the readout sees.

    Attributes:
        num_states: H.
        sequential: whether time runs step by step, so that short runs side by side are the fast
            form; if not, one long run costs no more.
    """

    sequential = True

    def __init__(self, initial: Any, num_states: int) -> None:
        self._initial, self.num_states = initial, num_states

    def initial(self, batch: int | tf.Tensor, dtype: tf.DType) -> Recurrent:
        """The first parameters, the same for all slots."""
        return tf.nest.map_structure(
            lambda values: tf.tile(
                tf.constant(np.asarray(values)[None], dtype),
                tf.stack([batch, *[1] * np.ndim(values)]),
            ),
            self._initial,
        )

    def starting_at(self, recurrent: Any) -> Network:
        """The same network with other first parameters, arrays without the axis of slots."""
        tf.nest.assert_same_structure(self._initial, recurrent)
        other = copy.copy(self)
        other._initial = tf.nest.map_structure(lambda x: np.asarray(x, np.float64), recurrent)
        return other

    @abstractmethod
    def states(self, recurrent: Recurrent, u: tf.Tensor) -> tf.Tensor:
        """Hidden states at every sample, from rest.

        Args:
            recurrent: parameters of B slots.
            u: complex ``[B, T, A]``, or ``[B, R, T, A]`` for R runs of every slot.

        Returns:
            Complex ``[B, T, H]`` or ``[B, R, T, H]``.
        """

    def output(self, recurrent: Recurrent, u: tf.Tensor, readout: tf.Tensor) -> tf.Tensor:
        """``states @ readout`` for one readout a slot, complex ``[B, H, S]``."""
        return per_slot(self.states(recurrent, u), readout)

    def matrix(self, recurrent: Recurrent) -> tf.Tensor | None:
        """W_rec, complex ``[B, H, H]``, or its diagonal ``[B, H]``; None if there is no such."""
        return None

    def response(self, recurrent: Recurrent, omega: np.ndarray) -> tf.Tensor | None:
        """Frequency response ``[B, H, A, N]`` at ``omega`` ``[N]``, rad a sample; None if the
        network is not linear."""
        return None


def per_slot(x: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """``x [B, ..., X] @ matrix [B, X, Y]`` as one product a slot."""
    if x.shape.rank == 3:
        return x @ matrix
    shape = tf.shape(x)
    rows = tf.reshape(x, tf.stack([shape[0], -1, x.shape[-1]])) @ matrix
    result = tf.reshape(rows, tf.concat([shape[:-1], [matrix.shape[-1]]], 0))
    return tf.ensure_shape(result, [*x.shape[:-1], matrix.shape[-1]])


def complex_pair(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Real and imaginary part."""
    return np.asarray(values.real), np.asarray(values.imag)


def complex_normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Circular Gaussian numbers of unit power."""
    parts = rng.standard_normal((2, *shape)) / np.sqrt(2)
    return parts[0] + 1j * parts[1]
