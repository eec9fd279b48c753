r"""Variable projection: Gauss-Newton on the poles alone, the readout solved inside.

For poles p the best readout w(p) is a ridge regression, so what remains to minimise is

.. math:: r(p) = \begin{bmatrix} X - A(p) \, w(p) \\ -\sqrt\lambda \, w(p) \end{bmatrix}, \qquad
          \lambda = reg \, no

Kaufman's Jacobian leaves out the part of dr / dp within the range of the augmented A, to which r
is orthogonal: the gradient is exact.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import least_squares

from rx_fixedpole import recurrence
from sims.training.fit import Training
from sims.training.networks import DiagonalRNN
from sims.training.outside import Record, Solved, Stopped, slot_by_slot
from sims.training.regression import Data, Regression, Weights

# Radii that the search keeps to: derivatives in log(-log(radius)) vanish beyond.
_RADII = (1e-4, 1 - 1e-6)
# Loading relative to the trace, as in rx_fixedpole.readout.
_JITTER = 16 * float(np.finfo(np.float64).eps)


class VarPro:
    """Levenberg-Marquardt on the poles of a diagonal network, in every slot.

    Every input weight is scaled by ``sqrt(1 - |p|^2)`` as its pole moves, so that the prior on the
    readout stays that of states with unit power. The iterate that the held-out rows like best is
    kept; its cost on the learnt rows is never above that of the initial poles.

    Args:
        regression: a diagonal network of parametrization "stable", its rows and its loss.
        num_steps: most evaluations of the residual, >= 1.
        patience: evaluations without a smaller held-out error after which a slot stops, >= 1.

    Raises:
        ValueError: if an argument is out of range or the network is another one.
    """

    def __init__(self, regression: Regression, *, num_steps: int, patience: int) -> None:
        for name, value in (("num_steps", num_steps), ("patience", patience)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}")
        network = regression.network
        if not isinstance(network, DiagonalRNN) or network.parametrization != "stable":
            raise ValueError("network must be diagonal with parametrization 'stable'")
        self._regression, self._num_steps, self._patience = regression, num_steps, patience
        self._columns = tf.function(self._bank_columns, jit_compile=True, autograph=False)

    def __call__(self, data: Data, initial: Weights) -> Training:
        """Train B slots from given poles, one after the other; the initial readout is ignored."""
        return slot_by_slot(self._solve, data, initial)

    def _solve(self, data: Data, initial: Weights) -> Solved:
        bank = initial.recurrent
        weights = bank.input_weights[0][0] + 1j * bank.input_weights[1][0]
        slot = _Slot(self._regression, self._columns, data, weights, bank.poles[0][0])
        start = np.concatenate([bank.poles[0][0], bank.poles[1][0]])
        record = Record(start, self._num_steps, self._patience)
        low, high = np.log(-np.log(_RADII))[::-1]
        half = np.repeat([True, False], len(start) // 2)
        bounds = (np.where(half, low, -np.inf), np.where(half, high, np.inf))
        start = np.clip(start, bounds[0] + 1e-9, bounds[1] - 1e-9)

        def residual(x: np.ndarray) -> np.ndarray:
            point = slot.at(x)
            if slot.cost(point) <= slot.cost(slot.at_start(start)):
                slope = 2 / slot.num_learnt * (point.jacobian.T @ point.residual)
                norm = float(np.linalg.norm(slope))
                record.add(x.copy(), slot.cost(point), point.held_out, norm)
            return point.residual

        with contextlib.suppress(Stopped):
            least_squares(
                residual,
                start,
                jac=lambda x: slot.at(x).jacobian,
                bounds=bounds,
                x_scale="jac",
                max_nfev=self._num_steps,
                ftol=1e-10,
                xtol=1e-10,
                gtol=1e-12,
            )
        return Solved(slot.weights(record.best, initial), record)

    def _bank_columns(self, u: tf.Tensor, poles: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The states' rows and their derivatives, ``[E, 2 K]``; one slot, poles ``[K]``."""
        drive = tf.transpose(u[0] @ tf.transpose(weights))[..., None]  # K signals, one pole each
        states = recurrence.states(drive, poles[:, None])
        before = tf.pad(states, [[0, 0], [1, 0], [0, 0]])[:, :-1]
        slopes = recurrence.states(before, poles[:, None])
        both = tf.concat([states, slopes], axis=0)[..., 0]
        return self._regression.rows(tf.transpose(both)[None])[0]


class _Point(NamedTuple):
    """Everything at one set of poles."""

    readout: np.ndarray  # [K + F, S]
    residual: np.ndarray  # real, [2 (P + K + F) S]
    jacobian: np.ndarray  # [2 (P + K + F) S, 2 K]
    held_out: float


