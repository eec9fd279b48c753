r"""Prior powers of delays by empirical Bayes, and the channel they imply.

For the coefficients c of the parts of a block, with pilots seen as ``y = F c + w``, prior
covariance :math:`\mathrm{diag}(d^2)` and matched outputs :math:`z = F^H y`,

.. math:: \Sigma = D\, (I + D F^H F D / N_0)^{-1} D, \qquad \mu = \Sigma z / N_0, \qquad
          \gamma = 1 - \mathrm{diag}(I + D F^H F D / N_0)^{-1}.

The prior power of a coefficient is a product: the power of its delay for its user, that of its
function of time (from a table over Doppler shifts), and that of its beam. Each factor is updated
by MacKay's rule, the energy of :math:`\mu` over what the others explain, divided by the number
:math:`\sum \gamma` of coefficients that the pilots determine. Few observations overfit, so a
delay's power leans on its neighbours', and a delay must earn more than one observation.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .doppler import DopplerTable
from .pole_model import PoleModel

# Observations that a delay's neighbours (an exponential kernel of so many samples) count for, and
# observations that each delay has to pay.
_LEANING, _KERNEL, _PRICE = 1.0, 1.0, 1.0
_WEAKEST_BEAM = 1e-4


class Prior(NamedTuple):
    """Prior powers of one slot; k delays are at hand, V beams (1: no prior along the array)."""

    chosen: Tensor  # int [B, U, k], indices of lags
    delays: Tensor  # float64 [B, U, k]
    speeds: Tensor  # float64 [B, U, V], weights of the Doppler table
    beams: Tensor  # float64 [B, U, 1 or A]


class Posterior(NamedTuple):
    """Coefficients given the pilots."""

    mean: Tensor  # complex128 [B, V, J, I, k, A / V]
    root: Tensor  # complex128 [B, V, C, I k, I k]: Sigma = root^H root
    determined: Tensor  # float64 [B, V, C, I, k]


class Evidence:
    """Posteriors and updates of the prior for one grid.

    Args:
        model: what pilots see.
        table: how channels move.
        num_users: U.
    """

    def __init__(self, model: PoleModel, table: DopplerTable, num_users: int) -> None:
        self._model, self._table, self._num_users = model, table, num_users
        self._by_user = _membership(model.user, model.real, num_users)
        index = model.user * table.powers.shape[1] + model.function
        # Part of its user's parts for each part of each kind, flat over users and functions
        self._part = index[model.example]
        step, size = model.delays.spacing, model.num_lags
        kernel = np.exp(-step / _KERNEL * np.abs(np.arange(1 - size, size)))
        self._kernel = kernel / kernel.sum()
        # Delays closer than the inverse of the pilots' span see the same
        self._independent = min(1.0, step * model.span)

    def posterior(self, z: Tensor, gram: Tensor, prior: Prior, no: Tensor) -> Posterior:
        """Coefficients given matched outputs ``[B, V, J, I, k, A / V]`` at the chosen delays."""
        model = self._model
        num_kinds, size = len(model.example), z.shape[3]
        num_chosen = prior.delays.shape[-1]
        scale = ops.sqrt(self._powers(prior))  # [B, V, C, I, k]
        scale = ops.reshape(scale, (-1, prior.beams.shape[-1], num_kinds, size * num_chosen))
        scale = ops.cast(scale, "complex128")
        no = ops.cast(ops.reshape(no, (-1, 1, 1, 1, 1)), "complex128")
        loaded = scale[..., :, None] * gram[:, None] * scale[..., None, :] / no
        identity = _backend.constant(np.eye(size * num_chosen), "complex128")
        root = _backend.inverse_factor(loaded + identity)
        left = 1.0 - ops.sum(_backend.power(root), axis=-2)
        left = ops.reshape(left, (-1, *left.shape[1:3], size, num_chosen))
        root = root * scale[..., None, :]
        flat = ops.reshape(z, (-1, *z.shape[1:3], size * num_chosen, z.shape[-1]))
        own = _taken(root, model.kind, 2)
        mean = _backend.adjoint_product(own, own @ flat) / no
        return Posterior(ops.reshape(mean, (-1, *z.shape[1:])), root, left)

    def with_delays(self, prior: Prior, posterior: Posterior) -> Prior:
        """The prior with its powers of delays, and of functions of time, updated."""
        parts = self._parts(prior)
        energy, known = self._statistics(posterior)
        explained = self._time(parts, prior) * self._beam(prior)
        gained = self._users(ops.sum(energy / explained, axis=1))
        counted = self._users(ops.sum(known, axis=1))
        apart = prior.chosen[..., :, None] - prior.chosen[..., None, :] + self._model.num_lags - 1
        kernel = ops.take(_backend.constant(self._kernel, "float64"), apart)
        near = ops.squeeze(kernel @ prior.delays[..., None], -1)
        delays = (gained + _LEANING * near) / (counted + _LEANING + _PRICE)
        delays = ops.where(prior.delays > 0.0, delays, ops.zeros_like(delays))
        return prior._replace(delays=delays)

    def with_speeds(self, z: Tensor, gram: Tensor, prior: Prior, no: Tensor) -> Prior:
        """The prior with the Doppler shifts' weights by their likelihood.

        As for the delay profile, matched outputs ``[B, 1, J, I, k, A]`` are taken as independent,
        and counted as many as there are independent ones among them.
        """
        model = self._model
        if len(self._table.powers) == 1:
            return prior
        kinds, size = model.real[model.example].shape
        num_chosen = prior.delays.shape[-1]
        spread = ops.reshape(_backend.power(gram), (-1, kinds, size, num_chosen, size, num_chosen))
        powers = self._powers(prior)[:, 0]
        summed = ops.sum(spread * powers[:, :, None, None], axis=-1)  # [B, C, I, k, I]
        own = ops.sum(summed * np.eye(size)[:, None, :], axis=-1)
        others = ops.sum(summed, axis=-1) - own
        # What the own part returns at unit power of its function
        function = self._parts(prior)
        own = own / ops.take(function, self._part, axis=1)[..., None]
        own = _taken(own, model.kind, 1)[..., None]
        energy = _backend.constant(model.energy, "float64")
        floor = _taken(others, model.kind, 1) + (ops.reshape(no, (-1, 1, 1)) * energy)[..., None]
        table = _backend.constant(self._table.powers.T[model.function], "float64")
        expected = own * table[:, :, None] + floor[..., None] + 1e-300  # [B, J, I, k, V]
        seen = ops.mean(_backend.power(z[:, 0]), axis=-1)
        chosen = self._delay(prior)[:, 0] > 0.0
        counted = ops.cast(chosen, "float64") * (z.shape[-1] * self._independent)
        fit = ops.log(expected) + seen[..., None] / expected
        fit = self._users(ops.sum(counted[..., None] * fit, axis=3))
        return prior._replace(speeds=ops.softmax(-fit, axis=-1))

    def with_beams(self, prior: Prior, posterior: Posterior) -> Prior:
        """The prior with the powers of beams updated, their mean kept at one."""
        energy, known = self._statistics(posterior)
        powers = _backend.at_least(self._delay(prior), 1e-300) * self._time(
            self._parts(prior), prior
        )
        gained = self._per_user(ops.sum(energy / powers, axis=-1))
        counted = self._per_user(ops.sum(known, axis=-1))
        beams = gained / _backend.at_least(counted, 1e-3)
        beams = beams / (ops.mean(beams, axis=-1, keepdims=True) + 1e-300)
        return prior._replace(beams=_backend.at_least(beams, _WEAKEST_BEAM))

    def explained(self, z: Tensor, gram: Tensor, posterior: Posterior) -> tuple[Tensor, Tensor]:
        """What the channel explains of the pilots' energy, and by how many coefficients ``[B]``."""
        size = posterior.mean.shape[3] * posterior.mean.shape[4]
        shape = (-1, *z.shape[1:3], size, z.shape[-1])
        mean, matched = ops.reshape(posterior.mean, shape), ops.reshape(z, shape)
        gram = _taken(gram, self._model.kind, 1)[:, None]
        modelled = ops.real(ops.conj(mean) * (2.0 * matched - gram @ mean))
        known = _taken(posterior.determined, self._model.kind, 2) * z.shape[-1]
        axes = (1, 2, 3, 4)
        return ops.sum(modelled, axis=axes), ops.sum(known, axis=axes)

    # Prior powers of the parts, [B, V, parts, k] with singletons where a factor does not depend

    def _powers(self, prior: Prior) -> Tensor:
        """Prior variance of the coefficients of every kind, float64 ``[B, V, C, I, k]``."""
        table = _backend.constant(self._table.powers, "float64")
        function = prior.speeds @ table  # [B, U, Q]
        function = ops.reshape(function, (-1, self._num_users * table.shape[1]))
        time = ops.take(function, self._part, axis=1)  # [B, C, I]
        user = self._model.user[self._model.example]
        delay = ops.take(prior.delays, user, axis=1)
        beam = ops.transpose(ops.take(prior.beams, user, axis=1), (0, 3, 1, 2))
        real = _backend.constant(self._model.real[self._model.example], "float64")
        return (delay * (time * real)[..., None])[:, None] * beam[..., None]

    def _parts(self, prior: Prior) -> Tensor:
        table = _backend.constant(self._table.powers, "float64")
        return ops.reshape(prior.speeds @ table, (-1, self._num_users * table.shape[1]))

    def _time(self, parts: Tensor, prior: Prior) -> Tensor:
        """Power of each part's function of time, ``[B, 1, J, I, 1]``."""
        model = self._model
        index = model.user * self._table.powers.shape[1] + model.function
        return ops.take(parts, index, axis=1)[:, None, :, :, None]

    def _delay(self, prior: Prior) -> Tensor:
        """Power of each part's delays, ``[B, 1, J, I, k]``."""
        return ops.take(prior.delays, self._model.user, axis=1)[:, None]

    def _beam(self, prior: Prior) -> Tensor:
        """Power of each part's beams, ``[B, V, J, I, 1]``."""
        beams = ops.take(prior.beams, self._model.user, axis=1)
        return ops.transpose(beams, (0, 3, 1, 2))[..., None]

    def _statistics(self, posterior: Posterior) -> tuple[Tensor, Tensor]:
        """Energy of each coefficient and how far it is determined, ``[B, V, J, I, k]``."""
        mean = posterior.mean
        energy = ops.sum(_backend.power(mean), axis=-1)
        known = _taken(posterior.determined, self._model.kind, 2) * mean.shape[-1]
        return energy, known

    def _users(self, values: Tensor) -> Tensor:
        """Sum ``[B, J, I, k]`` over the parts of each user: ``[B, U, k]``."""
        flat = ops.reshape(values, (-1, self._by_user.shape[1], values.shape[-1]))
        return _backend.constant(self._by_user, "float64") @ flat

    def _per_user(self, values: Tensor) -> Tensor:
        """Sum ``[B, V, J, I]`` over the parts of each user: ``[B, U, V]``."""
        flat = ops.reshape(values, (-1, values.shape[1], self._by_user.shape[1]))
        summed = flat @ _backend.constant(self._by_user.T, "float64")
        return ops.swapaxes(summed, 1, 2)

    def gram(self, chosen: Tensor) -> Tensor:
        """``F^H F`` of every kind at the chosen delays, complex128 ``[B, C, I k, I k]``."""
        user = self._model.user[self._model.example]
        return inner_products(self._model, ops.take(chosen, user, axis=1), chosen)


