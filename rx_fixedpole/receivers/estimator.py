"""The fixed-pole channel estimator: delays as poles on the unit circle, their powers from the slot."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from . import arguments
from .pole_model import pole_model
from .delay_profile import DelayProfile
from .doppler import doppler_table
from .drift import Drift
from .evidence import Evidence, Posterior, Prior
from .layout import noise_variance
from .lags import delays
from .pilots import pilot_groups

# Poles that are carried along, by how many a slot of the batch needs.
_SIZES = (24, 48, 96, 192)
_UPDATES, _BEAM_UPDATES = 4, 3
# Antennas from which a prior along the array is worth its cost by default.
_MANY_ANTENNAS = 8
# Subcarriers on which the error variance is worked out; it is smooth between them.
_ERROR_POINTS = 32


class FixedPoleChannelEstimator(Block):
    def __init__(
        self,
        resource_grid: ResourceGrid,
        *,
        l_min: int | None = None,
        l_max: int | None = None,
        spacing: float = 0.5,
        time_correlation: bool = True,
        doppler_shift: bool = True,
        array_prior: bool | None = None,
        estimate_noise: bool = False,
        precision: str | None = None,
    ) -> None:
        super().__init__(precision=precision)
        arguments.sionna_grid(resource_grid)
        self._dtype = "complex128" if str(self.precision) == "double" else "complex64"
        self._grid = resource_grid
        poles = delays(resource_grid, l_min, l_max, spacing)
        moving = arguments.flag(time_correlation, "time_correlation")
        shifting = arguments.flag(doppler_shift, "doppler_shift")
        self._array_prior = array_prior
        if array_prior is not None:
            arguments.flag(array_prior, "array_prior")
        self._estimate_noise = arguments.flag(estimate_noise, "estimate_noise")
        groups = pilot_groups(resource_grid)
        self._fft_size = int(resource_grid.fft_size)
        symbols = np.unique(np.concatenate([group.elements for group in groups]) // self._fft_size)
        self._num_symbols = int(resource_grid.num_ofdm_symbols)
        self._table = doppler_table(symbols, self._num_symbols, moving)
        self._model = pole_model(resource_grid, poles, symbols, self._table.functions)
        self._num_tx = int(resource_grid.num_tx)
        self._streams_per_tx = int(resource_grid.num_streams_per_tx)
        self._profile = DelayProfile(self._model, self._num_tx)
        self._evidence = Evidence(self._model, self._table, self._num_tx)
        self._drift = Drift(self._model, self._table, symbols, self._num_symbols, shifting)
        self._constants()

    def _constants(self) -> None:
        model = self._model
        num_streams = self._num_tx * self._streams_per_tx
        num_functions = self._table.powers.shape[1]
        subcarriers = np.asarray(self._grid.effective_subcarrier_ind)
        self._ramps = model.delays.response(subcarriers).T
        # Where the parts of each stream and function are, and a place for what no pilot hears
        missing = model.real.size
        self._order = np.full((num_streams, num_functions), missing)
        flat = np.arange(missing).reshape(model.real.shape)
        self._order[model.stream[model.real], model.function[model.real]] = flat[model.real]
        self._user = np.arange(num_streams) // self._streams_per_tx
        points = np.unique(
            np.linspace(0, len(subcarriers) - 1, _ERROR_POINTS).round().astype(int)
        )
        self._error_points = points
        hats = [np.interp(np.arange(len(subcarriers)), points, row) for row in np.eye(len(points))]
        self._hats = np.array(hats)

    def call(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the channel of every slot from its pilots."""
        shape = tuple(y.shape)
        y = self._checked(y)
        no = ops.cast(noise_variance(no, shape[:3], _backend.REAL_OF[self._dtype]), "float64")
        rows = ops.reshape(y, (-1, shape[2], self._num_symbols * self._fft_size))
        pilots = ops.swapaxes(ops.take(rows, self._model.elements, axis=-1), 1, 2)
        z = self._matched(pilots)
        no = ops.zeros_like(ops.real(z[:, 0, 0, 0, 0]), dtype="float64") + no
        profile, found = self._profile(z, no)
        z, turn = self._drift.removed(z, found, no)
        sizes = [size for size in _SIZES if size < z.shape[-1]] + [int(z.shape[-1])]
        wanted = ops.max(ops.sum(ops.cast(found, "int32"), axis=-1))
        place = sum(ops.cast(wanted > size, "int32") for size in sizes[:-1])
        branches = [
            lambda *x, size=size: self._estimate(*x, size=size) for size in sizes
        ]
        energy = ops.sum(ops.cast(_backend.power(pilots), "float64"), axis=(1, 2, 3))
        h_hat, err_var = ops.switch(place, branches, z, turn, profile, found, no, energy)
        users = (self._num_tx, self._streams_per_tx, self._num_symbols, -1)
        size = int(self._grid.num_effective_subcarriers)
        h_hat = ops.reshape(h_hat, (-1, *shape[1:3], *users[:3], size))
        return h_hat, ops.reshape(err_var, (-1, shape[1], 1, *users[:3], size))

    def _matched(self, pilots: Tensor) -> Tensor:
        model = self._model
        blocks, length, size, num_lags = model.matched.shape
        flat = model.matched.reshape(blocks, length, size * num_lags)
        z = pilots @ _backend.constant(flat, self._dtype)
        z = ops.reshape(z, (-1, blocks, z.shape[2], size, num_lags))
        return ops.transpose(z, (0, 2, 1, 3, 4))

    def _estimate(
        self,
        z: Tensor,
        turn: Tensor,
        profile: Tensor,
        found: Tensor,
        no: Tensor,
        energy: Tensor,
        *,
        size: int,
    ) -> tuple[Tensor, Tensor]:
        evidence = self._evidence
        powers, chosen = ops.top_k(ops.where(found, profile, ops.zeros_like(profile)), size)
        at = ops.take(chosen, self._model.user, axis=1)[:, None]
        at = at + ops.zeros_like(ops.cast(ops.real(z[..., :1]), at.dtype))
        z = ops.cast(ops.take_along_axis(z, at, axis=-1), "complex128")
        num_ant = z.shape[1]
        shared = ops.transpose(z, (0, 2, 3, 4, 1))[:, None]
        speeds = ops.ones_like(powers[..., :1]) * _backend.constant(
            np.full(len(self._table.powers), 1 / len(self._table.powers)), "float64"
        )
        prior = Prior(chosen, powers, speeds, ops.ones_like(powers[..., :1]))
        gram = evidence.gram(chosen)
        for _ in range(_UPDATES):
            prior = evidence.with_speeds(shared, gram, prior, no)
            posterior = evidence.posterior(shared, gram, prior, no)
            prior = evidence.with_delays(prior, posterior)
        array_prior = self._array_prior
        if array_prior is None:
            array_prior = num_ant >= _MANY_ANTENNAS
        if not array_prior:
            posterior = evidence.posterior(shared, gram, prior, no)
            mean = ops.transpose(posterior.mean[:, 0], (0, 4, 1, 2, 3))
        else:
            dft = np.fft.fft(np.eye(num_ant)) / np.sqrt(num_ant)
            beams = ops.reshape(z, (-1, num_ant, int(np.prod(z.shape[2:]))))
            beams = _backend.constant(dft, "complex128") @ beams
            beams = ops.reshape(beams, (-1, *z.shape[1:], 1))
            prior = prior._replace(
                beams=prior.beams * _backend.constant(np.ones(num_ant), "float64")
            )
            for _ in range(_BEAM_UPDATES):
                posterior = evidence.posterior(beams, gram, prior, no)
                prior = evidence.with_beams(prior, posterior)
            posterior = evidence.posterior(beams, gram, prior, no)
            mean = ops.reshape(posterior.mean, (-1, num_ant, int(np.prod(z.shape[2:]))))
            mean = _backend.constant(dft.conj().T, "complex128") @ mean
            mean = ops.reshape(mean, (-1, *z.shape[1:]))
        return self._synthesis(mean, posterior, prior, turn)

    def _synthesis(
        self, mean: Tensor, posterior: Posterior, prior: Prior, turn: Tensor
    ) -> tuple[Tensor, Tensor]:
        model = self._model
        num_ant, size = mean.shape[1], mean.shape[-1]
        num_streams, num_functions = self._order.shape
        place = ops.take(prior.chosen, model.user[:, 0], axis=1)
        place = ops.cast(place, "int32") + np.arange(len(model.shift), dtype=np.int32)[:, None] * model.num_lags
        shift = ops.take(_backend.constant(model.shift.reshape(-1), "complex128"), place)  # wrong if block has several users
        mean = ops.cast(mean * shift[:, None, :, None], self._dtype)
        mean = ops.reshape(mean, (-1, num_ant, model.real.size, size))
        mean = ops.pad(mean, [(0, 0), (0, 0), (0, 1), (0, 0)])
        mean = ops.take(mean, self._order, axis=2)  # [B, A, S, Q, k]
        mean = ops.reshape(
            ops.transpose(mean, (0, 2, 3, 1, 4)), (-1, num_streams, num_functions * num_ant, size)
        )
        ramps = ops.take(_backend.constant(self._ramps, self._dtype), prior.chosen, axis=0)
        response = mean @ ops.take(ramps, self._user, axis=1)
        num_sub = self._ramps.shape[1]
        response = ops.reshape(response, (-1, num_streams, num_functions, num_ant * num_sub))
        weights = prior.speeds @ _backend.constant(
            self._table.interpolation.reshape(len(self._table.powers), -1), "float64"
        )
        weights = ops.reshape(weights, (-1, self._num_tx, self._num_symbols, num_functions))
        weights = ops.take(weights, self._user, axis=1)
        moved = ops.cast(weights, "complex128") * ops.take(turn, self._user, axis=1)[..., None]
        h_hat = ops.cast(moved, self._dtype) @ response
        h_hat = ops.reshape(h_hat, (-1, num_streams, self._num_symbols, num_ant, num_sub))
        h_hat = ops.transpose(h_hat, (0, 3, 1, 2, 4))
        return h_hat, self._error(posterior, prior, weights)

    def _error(self, posterior: Posterior, prior: Prior, weights: Tensor) -> Tensor:
        model = self._model
        kinds, parts = model.real[model.example].shape
        size = prior.chosen.shape[-1]
        ramps = _backend.constant(self._ramps[:, self._error_points].conj(), self._dtype)
        ramps = ops.take(ramps, prior.chosen, axis=0)
        ramps = ops.take(ramps, model.user[model.example].reshape(-1), axis=1)
        ramps = ops.reshape(ramps, (-1, 1, kinds, parts, size, len(self._error_points)))
        place = ops.take(prior.chosen, model.user[model.example], axis=1)
        place = ops.cast(place, "int32") + (model.example[:, None, None] * model.num_lags).astype(np.int32)
        shift = ops.take(_backend.constant(model.shift.reshape(-1).conj(), self._dtype), place)
        root = ops.cast(posterior.root, self._dtype)
        root = ops.reshape(root, (-1, *root.shape[1:4], parts, size))
        root = ops.transpose(root, (0, 1, 2, 4, 3, 5)) * shift[:, None, :, :, None, :]
        error = ops.sum(_backend.power(root @ ramps), axis=-2)
        error = ops.mean(error, axis=1)
        error = ops.reshape(error, (-1, kinds * parts, len(self._error_points)))
        flat = np.append((model.kind[:, None] * parts + np.arange(parts)).reshape(-1), 0)
        heard = (self._order < model.real.size)[..., None]
        error = ops.take(error, flat[self._order], axis=1) * _backend.constant(heard, _backend.REAL_OF[self._dtype])
        # In double precision: TensorFlow's single-precision product (oneDNN) overruns its memory
        # where a stack of matrices meets one matrix.
        error = weights**2 @ ops.cast(error, "float64")
        error = error @ _backend.constant(self._hats, "float64")
        unknown = prior.speeds @ _backend.constant(self._table.unknown, "float64")
        unknown = unknown * ops.sum(prior.delays, axis=-1, keepdims=True)
        error = error + ops.take(unknown, self._user, axis=1)[..., None]
        return ops.cast(error, _backend.REAL_OF[self._dtype])

    def _checked(self, y: Tensor) -> Tensor:
        y = _backend.require_complex(y, "y", "B", "R", "A", self._num_symbols, self._fft_size)
        return ops.cast(y, self._dtype)
