"""A linear diagonal RNN: a bank of one-pole filters whose poles are trained."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rx_fixedpole import recurrence
from rx_fixedpole.layers.trainable import PARAMETRIZATIONS
from sims.training.networks.base import Network, Pair, complex_pair


class Bank(NamedTuple):
    """Parameters of B slots: K poles, A inputs."""

    poles: Pair  # [B, K]
    input_weights: Pair  # [B, K, A]


class DiagonalRNN(Network):
    r"""A bank of K poles that all inputs drive.

    .. math:: s_k[n] = p_k s_k[n-1] + \sum_a W_{ka} u_a[n]

    Args:
        poles: initial poles, complex ``[K]``, ``|p| < 1``.
        input_weights: initial input weights, complex ``[K, A]``.
        parametrization: ``"free"`` or ``"stable"``, as in
            :class:`rx_fixedpole.layers.TrainablePoleRNN`.

    Raises:
        ValueError: for an unknown ``parametrization``.

    Example:
        >>> network = DiagonalRNN(np.array([0.5]), np.array([[1.0 + 0j]]), parametrization="free")
        >>> impulse = tf.constant([[[1.0], [0.0], [0.0]]], tf.complex128)
        >>> states = network.states(network.initial(1, tf.float64), impulse)
        >>> print(states[0, :, 0].numpy().real)
        [1.   0.5  0.25]
    """

    sequential = False

    def __init__(
        self, poles: np.ndarray, input_weights: np.ndarray, *, parametrization: str
    ) -> None:
        if parametrization not in PARAMETRIZATIONS:
            raise ValueError(
                f"parametrization must be one of {sorted(PARAMETRIZATIONS)}, "
                f"got {parametrization!r}"
            )
        from_poles, self._to_poles = PARAMETRIZATIONS[parametrization]
        self.parametrization = parametrization
        pole_pair = from_poles(np.asarray(poles, np.complex128))
        initial = Bank((pole_pair[0], pole_pair[1]), complex_pair(input_weights))
        super().__init__(initial, len(poles))

    def poles(self, recurrent: Bank) -> tf.Tensor:
        """The poles, complex ``[B, K]``."""
        return self._to_poles(recurrent.poles)

    def states(self, recurrent: Bank, u: tf.Tensor) -> tf.Tensor:
        """States in chunks, see :class:`Network`; differentiable through all of time."""
        if u.shape.rank == 3:
            return recurrence.states(
                u, self.poles(recurrent), input_weights=tf.complex(*recurrent.input_weights)
            )
        runs = u.shape[1]
        repeated = tf.nest.map_structure(lambda x: tf.repeat(x, runs, axis=0), recurrent)
        states = self.states(repeated, tf.reshape(u, [-1, *u.shape[2:]]))
        return tf.reshape(states, [-1, runs, u.shape[2], self.num_states])

    def output(self, recurrent: Bank, u: tf.Tensor, readout: tf.Tensor) -> tf.Tensor:
        """``states @ readout``, the states never formed for a single run."""
        if u.shape.rank != 3:
            return super().output(recurrent, u, readout)
        return recurrence.output(
            u,
            self.poles(recurrent),
            readout,
            input_weights=tf.complex(*recurrent.input_weights),
        )

    def matrix(self, recurrent: Bank) -> tf.Tensor:
        """The diagonal of W_rec: the poles."""
        return self.poles(recurrent)

    def response(self, recurrent: Bank, omega: np.ndarray) -> tf.Tensor:
        """``W_ka / (1 - p_k exp(-j omega))``, ``[B, K, A, N]``."""
        poles = self.poles(recurrent)[..., None]
        one_pole = 1 / (1 - poles * tf.constant(np.exp(-1j * omega), poles.dtype))
        return tf.complex(*recurrent.input_weights)[..., None] * one_pole[:, :, None]
