r"""How much power of the channel the chosen delays leave out, told by what is left of the pilots.

Weak paths that do not stand out of the noise have no pole, and the posterior knows no error where
there is none. Yet their energy is in the pilots. Matched to the delays of the window, what the
channel estimate leaves of the pilots returns the noise in as many dimensions as the window has and
the estimate does not use, and beyond that the energy of what was left out,

.. math:: E \sum_l |f_l^H (y - F \mu)|^2 = \lambda \big( N_0 (D - \sum \gamma) + E_p\, m \big),

with :math:`E_p` the energy of the pilots, D the window's number of independent delays and
:math:`\lambda = E_p L / D` for L delays l. The power m that solves it is as often too small as too
large; none is negative, so that a slot with few antennas, which could hide more, is granted more.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .doppler import DopplerTable
from .evidence import Posterior, Prior, inner_products
from .pole_model import PoleModel


class Leftover:
    """Power of the channel, user by user, that the chosen delays leave out.

    Args:
        model: what pilots see.
        table: how channels move.
        num_users: U.
    """

    def __init__(self, model: PoleModel, table: DopplerTable, num_users: int) -> None:
        self._model, self._powers = model, table.powers
        # Delays a sample apart are enough, and all but independent.
        step = max(1, int(1.0 / model.delays.spacing))
        lags = np.arange(0, model.num_lags, step, dtype=np.int32)
        self._lags = lags
        self._rows = np.broadcast_to(lags, (1, *model.real[model.example].shape, len(lags)))
        self._share = min(1.0, step * model.delays.spacing * model.span)
        self._part = model.user * table.powers.shape[1] + model.function
        owner = (model.user == np.arange(num_users)[:, None, None]) & model.real
        self._owner = owner.reshape(num_users, -1).astype(float)

    def __call__(
        self, z: Tensor, mean: Tensor, posterior: Posterior, prior: Prior, no: Tensor
    ) -> Tensor:
        """Power left out, float64 ``[B, U]``.

        Args:
            z: matched outputs at all delays, complex128 ``[B, A, J, I, K]``.
            mean: coefficients of the chosen ones, complex128 ``[B, A, J, I, k]``.
            posterior, prior: what they come from.
            no: noise variance, float64 ``[B]``.
        """
        model, num_ant, num_lags = self._model, z.shape[1], len(self._lags)
        blocks, parts = model.real.shape
        products = inner_products(model, _backend.constant(self._rows, "int32"), prior.chosen)
        products = ops.take(products, model.kind, axis=1)
        mean = ops.transpose(mean, (0, 2, 3, 4, 1))
        fitted = products @ ops.reshape(mean, (-1, blocks, parts * mean.shape[3], num_ant))
        seen = ops.transpose(ops.take(z, self._lags, axis=-1), (0, 2, 3, 4, 1))
        left = seen - ops.reshape(fitted, (-1, blocks, parts, num_lags, num_ant))
        left = ops.sum(_backend.power(left), axis=(3, 4)) / num_ant  # [B, J, I]
        used = ops.sum(ops.mean(posterior.determined, axis=1), axis=-1)
        used = ops.take(used, model.kind, axis=1)
        energy = _real(np.maximum(model.energy, 1e-300))
        independent = num_lags * self._share
        no = ops.reshape(no, (-1, 1, 1))
        power = left * self._share / energy**2 - no * (independent - used) / energy
        # By least squares over the functions of time, of which a standing channel has one.
        powers = prior.speeds @ _real(self._powers)
        powers = ops.reshape(powers, (-1, powers.shape[1] * powers.shape[2]))
        weights = ops.take(powers, self._part, axis=1)
        power = self._summed(weights * power) / self._summed(weights**2)
        return _backend.at_least(power, 0.0)

    def _summed(self, values: Tensor) -> Tensor:
        """Sum ``[B, J, I]`` over the parts of each user, ``[B, U]``."""
        flat = ops.reshape(values, (-1, self._owner.shape[1]))
        return flat @ _real(self._owner.T)


def _real(x: np.ndarray) -> Tensor:
    return _backend.constant(x, "float64")