class _Slot:
    """The variable projection functional of one slot, remembered where it was asked last.

    Args:
        regression: rows, masks and regularisation.
        columns: see VarPro._bank_columns.
        data: of the slot.
        weights: input weights ``[K, A]`` at the initial poles.
        nu: log(-log(radius)) ``[K]`` of the initial poles.
    """

    def __init__(
        self,
        regression: Regression,
        columns: tf.types.experimental.GenericFunction,
        data: Data,
        weights: np.ndarray,
        nu: np.ndarray,
    ) -> None:
        self._columns, self._u, self._weights = columns, tf.constant(data.u), weights
        self._rows = [np.flatnonzero(mask) for mask in (regression.learnt, regression.held_out)]
        self._line, self._targets = data.line[0], data.targets[0]
        self._loading = regression.reg * float(np.reshape(data.no, -1)[0])
        self._norm = np.sqrt(-np.expm1(-2 * np.exp(nu)))
        self.num_learnt = len(self._rows[0])
        self._last: tuple[bytes, _Point] | None = None
        self._first: _Point | None = None

    def at(self, x: np.ndarray) -> _Point:
        """The point at parameters ``[2 K]``."""
        if self._last is None or self._last[0] != x.tobytes():
            self._last = (x.tobytes(), self._evaluate(x))
        return self._last[1]

    def at_start(self, x: np.ndarray) -> _Point:
        """The first point, kept for good."""
        if self._first is None:
            self._first = self.at(x)
        return self._first

    def cost(self, point: _Point) -> float:
        """The regression's loss at a point."""
        return float(point.residual @ point.residual) / self.num_learnt

    def weights(self, x: np.ndarray, like: Weights) -> Weights:
        """The network's weights at parameters ``[2 K]``, with an axis of one slot."""
        nu, theta = np.split(x, 2)
        num_poles = len(nu)
        scaled = self._gain(nu)[:, None] * self._weights
        bank = like.recurrent._replace(
            poles=(nu[None], theta[None]), input_weights=(scaled.real[None], scaled.imag[None])
        )
        readout, taps = np.split(self._evaluate(x).readout[None], [num_poles], axis=1)
        return Weights(bank, (readout.real, readout.imag), (taps.real, taps.imag))

    def _gain(self, nu: np.ndarray) -> np.ndarray:
        """What keeps a state's power for white input as its pole moves."""
        return np.sqrt(-np.expm1(-2 * np.exp(nu))) / self._norm

    def _evaluate(self, x: np.ndarray) -> _Point:
        nu, theta = np.split(x, 2)
        poles = np.exp(-np.exp(nu) + 1j * theta)
        columns = self._columns(self._u, tf.constant(poles), tf.constant(self._weights)).numpy()
        states, slopes = np.split(columns, 2, axis=1)
        gain = self._gain(nu)
        gain_slope = np.exp(nu) * np.abs(poles) ** 2 / (gain * self._norm**2)
        by_nu = gain_slope * states - gain * np.exp(nu) * poles * slopes
        by_theta = 1j * gain * poles * slopes
        features = np.concatenate([gain * states, self._line], axis=1)
        learnt, held_out = self._rows
        moves = np.concatenate([by_nu, by_theta], axis=1)[learnt]
        point = _project(features[learnt], moves, self._targets[learnt], self._loading)
        errors = self._targets[held_out] - features[held_out] @ point.readout
        error = np.sum(np.abs(errors) ** 2) / max(len(held_out), 1)
        return point._replace(held_out=float(error))


def _project(
    features: np.ndarray, moves: np.ndarray, targets: np.ndarray, loading: float
) -> _Point:
    """Readout, residual and Kaufman's Jacobian.

    Args:
        features: complex ``[P, F]``, the states first.
        moves: derivatives ``[P, 2 K]`` of states 0 .. K-1 in each of two real parameters a pole.
        targets: complex ``[P, S]``.
        loading: on the diagonal of the Gram matrix.
    """
    adjoint = features.conj().T
    gram = adjoint @ features
    loading = loading + _JITTER * float(np.trace(gram).real) + 1e-200
    gram[np.diag_indices_from(gram)] += loading
    solved = cho_solve(cho_factor(gram), adjoint @ np.concatenate([targets, moves], axis=1))
    readout, inside = np.split(solved, [targets.shape[1]], axis=1)
    root = np.sqrt(loading)
    residual = np.concatenate([targets - features @ readout, -root * readout])
    outside = np.concatenate([moves - features @ inside, -root * inside])
    poles = np.arange(moves.shape[1]) % (moves.shape[1] // 2)
    jacobian = -(outside[:, None, :] * readout[poles].T[None])
    jacobian = jacobian.reshape(-1, moves.shape[1])
    residual = residual.reshape(-1)
    return _Point(
        readout,
        np.concatenate([residual.real, residual.imag]),
        np.concatenate([jacobian.real, jacobian.imag]),
        np.inf,
    )
