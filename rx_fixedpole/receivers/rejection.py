"""From pilots, channel estimate and received grid to symbols that interference spares."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from .delay_model import DelayModel, delay_window, known_elements
from .interference import SpatialCovariance
from .pilots import grid_elements
from .small_matrices import forward, identity_like, inverse, linear_mmse, product


class Interference(NamedTuple):
    """What the pilots of a slot reveal, in units of the thermal noise."""

    covariance: Tensor  # [A, A, B R, K]
    level: Tensor  # [B R], its mean power
    residuals: Tensor  # [B R, A, P], what it was formed of
    slack: Tensor  # [B R, P], how far that is free of the fit


class InterferenceRejection:
    """LMMSE detection of all streams with the covariance that the pilots tell.

    Args:
        resource_grid: Sionna's ``ResourceGrid``.
        l_min, l_max: first and last delay of the fit in samples, None for the default.
    """

    def __init__(self, resource_grid: Any, l_min: int | None, l_max: int | None) -> None:
        elements, self._sent = known_elements(resource_grid)
        lags = delay_window(resource_grid, self._sent, elements, l_min, l_max)
        self._model = DelayModel(elements, self._sent, lags, int(resource_grid.fft_size))
        self._occupied = np.asarray(resource_grid.effective_subcarrier_ind)
        self._places = np.searchsorted(grid_elements(resource_grid), elements)
        self._covariance = SpatialCovariance(self._places, len(self._occupied))
        heard = np.any(self._sent != 0, axis=1)
        self._heard = heard / max(1, np.count_nonzero(heard))

    def __call__(
        self, y: Tensor, h_hat: Tensor, err_var: Tensor, no: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Unbiased symbols and their error variance.

        Args:
            y: complex ``[B, R, A, M, fft_size]``.
            h_hat: complex ``[B, R, A, num_tx, S, M, K]``, K occupied subcarriers.
            err_var: real, of the same rank, broadcasts to it.
            no: thermal noise, broadcasts to ``[B, R, A]``.

        Returns:
            ``[B R, num_tx S, M, K]``, complex and real.
        """
        y, h, err_var = self.scaled(y, h_hat, err_var, no)
        return self.detect(y, h, err_var, self.revealed(*self.residuals(y)))

    def scaled(
        self, y: Tensor, h_hat: Tensor, err_var: Tensor, no: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Samples ``[B R, A, M, K]``, channel ``[B R, A, streams, M, K]``, error variance.

        The last is that of the channel, mean over the antennas, ``[B R, streams, M, K]``; all in
        units of the thermal noise, arguments as above.
        """
        dtype = _backend.dtype(y)
        num_ant, num_symbols = int(y.shape[2]), int(y.shape[3])
        num_streams = int(h_hat.shape[3]) * int(h_hat.shape[4])
        num_subcarriers = len(self._occupied)
        scale = ops.rsqrt(_backend.at_least(no, 1e-30))
        err_var = ops.square(scale)[..., None, None, None, None] * err_var
        err_var = ops.mean(err_var + ops.zeros_like(ops.real(h_hat)), axis=2)
        err_var = ops.reshape(err_var, (-1, num_streams, num_symbols, num_subcarriers))
        scale = ops.cast(scale, dtype)[..., None, None]
        y = ops.take(y, self._occupied, axis=-1) * scale
        y = ops.reshape(y, (-1, num_ant, num_symbols, num_subcarriers))
        h = h_hat * scale[..., None, None]
        h = ops.reshape(h, (-1, num_ant, num_streams, num_symbols, num_subcarriers))
        return y, h, err_var

    def residuals(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """What the fit leaves of the pilots in samples ``[B R, A, M, K]``, and its slack there."""
        return self._model.residuals(self.on_pilots(y))

    def revealed(self, residuals: Tensor, slack: Tensor) -> Interference:
        """What pilots with these residuals show beside their streams."""
        num_ant = int(residuals.shape[1])
        covariance = self._covariance(residuals, slack)
        level = sum(ops.mean(ops.real(covariance[a, a]), axis=-1) for a in range(num_ant)) / num_ant
        return Interference(covariance, level, residuals, slack)

    def detect(
        self,
        y: Tensor,
        h: Tensor,
        err_var: Tensor,
        interference: Interference,
        held_out: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As a call, of what :meth:`scaled` and :meth:`revealed` give; arguments as below."""
        x_hat, no_eff = linear_mmse(*self.whitened(y, h, err_var, interference, held_out))
        return ops.transpose(x_hat, (1, 0, 2, 3)), ops.transpose(no_eff, (1, 0, 2, 3))

    def whitened(
        self,
        y: Tensor,
        h: Tensor,
        err_var: Tensor,
        interference: Interference,
        held_out: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Channel ``[A, streams, B R, M, K]`` and samples ``[A, B R, M, K]`` in white noise.

        Args:
            y, h, err_var, interference: see :meth:`scaled` and :meth:`revealed`.
            held_out: channel and error variance to detect with instead; what the pilots say of
                the estimate is that of ``h`` and ``err_var`` all the same.
        """
        dtype, (covariance, level, _, _) = _backend.dtype(y), interference
        used = (h, err_var) if held_out is None else held_out
        error = self._estimation_error(self.on_pilots(y), h, err_var, used[1], level)
        h = used[0]
        # From here on antennas and streams lead
        h = self._freed(ops.transpose(h, (1, 2, 0, 3, 4)), covariance, error, level)
        both = ops.concatenate([h, ops.transpose(y, (1, 0, 2, 3))[:, None]], axis=1)
        white = forward(covariance[..., None, :], both)
        white = white * ops.cast(ops.rsqrt(1.0 + error), dtype)
        return white[:, :-1], white[:, -1]

    def optimism(self, interference: Interference) -> Tensor:
        r"""Factor on a pilot's error that its own part in the covariance hides, real ``[B R, P]``.

        Without the residual e, of weight w, an inverse acts on it as
        :math:`C_{-p}^{-1} e = C^{-1} e / (1 - w q)`, :math:`q = e_K^H C^{-1} e`, where
        :math:`e_K = (1 - C^{-1}) e` is the part that is taken for interference.
        """
        covariance, _, residuals, slack = interference
        share = self._covariance.shares(slack, int(residuals.shape[1]))
        columns = self._places % len(self._occupied)
        e = ops.transpose(residuals, (1, 0, 2))
        white = product(ops.take(inverse(covariance), columns, axis=-1), e[:, None])[:, 0]
        q = ops.sum(ops.real(ops.conj(e) * white) - _backend.power(white), axis=0)
        return 1.0 / _backend.at_least(1.0 - ops.take(share, columns, axis=-1) * q, 0.5)

    def _estimation_error(
        self, pilots: Tensor, h: Tensor, err_var: Tensor, used: Tensor, level: Tensor
    ) -> Tensor:
        """Power of estimation errors over that of noise and interference, real ``[B R, M, K]``.

        Args:
            pilots: received pilots ``[B R, A, P]``.
            h: channel estimate ``[B R, A, streams, M, K]``.
            err_var: its stated error variance, mean over the antennas, ``[B R, streams, M, K]``.
            used: that of the estimate to detect with.
            level: power of noise and interference, ``[B R]``; all in units of the thermal noise.
        """
        sent = _backend.constant(self._sent.T, _backend.dtype(h))
        heard = _backend.constant(self._heard, _backend.dtype(err_var))
        misfit = _backend.power(pilots - ops.sum(self.on_pilots(h) * sent, axis=2))
        misfit = ops.sum(ops.mean(misfit, axis=1) * heard, axis=-1)
        stated = ops.sum(self.on_pilots(err_var) * _backend.power(sent), axis=1)
        stated = _backend.at_least(ops.sum(stated * heard, axis=-1), 1e-12)
        # An estimate that follows the pilots leaves less of the noise than there is
        factor = _backend.at_least((level - misfit) / stated, 1.0)
        factor = -_backend.at_least(-factor, -level)
        return (factor / level)[:, None, None] * ops.sum(used, axis=1)

    def _freed(self, h: Tensor, covariance: Tensor, error: Tensor, level: Tensor) -> Tensor:
        """LMMSE estimate in space: what of the channel estimate interference may have made.

        With g the power of the channel and q R the covariance of the estimate's error it is
        ``g (g I + q R)^-1 h``; times ``1 + q / g``, which leaves an estimate without interference
        as it came.
        """
        dtype = _backend.dtype(h)
        num_streams = h.shape[1]
        q = ops.mean(error, axis=1) / num_streams
        power = ops.mean(_backend.power(h), axis=(0, 1, 3, 4))
        floor = 0.05 * power
        power = _backend.at_least(power - ops.mean(q, axis=-1) * level, floor)[:, None]
        ratio = q / power
        unit = identity_like(covariance)
        free = inverse(unit + covariance * ops.cast(ratio, dtype)) * ops.cast(1.0 + ratio, dtype)
        return product(free[..., None, :], h)

    def on_pilots(self, values: Tensor) -> Tensor:
        """Values ``[..., M, K]`` on the pilots, ``[..., P]``."""
        size = int(values.shape[-2]) * int(values.shape[-1])
        flat = ops.reshape(values, (-1, *values.shape[1:-2], size))
        return ops.take(flat, self._places, axis=-1)
