r"""Weights that move from one OFDM symbol to the next, from Gram matrices a symbol.

The weights of OFDM symbol m are :math:`w_m = \sum_q \phi_q(m)\, w_q` with a few slow functions of
time. All that a fit needs of a symbol's resource elements are their Gram matrix and moment, formed
once; how far the symbol is to be believed is a factor on both, so that fitting again with other
targets costs no pass over the features but for the moments.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor
from rx_fixedpole.readout.solve import loaded

from .symbol_equations import SymbolEquations
from .time_functions import time_functions

# Functions of time, and the fastest movement they stand for, in radians an OFDM symbol.
NUM_FUNCTIONS, FASTEST = 4, 0.8
# Prior powers of features are kept within this ratio of the largest one.
_DYNAMIC_RANGE = 1e12
# Added to a matrix whose eigenvalues lie between 0 and 1 before it is factored.
_LEAST_SLACK = 1e-9


class MovingFit(NamedTuple):
    """Posterior of the weights of every symbol, and where the next fit starts."""

    weights: Tensor  # [B, M, F, S] complex128
    root: Tensor  # [B, M, F, F] lower triangular L, L L^H their covariance
    noise: Tensor  # [B] error variance of the targets, real
    load: Tensor  # [B, Q, F] loading, real
    share: Tensor  # [B, Q] power of the functions of time, real


class MovingWeights:
    r"""Fits moving weights, with the prior powers and the speed learned from the same rows.

    .. math:: \min_w \sum_m \rho_m \sum_k E|x_m[k] - f_m[k] w_m|^2
              + \sum_{q, j} \frac{\sigma^2}{g_j\, p_q} |w_{qj}|^2

    Feature j has a prior power :math:`g_j`, shared over antennas and learned as
    :class:`rx_fixedpole.readout.ARDRidge` does; function of time q has the share :math:`p_q` that
    Jakes' correlation gives it at one speed for all features, the speed of largest likelihood.

    Args:
        num_symbols: M.
        roles: which features share a prior power, int ``[F]``.
    """

    def __init__(self, num_symbols: int, roles: np.ndarray) -> None:
        functions, self._powers = time_functions(num_symbols, FASTEST, NUM_FUNCTIONS)
        self._functions = functions.T  # [M, Q]
        _, role = np.unique(roles, return_inverse=True)
        self._members = np.eye(role.max() + 1)[role]  # [F, roles]
        self._products = np.einsum("mq,mp->mqp", self._functions, self._functions)

    def start(self, no: Tensor) -> tuple[Tensor, Tensor]:
        """Loading ``[B, Q, F]`` and share ``[B, Q]`` before the first fit, ``no`` real ``[B]``."""
        share = self._powers[len(self._powers) // 2]
        no = ops.cast(no, "float64")[:, None]
        share = ops.ones_like(no) * ops.convert_to_tensor(share[None], dtype="float64")
        ones = ops.ones((1, 1, len(self._members)), dtype="float64")
        return (no / share)[..., None] * ones, share

    def fit(
        self, equations: SymbolEquations, load: Tensor, share: Tensor, num_updates: int
    ) -> MovingFit:
        """Posterior of the weights.

        Args:
            equations: of all rows.
            load, share: of :meth:`start` or of an earlier fit.
            num_updates: updates of the prior powers, >= 1.
        """
        gram, moment = self._stacked(equations)
        for _ in range(num_updates):
            load, share, noise, prior = self._update(gram, moment, equations, load, share)
        inverse, weights = self._solve(gram, moment, load)
        return self._posterior(inverse, weights, noise, prior, load, share)

    def _stacked(self, equations: SymbolEquations) -> tuple[Tensor, Tensor]:
        """Gram matrix ``[B, Q F, Q F]`` and moment ``[B, Q F, S]`` over functions of time."""
        num_symbols, q = self._functions.shape
        f, num_streams = equations.moment.shape[2:]
        gram = ops.reshape(equations.gram, (-1, num_symbols, f * f))
        gram = _backend.constant(self._products.reshape(num_symbols, -1).T, "complex128") @ gram
        gram = ops.transpose(ops.reshape(gram, (-1, q, q, f, f)), (0, 1, 3, 2, 4))
        moment = ops.reshape(equations.moment, (-1, num_symbols, f * num_streams))
        moment = _backend.constant(self._functions.T, "complex128") @ moment
        return ops.reshape(gram, (-1, q * f, q * f)), ops.reshape(moment, (-1, q * f, num_streams))

    def _solve(self, gram: Tensor, moment: Tensor, load: Tensor) -> tuple[Tensor, Tensor]:
        """``R`` with ``R^H R`` the inverse of the loaded Gram matrix, and the weights."""
        root = _backend.inverse_factor(loaded(gram, ops.reshape(load, (-1, 1, gram.shape[-1]))))
        return root, _backend.adjoint_product(root, root @ moment)

    def _update(
        self,
        gram: Tensor,
        moment: Tensor,
        equations: SymbolEquations,
        load: Tensor,
        share: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """MacKay's fixed point: the next loading and shares, error variance, prior powers."""
        root, weights = self._solve(gram, moment, load)
        shape, num_streams = (-1, *load.shape[1:]), moment.shape[-1]
        flat = ops.reshape(load, (-1, gram.shape[-1]))
        freedom = 1.0 - flat * ops.sum(_backend.power(root), axis=1)
        freedom = _backend.at_least(ops.reshape(freedom, shape), 0.0)
        shrunk = ops.cast(flat, "complex128")[..., None] * weights
        fitted = ops.real(ops.sum(ops.conj(weights) * (moment + shrunk), axis=(1, 2)))
        residual = _backend.at_least(ops.sum(equations.power, axis=-1) - fitted, 1e-200)
        slack = ops.sum(equations.count, axis=-1) - ops.sum(freedom, axis=(1, 2))
        noise = residual / (num_streams * _backend.at_least(slack, 1.0))
        power = ops.reshape(ops.sum(_backend.power(weights), axis=-1), shape)
        freedom = num_streams * freedom
        members = ops.convert_to_tensor(self._members, dtype="float64")
        prior = ops.sum(power / share[..., None], axis=1) @ members
        prior = prior / _backend.at_least(ops.sum(freedom, axis=1) @ members, 1e-9)
        floor = ops.max(prior, axis=-1, keepdims=True) / _DYNAMIC_RANGE + 1e-200
        prior = _backend.at_least(prior, floor) @ ops.transpose(members)
        powers = ops.convert_to_tensor(self._powers, dtype="float64")
        seen = ops.sum(power / prior[:, None], axis=-1)  # [B, Q]
        count = ops.sum(freedom, axis=-1)
        misfit = count @ ops.transpose(ops.log(powers)) + seen @ ops.transpose(1.0 / powers)
        share = ops.take(powers, ops.argmin(misfit, axis=-1), axis=0)
        load = noise[:, None, None] / (share[..., None] * prior[:, None])
        return load, share, noise, prior

    def _posterior(
        self,
        inverse: Tensor,
        weights: Tensor,
        noise: Tensor,
        prior: Tensor,
        load: Tensor,
        share: Tensor,
    ) -> MovingFit:
        """Weights and covariance of every symbol from those of the functions of time."""
        num_symbols, q = self._functions.shape
        f, num_streams = prior.shape[-1], weights.shape[-1]
        weights = ops.reshape(weights, (-1, q, f * num_streams))
        weights = _backend.constant(self._functions, "complex128") @ weights
        weights = ops.reshape(weights, (-1, num_symbols, f, num_streams))
        spread = ops.reshape(_backend.adjoint_product(inverse, inverse), (-1, q, f, q, f))
        spread = ops.reshape(ops.transpose(spread, (0, 1, 3, 2, 4)), (-1, q * q, f * f))
        products = self._products.reshape(num_symbols, -1)
        spread = _backend.constant(products, "complex128") @ spread
        spread = ops.reshape(spread, (-1, num_symbols, f, f))
        # Relative to the prior every direction has a variance of some size: it can be factored
        scale = ops.cast(ops.sqrt(prior / noise[:, None]), "complex128")[:, None]
        root = _backend.cholesky(loaded(spread / scale[..., None] / scale[..., None, :], 0.0))
        deviation = ops.cast(ops.sqrt(prior), "complex128")[:, None, :, None]
        return MovingFit(weights, deviation * root, noise, load, share)


def without_own(fit: MovingFit, own: SymbolEquations) -> tuple[Tensor, Tensor]:
    """Weights of every symbol as if some of its own rows had not been there, and a root.

    With ``G`` and ``z`` of those rows over the error variance and the covariance ``L L^H`` of the
    weights ``w``, it is ``w - X X^H (z - G w)`` with the covariance ``X X^H``,
    ``X X^H = L (I - L^H G L)^-1 L^H``: exact, with the prior powers held.

    Args:
        fit: to the rows of all symbols.
        own: the rows in question.

    Returns:
        Weights ``[B, M, F, S]`` and ``X [B, M, F, F]``, complex128.
    """
    noise = ops.cast(fit.noise, "complex128")[:, None, None, None]
    explained = _backend.adjoint_product(fit.root, own.gram @ fit.root) / noise
    identity = _backend.constant(np.eye(own.gram.shape[-1]), "complex128")
    left = _backend.inverse_factor((1.0 + _LEAST_SLACK) * identity - explained)
    root = fit.root @ _backend.adjoint(left)
    residual = (own.moment - own.gram @ fit.weights) / noise
    return fit.weights - root @ _backend.adjoint_product(root, residual), root
