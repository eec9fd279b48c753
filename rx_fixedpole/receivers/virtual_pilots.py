r"""The channel from symbols that are known everywhere, or nearly so.

.. math:: y(m, k) = \sum_s x_s(m, k) \sum_q \varphi_q(m) \sum_l c_{s,q,l}\,
          e^{-j 2 \pi k l / N} + w, \qquad E|c_{s,q,l}|^2 = g_{s,l}\, t_q

with poles at whole lags l and a few functions of time. Of one stream and function the Gram matrix
is Toeplitz, :math:`r[l' - l]` with r the DFT of :math:`\sum_m \varphi_q^2 |x_s|^2 / \sigma^2`: an
FFT, not a product of matrices. Data make streams and functions nearly orthogonal, so that each is
solved for with the others at their last estimates, side by side (Jacobi's method for blocks). The
step there has the length that is best for all of them together: many streams on few resource
elements are not so orthogonal, and full steps would lead away from the joint solution.

Where symbols are unsure, :math:`|x|^2` is its second moment :math:`|\bar x|^2 + v`, as in
expectation maximisation: means that come from the very y carry its noise,
:math:`\mathrm E\, \bar x^* y = h\, \mathrm E |x|^2`, and :math:`|\bar x|^2` alone would make the
channel too large by :math:`1 / (1 - v)`, and all LLRs with it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .time_functions import time_functions

# Lags that are carried along, at most; those of most energy in the slot.
MOST_LAGS = 64
# Observations that a lag has to pay before it has a power: noise alone explains one.
_PRICE = 1.0


class Channel(NamedTuple):
    """An estimate, and what the next one starts from."""

    taps: Tensor  # [B, A, S, M, L] complex
    error: Tensor  # [B, M] error variance of the response on a subcarrier, over the streams
    coefficients: Tensor  # [B, S, Q, L, A] complex128
    powers: Tensor  # [B, S, L] float64
    speeds: Tensor  # [B, S, V] float64, weights of the Doppler shifts


class VirtualPilots:
    """Empirical Bayes on all resource elements of a slot.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        lags: of the taps, int ``[L]``, ascending by one, at most as many as subcarriers.
        fastest: largest Doppler shift, radians a symbol; 0 for channels that stand still.
    """

    def __init__(self, resource_grid: Any, lags: np.ndarray, fastest: float) -> None:
        size, num_symbols = int(resource_grid.fft_size), int(resource_grid.num_ofdm_symbols)
        occupied = np.asarray(resource_grid.effective_subcarrier_ind)
        self._size, self._lags = size, lags
        self._ramps = np.exp(-2j * np.pi * np.outer(lags, occupied - size // 2) / size)
        self._functions, self._speeds = time_functions(num_symbols, fastest)
        self._bins = np.full(size, len(occupied))
        self._bins[(occupied - size // 2) % size] = np.arange(len(occupied))
        self._kept = min(len(lags), MOST_LAGS)
        self._independent = len(occupied) / size

    def start(self, y: Tensor, x: Tensor, variance: Tensor, noise: Tensor) -> Channel:
        """What is known before the first estimate; arguments as of :meth:`refined`."""
        x, variance, noise, y = self._double(x, variance, noise, y)
        energy = self._matched(y, x, noise)
        power = _backend.power(x) + variance
        curvature = ops.sum(self._curvature(power, noise), axis=-1)[..., None]  # [B, S, Q, 1]
        powers = ops.mean(_backend.power(energy), axis=-1) / ops.square(curvature + 1e-300)
        powers = ops.sum(powers, axis=2)
        if self._kept < len(self._lags):
            least = ops.min(ops.top_k(powers, self._kept)[0], axis=-1, keepdims=True)
            powers = ops.where(powers >= least, powers, ops.zeros_like(powers))
        uniform = np.full(len(self._speeds), 1 / len(self._speeds))
        speeds = 0.0 * powers[..., :1] + _backend.constant(uniform, "float64")
        none = ops.zeros_like(energy)
        return Channel(none, ops.real(none), none, powers, speeds)

    def refined(
        self,
        channel: Channel,
        y: Tensor,
        x: Tensor,
        variance: Tensor,
        noise: Tensor,
        *,
        updates: int,
    ) -> Channel:
        """The estimate after some updates.

        Args:
            channel: where to start from.
            y: received symbols, complex ``[B, A, M, K]`` on the occupied subcarriers.
            x, variance: of the sent ones, complex and real ``[B, S, M, K]``.
            noise: variance of all else, real ``[B, M, K]``.
            updates: of coefficients and powers.
        """
        dtype = _backend.dtype(y)
        x, variance, noise, y = self._double(x, variance, noise, y)
        _, chosen = ops.top_k(channel.powers, self._kept)
        gram, curvature = self._gram(_backend.power(x) + variance, noise, chosen)
        unsure = ops.cast(variance, "complex128") / noise[:, None]

        def update(_: Any, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            coefficients, powers, speeds, _ = state
            response = self._response(coefficients)
            left = y - ops.sum(x[:, None] * response, axis=2)
            z = self._matched(left, x, noise, unsure[:, None] * response)
            last = self._chosen(coefficients, chosen)
            z = self._chosen(z, chosen) + gram @ last
            powers = _at(powers, chosen)
            speeds = self._with_speeds(z, curvature, powers)
            time = speeds @ _backend.constant(self._speeds, "float64")  # [B, S, Q]
            prior = time[..., None] * powers[:, :, None]
            mean, determined, error = _posterior(gram, z, prior)
            step = mean - last
            response = self._response(self._spread(step, chosen))
            curved = _curved(response, x, ops.real(unsure), ops.real(noise))
            mean = last + _length(step, gram, prior, curved) * step
            powers = self._with_powers(mean, determined, time)
            return self._spread(mean, chosen), self._spread_real(powers, chosen), speeds, error

        time = channel.speeds @ _backend.constant(self._speeds, "float64")
        state = (channel.coefficients, channel.powers, channel.speeds, time)
        coefficients, powers, speeds, error = ops.fori_loop(0, updates, update, state)
        squared = _backend.constant(self._functions**2, "float64")
        error = ops.sum(error @ squared, axis=1)
        taps = self._over_time(coefficients)
        return Channel(
            ops.cast(taps, dtype), ops.cast(error, _backend.REAL_OF[dtype]), coefficients, powers,
            speeds,
        )  # fmt: skip

    def _double(
        self, x: Tensor, variance: Tensor, noise: Tensor, y: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        noise = ops.cast(ops.cast(noise, "float64"), "complex128")
        variance = ops.cast(variance, "float64")
        return ops.cast(x, "complex128"), variance, noise, ops.cast(y, "complex128")

    def _over_time(self, coefficients: Tensor) -> Tensor:
        """Taps ``[B, A, S, M, L]`` of coefficients ``[B, S, Q, L, A]``."""
        functions = _backend.constant(self._functions.T, "complex128")
        return functions @ ops.transpose(coefficients, (0, 4, 1, 2, 3))

    def _response(self, coefficients: Tensor) -> Tensor:
        """The channel ``[B, A, S, M, K]``."""
        ramps = _backend.constant(self._ramps, "complex128")
        response = ops.transpose(coefficients, (0, 4, 1, 2, 3)) @ ramps
        return _backend.constant(self._functions.T, "complex128") @ response

    def _matched(
        self, left: Tensor, x: Tensor, noise: Tensor, less: Tensor | None = None
    ) -> Tensor:
        """Matched outputs ``[B, S, Q, L, A]`` of what is left, less some ``[B, A, S, M, K]``."""
        weighted = left[:, None] * (ops.conj(x) / noise[:, None])[:, :, None]  # [B, S, A, M, K]
        if less is not None:
            weighted = weighted - ops.swapaxes(less, 1, 2)
        weighted = _backend.constant(self._functions, "complex128") @ weighted
        ramps = _backend.constant(self._ramps.conj().T, "complex128")
        return ops.transpose(weighted @ ramps, (0, 1, 3, 4, 2))

    def _curvature(self, power: Tensor, noise: Tensor) -> Tensor:
        """Information on each subcarrier, float64 ``[B, S, Q, K]``."""
        weight = power / ops.real(noise)[:, None]
        return _backend.constant(self._functions**2, "float64") @ weight

    def _gram(self, power: Tensor, noise: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Gram matrices ``[B, S, Q, k, k]`` of chosen lags, and their diagonal ``[B, S, Q]``."""
        weight = self._curvature(power, noise)
        placed = ops.take(ops.pad(weight, [(0, 0)] * 3 + [(0, 1)]), self._bins, axis=-1)
        r = _backend.ifft(ops.cast(placed, "complex128")) * float(self._size)
        apart = (chosen[..., :, None] - chosen[..., None, :]) % self._size  # [B, S, k, k]
        flat = ops.reshape(apart, (-1, apart.shape[1], 1, self._kept**2))
        flat = flat + 0 * ops.cast(ops.real(r[..., :1]), flat.dtype)
        gram = ops.take_along_axis(r, flat, axis=-1)
        return ops.reshape(gram, (-1, *r.shape[1:3], self._kept, self._kept)), ops.sum(weight, -1)

    def _with_speeds(self, z: Tensor, curvature: Tensor, powers: Tensor) -> Tensor:
        """Weights ``[B, S, V]`` of the Doppler shifts by the likelihood of matched outputs."""
        if len(self._speeds) == 1:
            return ops.ones_like(powers[..., :1])
        table = _backend.constant(self._speeds.T, "float64")  # [Q, V]
        curvature = curvature[..., None, None]
        expected = ops.square(curvature) * powers[:, :, None, :, None] * table[:, None]
        expected = expected + curvature + 1e-300  # [B, S, Q, k, V]
        seen = ops.mean(_backend.power(z), axis=-1)[..., None]
        fit = ops.sum(ops.log(expected) + seen / expected, axis=(2, 3))
        return ops.softmax(-fit * (z.shape[-1] * self._independent), axis=-1)

    def _with_powers(self, mean: Tensor, known: Tensor, time: Tensor) -> Tensor:
        """Powers ``[B, S, k]`` by MacKay's rule."""
        energy = ops.sum(_backend.power(mean), axis=-1)  # [B, S, Q, k]
        gained = ops.sum(energy / (time[..., None] + 1e-300), axis=2)
        counted = ops.sum(known, axis=2) * mean.shape[-1]
        return gained / (counted + _PRICE)

    def _chosen(self, values: Tensor, chosen: Tensor) -> Tensor:
        """``[B, S, Q, L, A]`` at the chosen lags."""
        at = chosen[:, :, None, :, None]
        at = at + 0 * ops.cast(ops.real(values[..., :1, :]), at.dtype)
        return ops.take_along_axis(values, at, axis=3)

    def _spread(self, values: Tensor, chosen: Tensor) -> Tensor:
        """``[B, S, Q, k, A]`` at the chosen lags, zero at the others: ``[B, S, Q, L, A]``."""
        places = ops.one_hot(chosen, len(self._lags), dtype="float64")
        places = ops.cast(ops.swapaxes(places, -1, -2), "complex128")[:, :, None]
        return places @ values

    def _spread_real(self, values: Tensor, chosen: Tensor) -> Tensor:
        places = ops.one_hot(chosen, len(self._lags), dtype="float64")
        return ops.squeeze(values[..., None, :] @ places, -2)