def inner_products(model: PoleModel, rows: Tensor, chosen: Tensor) -> Tensor:
    """``F^H F`` of every kind between delays and the chosen ones.

    Args:
        model: what pilots see.
        rows: delays of every part, int ``[B or 1, C, I, r]``.
        chosen: of every user, int ``[B, U, k]``.

    Returns:
        Complex128 ``[B, C, I r, I k]``.
    """
    num_kinds, size, _, num_lags, _ = model.gram.shape
    lag = ops.cast(ops.take(chosen, model.user[model.example], axis=1), "int32")  # [B, C, I, k]
    row = ops.cast(rows, "int32")[..., None, None] * num_lags
    place = np.arange(num_kinds * size * size).reshape(num_kinds, size, 1, size, 1)
    place = row + lag[:, :, None, None] + (place * num_lags**2).astype(np.int32)
    flat = _backend.constant(model.gram.reshape(-1), "complex128")
    shape = (-1, num_kinds, size * rows.shape[-1], size * chosen.shape[-1])
    return ops.reshape(ops.take(flat, place), shape)


def _membership(index: np.ndarray, real: np.ndarray, count: int) -> np.ndarray:
    """Which flat part belongs to which of ``count`` sets, float64 ``[count, J I]``."""
    return ((index == np.arange(count)[:, None, None]) & real).reshape(count, -1).astype(float)


def _taken(x: Tensor, index: np.ndarray, axis: int) -> Tensor:
    """``take`` along an axis, or nothing where it would change nothing."""
    if np.array_equal(index, np.arange(x.shape[axis])):
        return x
    return ops.take(x, index, axis=axis)
