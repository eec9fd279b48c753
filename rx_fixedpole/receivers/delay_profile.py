r"""Which delays of a slot carry energy: a first, cheap look at the delay power profile.

Matched to a delay, pilots return the energy of that delay and of others through the correlation
of their phase ramps,

.. math:: E|z_l|^2 = \sum_{l'} |G_{l l'}|^2 g_{l'} + N_0\, G_{l l},

and the non-negative powers g of greatest likelihood under independent exponential laws follow from
multiplicative updates, which are two real matrix products each. Poles are kept where the profile,
summed over a sample on either side, stands out of what noise alone would leave there.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .pole_model import PoleModel

_UPDATES = 8
# Reach, in samples, over which the profile is summed to find energy.
_REACH = 1.5
# Energy over noise energy that counts, for one observation of a delay.
_DETECTED = 4.0


class DelayProfile:
    """First look at the delay power profile of every user.

    Args:
        model: what pilots see.
        num_users: U.
    """

    def __init__(self, model: PoleModel, num_users: int) -> None:
        size = model.num_lags
        self._num_lags = size
        weights = np.zeros((num_users, *model.real.shape))
        own = np.zeros((num_users, size, size))
        others = np.zeros((num_users, num_users))
        floor = np.zeros(num_users)
        power = np.abs(model.gram[model.kind]) ** 2
        for j, i in zip(*np.nonzero(model.real), strict=True):
            user = model.user[j, i]
            weights[user, j, i] = 1.0
            own[user] += power[j, i, i]
            floor[user] += model.energy[j, i]
            for other in np.flatnonzero(model.real[j] & (np.arange(model.real.shape[1]) != i)):
                others[user, model.user[j, other]] += np.mean(power[j, i, other])
        self.num_parts = np.maximum(weights.sum(axis=(1, 2)), 1.0)
        self._weights = (weights / self.num_parts[:, None, None]).reshape(num_users, -1)
        self._floor = floor / self.num_parts
        self._others = others / self.num_parts[:, None]
        self._spread = own / self.num_parts[:, None, None]
        reach = np.abs(model.delays.lags[:, None] - model.delays.lags)
        self._near = np.maximum(1.0 - reach / _REACH, 0.0)
        functions = int(model.function.max()) + 1
        self._num_streams = self.num_parts / functions

    def __call__(self, z: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Powers of the delays and whether they stand out, both float64 ``[B, U, K]``.

        Args:
            z: matched outputs, complex ``[B, A, J, I, K]``.
            no: noise variance, float64 ``[B or 1]``.
        """
        num_ant = z.shape[1]
        seen = ops.mean(ops.cast(_backend.power(z), "float64"), axis=1)
        seen = ops.reshape(seen, (-1, self._weights.shape[1], self._num_lags))
        seen = _constant(self._weights) @ seen
        spread = _constant(self._spread)
        floor = no[:, None] * _constant(self._floor)
        profile = seen / _constant(self._floor[:, None] ** 2) + 1e-30
        for _ in range(_UPDATES):
            leaked = ops.sum(profile, axis=-1) @ _constant(self._others.T)
            expected = self._spreaded(profile, spread) + (floor + leaked)[..., None] + 1e-30
            gain = self._spreaded(seen / expected**2, spread)
            profile = profile * gain / self._spreaded(1.0 / expected, spread)
        leaked = ops.sum(profile, axis=-1) @ _constant(self._others.T)
        noise = (floor + leaked) / _constant(self._floor**2)
        wanted = _constant(_DETECTED / np.sqrt(num_ant * self._num_streams)) * noise
        found = profile @ _constant(self._near) > wanted[..., None]
        return profile, found

    def _spreaded(self, profile: Tensor, spread: Tensor) -> Tensor:
        """``sum_l' |G_l l'|^2 g_l'`` of every user."""
        turned = ops.transpose(profile, (1, 0, 2)) @ spread
        return ops.transpose(turned, (1, 0, 2))


def _constant(x: np.ndarray) -> Tensor:
    return _backend.constant(x, "float64")