def _posterior(gram: Tensor, z: Tensor, prior: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means ``[.., k, A]``, how far determined ``[.., k]``, and the trace of the covariance."""
    scale = ops.cast(ops.sqrt(prior), "complex128")
    identity = _backend.constant(np.eye(prior.shape[-1]), "complex128")
    loaded = scale[..., :, None] * gram * scale[..., None, :] + identity
    root = _backend.inverse_factor(loaded)
    left = ops.sum(_backend.power(root), axis=-2)
    root = root * scale[..., None, :]
    mean = _backend.adjoint_product(root, root @ z)
    return mean, 1.0 - left, ops.sum(prior * left, axis=-1)


def _curved(response: Tensor, x: Tensor, unsure: Tensor, noise: Tensor) -> Tensor:
    """Curvature ``[B]`` of the misfit along a step whose response is ``[B, A, S, M, K]``."""
    seen = ops.sum(x[:, None] * response, axis=2)
    misfit = ops.sum(_backend.power(seen) / noise[:, None], axis=(1, 2, 3))
    return misfit + ops.sum(unsure[:, None] * _backend.power(response), axis=(1, 2, 3, 4))


def _length(step: Tensor, gram: Tensor, prior: Tensor, curved: Tensor) -> Tensor:
    """The best share ``[B, 1, 1, 1, 1]`` of a step ``[B, S, Q, k, A]`` by Jacobi's method."""
    axes = (1, 2, 3, 4)
    own = ops.sum(_backend.power(step) / (prior[..., None] + 1e-300), axis=axes)
    alone = ops.sum(ops.real(ops.conj(step) * (gram @ step)), axis=axes)
    length = (alone + own + 1e-300) / (curved + own + 1e-300)
    return ops.cast(length, "complex128")[:, None, None, None, None]


def _at(values: Tensor, chosen: Tensor) -> Tensor:
    return ops.take_along_axis(values, chosen, axis=-1)
