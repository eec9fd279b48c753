r"""What all networks are trained on: a linear readout of the states beside a delay line.

.. math:: \hat x[p] = \sum_k c_k \, s_k[p] + \sum_f t_f \, d_f[p], \qquad
          L = \frac1P \Big( \sum_p |x[p] - \hat x[p]|^2 + reg \, no \, (|c|^2 + |t|^2) \Big)

over rows p: samples, or resource elements after a DFT, which a linear readout commutes with. With
the network's own parameters frozen, the best readout is a ridge regression with the known noise
variance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from rx_fixedpole.readout import ARDRidge, Ridge
from sims.training.compiled import compiled
from sims.training.networks import Network, Pair, Recurrent

# (signal [B, T, X] or [B, R, T, X]) -> [B, E, X], linear: the rows of the regression
Rows = Callable[[tf.Tensor], tf.Tensor]


class Data(NamedTuple):
    """What B slots are trained on."""

    u: tf.Tensor  # [B, T, A] or [B, R, T, A] complex, what drives the network
    line: tf.Tensor  # [B, E, F] complex, the delay line at the rows
    targets: tf.Tensor  # [B, E, S] complex
    no: tf.Tensor  # [B] noise variance


class Weights(NamedTuple):
    """Parameters of B slots: H states, F lags, S streams."""

    recurrent: Recurrent
    readout: Pair  # [B, H, S]
    taps: Pair  # [B, F, S]


class Readout(NamedTuple):
    """A readout in closed form, and its leave-one-out errors ``[B, P, S]``."""

    readout: Pair
    taps: Pair
    leave_one_out: tf.Tensor


class Regression:
    """A network with its readout, and the error on rows with known targets.

    Args:
        network: the network.
        rows: from its states or outputs to the rows of the regression.
        learnt: rows to learn from, bool ``[E]``.
        held_out: rows that tell when to stop, bool ``[E]``; the others weigh nothing.
        reg: ridge regularisation of readout and taps in units of the noise variance, >= 0.

    Raises:
        ValueError: if ``reg`` is negative.

    Example:
        >>> from sims.training import DiagonalRNN
        >>> network = DiagonalRNN(np.array([0.5]), np.array([[1.0 + 0j]]), parametrization="free")
        >>> alternate = np.arange(8) % 2 == 0  # rows are samples here
        >>> regression = Regression(
        ...     network, lambda signal: signal, learnt=alternate, held_out=~alternate, reg=1.0)
        >>> u = tf.constant(np.eye(8)[None, :, :1], tf.complex128)
        >>> target = tf.constant(3 * 0.5 ** np.arange(8)[None, :, None], tf.complex128)
        >>> data = Data(u, tf.zeros([1, 8, 0], tf.complex128), target, tf.constant([1e-9]))
        >>> weights = regression.start(data, ridge=True)
        >>> print(np.round(weights.readout[0].numpy(), 6))
        [[[3.]]]
    """

    def __init__(
        self,
        network: Network,
        rows: Rows,
        *,
        learnt: np.ndarray,
        held_out: np.ndarray,
        reg: float,
    ) -> None:
        if not reg >= 0:
            raise ValueError(f"reg must be at least 0, got {reg!r}")
        self.network, self.rows, self.reg = network, rows, reg
        self.learnt, self.held_out = learnt, held_out
        # Step by step a compiled loop is many times faster; chunks are as fast as they are.
        self._states = compiled(self._rows_of) if network.sequential else self._rows_of
        self._shares = np.stack([learnt / learnt.sum(), held_out / max(held_out.sum(), 1)], axis=1)

    def _rows_of(self, recurrent: Recurrent, u: tf.Tensor) -> tf.Tensor:
        return self.rows(self.network.states(recurrent, u))

    def start(self, data: Data, *, ridge: bool = False) -> Weights:
        """The first parameters: a readout of zeros, or the best one on the learnt rows."""
        batch, dtype = tf.shape(data.u)[0], data.u.dtype.real_dtype
        recurrent = self.network.initial(batch, dtype)
        if ridge:
            readout = self.solve(recurrent, data, self.learnt)
            return Weights(recurrent, readout.readout, readout.taps)
        streams = data.targets.shape[-1]
        sizes = (self.network.num_states, data.line.shape[-1])
        zeros = [tf.zeros(tf.stack([batch, size, streams]), dtype) for size in sizes]
        return Weights(recurrent, (zeros[0], zeros[0]), (zeros[1], zeros[1]))

    def outputs(self, weights: Weights, data: Data) -> tf.Tensor:
        """Outputs ``[B, E, S]``."""
        readout = tf.complex(*weights.readout)
        signal = self.network.output(weights.recurrent, data.u, readout)
        return self.rows(signal) + data.line @ tf.complex(*weights.taps)

    def losses(self, weights: Weights, data: Data) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss to descend, and the mean squared error on held-out rows, both ``[B]``."""
        errors = power(data.targets - self.outputs(weights, data))
        means = tf.reduce_sum(errors, axis=-1) @ tf.constant(self._shares, errors.dtype)
        ridge = self.reg / float(self.learnt.sum()) * tf.cast(data.no, errors.dtype)
        return means[:, 0] + ridge * readout_power(weights), means[:, 1]

    def features(self, recurrent: Recurrent, data: Data) -> tf.Tensor:
        """All that the readout sees, states before lags: ``[B, E, H + F]``."""
        return tf.concat([self._states(recurrent, data.u), data.line], axis=-1)

    def solve(
        self,
        recurrent: Recurrent,
        data: Data,
        rows: np.ndarray,
        *,
        unit_power: bool = False,
        readout: Ridge | ARDRidge | None = None,
    ) -> Readout:
        """The ridge regression on some rows with the recurrence frozen.

        Args:
            recurrent: the network's parameters.
            data: the slots.
            rows: bool ``[E]``.
            unit_power: whether the prior takes every state as if it had unit power on these rows,
                whatever gain the recurrence gives it.
            readout: another regression than the ridge with the known noise variance; each feature
                has then a prior power of its own.

        Returns:
            Readout, taps, and the leave-one-out errors on these rows.

        Raises:
            ValueError: if ``reg`` is 0.
        """
        places = np.flatnonzero(rows)
        features = tf.gather(self.features(recurrent, data), places, axis=1)
        targets = tf.gather(data.targets, places, axis=1)
        num_states = self.network.num_states
        scale = tf.ones_like(features[:, 0])
        if unit_power:
            mean = tf.reduce_mean(power(features[..., :num_states]), axis=1)
            tiny = np.finfo(mean.dtype.as_numpy_dtype).tiny
            gain = tf.math.rsqrt(mean + tiny)
            gain = tf.complex(gain, tf.zeros_like(gain))
            scale = tf.concat([gain, scale[:, num_states:]], axis=-1)
        regression = Ridge(self.reg) if readout is None else readout
        fit = regression.fit(features * scale[:, None], targets, data.no)
        solved = fit.weights * scale[..., None]
        return Readout(
            _pair(solved[:, :num_states]), _pair(solved[:, num_states:]), fit.leave_one_out
        )


def readout_power(weights: Weights) -> tf.Tensor:
    """Squared norm ``[B]`` of readout and taps, the weights that a ridge regression has."""
    parts = [*weights.readout, *weights.taps]
    return tf.add_n([tf.reduce_sum(part**2, axis=[1, 2]) for part in parts])


def power(x: tf.Tensor) -> tf.Tensor:
    """``|x|^2``, real."""
    return tf.math.real(x) ** 2 + tf.math.imag(x) ** 2


def _pair(x: tf.Tensor) -> Pair:
    return tf.math.real(x), tf.math.imag(x)
