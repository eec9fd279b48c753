"""The fixed-pole channel estimator: poles at delays, whose powers the slot itself tells."""

from __future__ import annotations

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from . import arguments
from .delay_profile import DelayProfile
from .doppler import doppler_table
from .drift import Drift
from .evidence import Evidence, Posterior, Prior
from .lags import delays
from .layout import noise_variance
from .pilots import pilot_groups
from .pole_model import pole_model
from .synthesis import Synthesis

# Poles that are carried along, by how many a slot of the batch needs.
_SIZES = (24, 48, 96, 192)
_UPDATES, _BEAM_UPDATES = 4, 3
# Noise relative to the pilots' mean power below which the factorisations lose their digits.
_LEAST_NOISE = 1e-10


class FixedPoleChannelEstimator(Block):
    r"""Estimates the channel on the whole grid from the slot's pilots, without statistics.

    .. math:: h_{a,s}(m, k) = \sum_p c_{a,s,p}(m)\, e^{-j 2 \pi k l_p / N}, \qquad
              E|c_{a,s,p}|^2 = g_{u(s),p}

    with poles at delays :math:`l_p` half a sample apart. The powers g of the delays are those of
    each user and slot, by empirical Bayes: a first look finds the delays that carry energy, and a
    few updates by MacKay's rule settle their powers; the maximum Doppler shift and a common turn
    from symbol to symbol follow from the same pilots, and with many antennas the powers of the
    beams. The estimate is the posterior mean, its error variance the posterior variance.

    It stands wherever Sionna's ``LSChannelEstimator`` does, in ``PUSCHReceiver`` too.

    Args:
        resource_grid: Sionna's ``ResourceGrid`` with pilots: any guards, DC null and pattern;
            combs, covers (CDM), several users, pilots that are not orthogonal.
        l_min, l_max: first and last tap, in samples, of a channel that is simulated in time, as
            for Sionna's ``time_channel``; both or none. None: delays as they are, over the whole
            window that the pilots tell apart. With taps the response is continuous over the edges
            of the band, which matters where there are no guards.
        spacing: distance of the poles in samples, > 0.
        time_correlation: whether channels may move within the slot; False for standing ones.
        doppler_shift: whether to remove the turn from symbol to symbol that all delays of a user
            share. It needs streams with orthogonal pilots.
        array_prior: whether beams (a DFT along the receive antennas, in their order) have powers
            too: up to 0.6 dB less error with 16 antennas, for four times the time and, as all
            beams are solved side by side, as many times the memory as there are antennas.
        estimate_noise: whether to take the noise variance from what the poles leave of the pilots,
            as is right where interference or a short prefix adds to thermal noise; ``no`` then is
            where the search begins.
        precision: ``"single"``, ``"double"`` or None for Sionna's default.

    Input:
        y: ``[B, R, A, M, fft_size]`` complex, the grid of Sionna's ``OFDMDemodulator``.
        no: noise variance ``E|w|^2``, scalar or the first axes of ``[B, R, A]``.

    Output:
        h_hat: ``[B, R, A, num_tx, S, M, num_effective_subcarriers]`` complex.
        err_var: ``[B, R, 1, num_tx, S, M, num_effective_subcarriers]`` real.

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or range.

    Notes:
        Cost follows the channel: a Cholesky factorisation of as many rows as delays carry energy,
        for every user and function of time, seven times a slot. Source: MacKay, Neural
        Computation 4 (1992), 415, for the updates; the poles are those of arXiv:2602.21454 along
        subcarriers.

    Example:
        >>> import tensorflow as tf
        >>> from sionna.phy.ofdm import ResourceGrid
        >>> grid = ResourceGrid(4, 64, 30e3, cyclic_prefix_length=8, pilot_pattern="kronecker",
        ...                     pilot_ofdm_symbol_indices=[1])
        >>> estimator = FixedPoleChannelEstimator(grid)
        >>> h_hat, err_var = estimator(tf.zeros([2, 1, 2, 4, 64], tf.complex64), 0.1)
        >>> h_hat.shape.as_list(), err_var.shape.as_list()
        ([2, 1, 2, 1, 1, 4, 64], [2, 1, 1, 1, 1, 4, 64])
    """

    def __init__(
        self,
        resource_grid: ResourceGrid,
        *,
        l_min: int | None = None,
        l_max: int | None = None,
        spacing: float = 0.5,
        time_correlation: bool = True,
        doppler_shift: bool = True,
        array_prior: bool = False,
        estimate_noise: bool = False,
        precision: str | None = None,
    ) -> None:
        super().__init__(precision=precision)
        arguments.sionna_grid(resource_grid)
        self._dtype = "complex128" if str(self.precision) == "double" else "complex64"
        poles = delays(resource_grid, l_min, l_max, spacing)
        moving = arguments.flag(time_correlation, "time_correlation")
        shifting = arguments.flag(doppler_shift, "doppler_shift")
        self._array_prior = arguments.flag(array_prior, "array_prior")
        self._estimate_noise = arguments.flag(estimate_noise, "estimate_noise")
        self._fft_size = int(resource_grid.fft_size)
        self._num_symbols = int(resource_grid.num_ofdm_symbols)
        pilots = np.concatenate([group.elements for group in pilot_groups(resource_grid)])
        self._pilots = np.unique(pilots)
        symbols = np.unique(pilots // self._fft_size)
        table = doppler_table(symbols, self._num_symbols, moving)
        self._speeds = np.full(len(table.powers), 1 / len(table.powers))
        self._model = pole_model(resource_grid, poles, symbols, table.functions)
        num_tx = int(resource_grid.num_tx)
        self._profile = DelayProfile(self._model, num_tx)
        self._evidence = Evidence(self._model, table, num_tx)
        self._drift = Drift(self._model, table, symbols, self._num_symbols, shifting)
        self._synthesis = Synthesis(self._model, table, resource_grid, self._dtype)

    def call(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Estimate the channel of every slot from its pilots."""
        y = _backend.require_complex(y, "y", "B", "R", "A", self._num_symbols, self._fft_size)
        shape = tuple(y.shape)
        no = ops.cast(noise_variance(no, shape[:3], _backend.REAL_OF[self._dtype]), "float64")
        y = ops.cast(y, self._dtype)
        rows = ops.reshape(y, (-1, shape[2], self._num_symbols * self._fft_size))
        pilots = ops.cast(ops.take(rows, self._pilots, axis=-1), "complex128")
        energy = ops.sum(_backend.power(pilots), axis=(1, 2))
        # Noise-free slots have a solution too, and a silent one has nothing but zeros.
        least = _LEAST_NOISE * energy / (shape[2] * len(self._pilots)) + 1e-30
        no = _backend.at_least(no + ops.zeros_like(energy), least)
        z = self._matched(rows)
        profile, found = self._profile(z, no)
        z, turn = self._drift.removed(z, found, no)
        # A slot's own delays decide; how many others of the batch need only pads with silent ones.
        sizes = [size for size in _SIZES if size < z.shape[-1]] + [int(z.shape[-1])]
        wanted = ops.max(ops.sum(ops.cast(found, "int32"), axis=-1))
        place = sum((ops.cast(wanted > size, "int32") for size in sizes[:-1]), 0 * wanted)
        branches = [lambda *x, size=size: self._estimate(*x, size=size) for size in sizes]
        h_hat, err_var = ops.switch(place, branches, z, turn, profile, found, no, energy)
        h_hat = ops.reshape(h_hat, (-1, *shape[1:3], *self._synthesis.shape))
        return h_hat, ops.reshape(err_var, (-1, shape[1], 1, *self._synthesis.shape))

    def _matched(self, rows: Tensor) -> Tensor:
        """Matched outputs of every part and delay, complex128 ``[B, A, J, I, K]``.

        Rounded to single precision they would not be those of any pilots: poles half a sample
        apart are so close to dependent that posterior means then grow without bound.
        """
        blocks, length, size, num_lags = self._model.matched.shape
        flat = self._model.matched.reshape(blocks, length, size * num_lags)
        pilots = ops.swapaxes(ops.take(rows, self._model.elements, axis=-1), 1, 2)
        z = ops.cast(pilots, "complex128") @ _backend.constant(flat, "complex128")
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
        """Channel and error variance from at most ``size`` delays of every user."""
        powers, chosen = ops.top_k(ops.where(found, profile, ops.zeros_like(profile)), size)
        at = ops.take(chosen, self._model.user, axis=1)[:, None]
        at = at + ops.zeros_like(ops.cast(ops.real(z[..., :1]), at.dtype))
        z = ops.take_along_axis(z, at, axis=-1)
        ones = ops.ones_like(powers[..., :1])
        prior = Prior(chosen, powers, ones * _backend.constant(self._speeds, "float64"), ones)
        gram = self._evidence.gram(chosen)
        shared = ops.transpose(z, (0, 2, 3, 4, 1))[:, None]
        prior, no = self._learned(shared, gram, prior, no, energy)
        if self._array_prior:
            mean, posterior, prior = self._along_array(z, gram, prior, no)
        else:
            posterior = self._evidence.posterior(shared, gram, prior, no)
            mean = ops.transpose(posterior.mean[:, 0], (0, 4, 1, 2, 3))
        return self._synthesis(mean, posterior, prior, turn)

    def _learned(
        self, z: Tensor, gram: Tensor, prior: Prior, no: Tensor, energy: Tensor
    ) -> tuple[Prior, Tensor]:
        """The prior, and the noise variance, by empirical Bayes."""
        count = z.shape[-1] * len(self._pilots)
        if self._estimate_noise:
            # From above: too small a variance has its noise explained, and so confirms itself.
            no = _backend.at_least(no, energy / count)

        # A loop, as graphs grow with every update: one of them is built for every size.
        def update(_: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            delays, speeds, no = state
            known = prior._replace(delays=delays, speeds=speeds)
            known = self._evidence.with_speeds(z, gram, known, no)
            posterior = self._evidence.posterior(z, gram, known, no)
            known = self._evidence.with_delays(known, posterior)
            if self._estimate_noise:
                modelled, number = self._evidence.explained(z, gram, posterior)
                left = _backend.at_least(energy - modelled, 1e-12 * energy)
                no = left / _backend.at_least(count - number, 1.0) + 1e-30
            return known.delays, known.speeds, no

        state = (prior.delays, prior.speeds, no)
        delays, speeds, no = ops.fori_loop(0, _UPDATES, update, state)
        return prior._replace(delays=delays, speeds=speeds), no

    def _along_array(
        self, z: Tensor, gram: Tensor, prior: Prior, no: Tensor
    ) -> tuple[Tensor, Posterior, Prior]:
        """Posterior with a prior for every beam; the mean is that of the antennas again."""
        num_ant, rest = int(z.shape[1]), int(np.prod(z.shape[2:]))
        dft = np.fft.fft(np.eye(num_ant)) / np.sqrt(num_ant)
        beams = _backend.constant(dft, "complex128") @ ops.reshape(z, (-1, num_ant, rest))
        beams = ops.reshape(beams, (-1, *z.shape[1:], 1))
        ones = _backend.constant(np.ones(num_ant), "float64")
        prior = prior._replace(beams=prior.beams * ones)
        for _ in range(_BEAM_UPDATES):
            posterior = self._evidence.posterior(beams, gram, prior, no)
            prior = self._evidence.with_beams(prior, posterior)
        posterior = self._evidence.posterior(beams, gram, prior, no)
        mean = ops.reshape(posterior.mean, (-1, num_ant, rest))
        mean = _backend.constant(dft.conj().T, "complex128") @ mean
        return ops.reshape(mean, (-1, *z.shape[1:])), posterior, prior
