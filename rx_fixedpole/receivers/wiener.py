"""The Wiener equalizer: a time-domain linear MMSE filter from the channel that was identified."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from . import arguments
from .demodulation import demodulate, window_start
from .estimator import FixedPoleChannelEstimator
from .layout import StreamLayout, noise_variance
from .moving_filters import MovingFilters
from .pilots import pilot_groups
from .reliability import LARGEST_ERROR, SMALLEST_ERROR, Reliability
from .residual import PilotResidual

# (y [B, R, A, M, fft_size], no [B, R, A]) -> h_hat [B, R, A, num_tx, S, M, K], err_var
Estimator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# Filter length: an inverse is longer than the channel, and the prefix does not tell its length.
LONGEST_WINDOW = 64
# Taps are looked for from here on at least: a fractional delay has forerunners.
FIRST_LAG = -8
# Filters a slot where the pilots can show that the channel moves.
NUM_FILTERS = 5
# What the pilots add to the expected error, relative to it, is at least this. They tell it within
# about a sixth: a bound of zero turns that scatter into an error stated too large, and without a
# bound a slot whose pilots happen to fit well states too small a one.
LEAST_EXCESS = -0.1


class WienerEqualizer(Block):
    r"""Equalizes OFDM slots by the linear MMSE filter of the channel that an estimator identifies.

    .. math:: \hat x_s[n] = \sum_{a} \sum_{w=0}^{W-1} w^*_{s,a,w}\, y_a[n + d - w], \qquad
              w = (H R_x H^H + (N_0 + \mathrm{err}) I)^{-1} H R_x e_d

    with all antennas and streams stacked, H the convolution with the taps behind the estimate and
    R_x the correlation of the transmitted waveform, see :mod:`rx_fixedpole.receivers.mmse`. The
    DFT of the output over each OFDM symbol, divided by its own gain on every subcarrier, estimates
    the resource elements. The cyclic prefix may be shorter than the channel, or missing.

    Args:
        resource_grid: Sionna's ``ResourceGrid`` with pilots, any guards and DC null.
        stream_management: Sionna's ``StreamManagement``, which tells which receiver detects
            which streams.
        estimator: called as Sionna's ``LSChannelEstimator``: ``(y [B, R, A, M, fft_size],
            no [B, R, A]) -> h_hat [B, R, A, num_tx, S, M, K], err_var`` of that shape or one that
            broadcasts to it, on the K occupied subcarriers. It is asked twice a slot: with the
            thermal noise, then with all the noise that its first answer leaves on the pilots.
            None: :class:`FixedPoleChannelEstimator` with its defaults.
        window: filter length W >= 1 an antenna, in samples. None: 64, or half of the subcarriers
            if that is less.
        delay: decision delay d in samples, the reach into the future of the output. None: half of
            ``window``.
        l_min: time of the first received sample relative to the first transmitted one, <= 0, as
            for Sionna's ``OFDMDemodulator``.
        num_filters: filters a slot, each for the channel at its time, evenly spaced and
            interpolated between; one filter takes the mean channel. None: 5 if there are pilots
            on two OFDM symbols, which can show that the channel moves, else 1.
        precision: ``"single"``, ``"double"`` or None for Sionna's default.

    Input:
        y: ``[B, R, A, T]`` complex samples with ``T >= num_time_samples``.
        no: noise variance ``E|w|^2``, scalar or the first axes of ``[B, R, A]``.

    Output:
        x_hat: ``[B, num_tx, S, D]`` complex, unbiased estimates of the data symbols.
        no_eff: ``[B, num_tx, S, D]`` real, their error variance, from the taps, the noise, the
            estimator's ``err_var`` and the errors on the pilots; both are what Sionna's
            ``Demapper`` takes.

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or range.

    Notes:
        Cost a slot: ``num_filters`` Cholesky factors of order ``A W`` in double precision. Taps
        are sought at half as many lags as subcarriers, from ``min(l_min, -8)`` on. The estimator
        hears the ISI of a short prefix as noise: that is where the error floors at high SNR.

    Example:
        >>> import tensorflow as tf
        >>> from sionna.phy.mimo import StreamManagement
        >>> from sionna.phy.ofdm import ResourceGrid
        >>> grid = ResourceGrid(4, 64, 30e3, cyclic_prefix_length=2, pilot_pattern="kronecker",
        ...                     pilot_ofdm_symbol_indices=[1])
        >>> equalizer = WienerEqualizer(grid, StreamManagement([[1]], 1), l_min=0)
        >>> x_hat, no_eff = equalizer(tf.ones([2, 1, 1, 264], tf.complex64), 0.1)
        >>> x_hat.shape.as_list()
        [2, 1, 1, 192]
    """

    def __init__(
        self,
        resource_grid: ResourceGrid,
        stream_management: StreamManagement,
        *,
        estimator: Estimator | None = None,
        window: int | None = None,
        delay: int | None = None,
        l_min: int = -6,
        num_filters: int | None = None,
        precision: str | None = None,
    ) -> None:
        super().__init__(precision=precision)
        arguments.sionna_objects(resource_grid, stream_management)
        if estimator is None:
            estimator = FixedPoleChannelEstimator(resource_grid, precision=precision)
        if not callable(estimator):
            raise TypeError(
                f"estimator must be None or callable as estimator(y, no), got {estimator!r}"
            )
        self._estimator = estimator
        self._l_min = arguments.integer(l_min, "l_min")
        if self._l_min > 0:
            raise ValueError(f"l_min must be <= 0, got {l_min}")
        self._size = int(resource_grid.fft_size)
        self._num_symbols = int(resource_grid.num_ofdm_symbols)
        self._grid, self._dtype = resource_grid, "complex64"
        if str(self.precision) == "double":
            self._dtype = "complex128"
        self._real = _backend.REAL_OF[self._dtype]
        self._layout = StreamLayout(resource_grid, stream_management)
        self._groups = pilot_groups(resource_grid)
        self._order = np.argsort(np.concatenate([group.streams for group in self._groups]))
        self._residual = PilotResidual(resource_grid)
        occupied = np.asarray(resource_grid.effective_subcarrier_ind)
        self._reliability = [
            Reliability(group.elements % self._size, occupied, self._size) for group in self._groups
        ]
        window = self._window(window)
        delay = window // 2 if delay is None else arguments.integer(delay, "delay")
        if num_filters is None:
            symbols = [len(np.unique(g.elements // self._size)) for g in self._groups]
            num_filters = NUM_FILTERS if min(symbols) > 1 else 1
        number = arguments.integer(num_filters, "num_filters", at_least=1)
        self._capture = window_start(resource_grid, self._l_min)
        self._filters = MovingFilters(
            resource_grid, window, delay, min(number, self._num_symbols), l_min=self._l_min,
            first_lag=min(self._l_min, FIRST_LAG), capture=self._capture, dtype=self._dtype,
        )  # fmt: skip

    def call(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Identify the channel of every slot and equalize its data."""
        y = self._checked(y)
        no = noise_variance(no, tuple(y.shape[:3]), self._real)
        rows = ops.reshape(y, (-1, *y.shape[2:]))
        no = no + 0 * ops.real(rows[:, 0, 0])
        outputs, error, _ = self.equalized(rows, no, *self.identified(y, no))
        return self._layout.data(outputs), self._layout.data(error / (1.0 - error))

    def identified(
        self, y: Tensor, no: Tensor, first: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``h_hat [B R, A, S, M, K]``, its error variance, and the noise behind it, ``[B R]``.

        The estimator is asked twice: a prefix that is too short adds to the noise that it sees,
        and how much is told by what the first estimate leaves of the pilots.

        Args:
            y: samples ``[B, R, A, T]``.
            no: thermal noise, ``[B R]``.
            first: what the estimator answers first, in its own shapes, if that is known.
        """
        spectra = demodulate(y, self._grid, self._l_min, self._capture)
        sizes = (-1, y.shape[1], y.shape[2])
        shape = (-1, y.shape[2], self._layout.num_streams, self._num_symbols)

        def ask(variance: Tensor) -> tuple[Tensor, Tensor]:
            variance = variance[:, None] + ops.zeros((y.shape[2],), self._real)
            return self._estimator(spectra, ops.reshape(variance, sizes))

        def flat(h: Tensor, err_var: Tensor) -> tuple[Tensor, Tensor]:
            err_var = ops.cast(err_var, self._real) + ops.zeros_like(ops.real(h))
            h, err_var = (ops.reshape(x, (*shape, x.shape[-1])) for x in (h, err_var))
            return ops.cast(h, self._dtype), err_var

        received = ops.reshape(spectra, (-1, y.shape[2], self._num_symbols * self._size))
        first = ask(no) if first is None else first
        seen = ops.mean(self._residual.variance(received, *flat(*first)), axis=-1)
        seen = _backend.at_least(seen, no)
        return *flat(*ask(seen)), seen

    def equalized(
        self, y: Tensor, no: Tensor, h: Tensor, err_var: Tensor, seen: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Outputs on the whole grid, and what the pilots say of them.

        Args:
            y: samples ``[B R, A, T]``.
            no: thermal noise, ``[B R]``.
            h, err_var, seen: see :meth:`identified`.

        Returns:
            Unbiased outputs ``[B R, streams, M, fft_size]``; their error variance over one plus
            it, real, of that shape; and for each group of :func:`.pilots.pilot_groups` the power
            of the outputs' errors on its pilots ``[B R, G, P]``, what the fit to them hides added.
        """
        filtered = self._filters.apply(y, h, err_var, no)
        over_time = self._filters.over_time
        outputs = over_time(filtered.outputs)
        known, learnt = filtered.known[:, :, :, None], filtered.learnt[:, :, :, None]
        # The channel was fitted to the pilots and to the thermal noise on them, which takes away
        # there what it adds elsewhere; what the prefix lets in is no noise to the filters.
        fitted = ops.reshape(2.0 * no / _backend.at_least(seen, 1e-30), (-1, 1, 1, 1))
        error, powers = self._error(outputs, over_time(known), fitted * over_time(learnt))
        return outputs, error, powers

    def _error(
        self, outputs: Tensor, known: Tensor, optimism: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Error variance ``[B, S, M, N]`` of the outputs once scaled by ``1 / (1 + known)``.

        Beside it the power of the unscaled outputs' errors on the pilots of every group.
        """
        known = ops.clip(known, SMALLEST_ERROR, 1e6)
        expected = known / (1.0 + known)
        flat = (-1, outputs.shape[1], self._num_symbols * self._size)
        known = known + ops.zeros_like(ops.real(outputs))
        outputs, optimism, known = (ops.reshape(x, flat) for x in (outputs, optimism, known))
        excess, powers = [], []
        for group, reliability in zip(self._groups, self._reliability, strict=True):
            z, o, k = (
                ops.take(ops.take(x, group.streams, axis=1), group.elements, axis=2)
                for x in (outputs, optimism, known)
            )
            sent = _backend.constant(group.targets.T, self._dtype)
            powers.append(_backend.power(z - sent) + o)
            e = k / (1.0 + k)
            z = z / ops.cast(1.0 + k, self._dtype) - sent
            # Relative to what was expected: what adds to the noise passes the same filters
            seen = reliability.averages(_backend.power(z) + o / ops.square(1.0 + k) - e)
            near, far = (x / y for x, y in zip(seen, reliability.averages(e), strict=True))
            excess.append(_backend.at_least(0.5 * (near + far), LEAST_EXCESS))
        excess = ops.take(ops.concatenate(excess, axis=1), self._order, axis=1)
        error = expected * (1.0 + excess[:, :, None])
        return ops.clip(error, SMALLEST_ERROR, LARGEST_ERROR), powers

    def _window(self, window: int | None) -> int:
        if window is None:
            return max(1, min(LONGEST_WINDOW, self._size // 2))
        window = arguments.integer(window, "window", at_least=1)
        if window > self._size:
            raise ValueError(f"window must be at most fft_size = {self._size}, got {window}")
        return window

    def _checked(self, y: Tensor) -> Tensor:
        """``y`` in this precision, or an error that names what does not fit."""
        y = _backend.require_complex(y, "y")
        if len(y.shape) != 4:
            raise ValueError(f"y must have shape [B, R, A, T], got {y.shape}")
        if y.shape[1] != self._layout.num_rx:
            raise ValueError(
                f"y must have the {self._layout.num_rx} receivers of stream_management on its "
                f"second axis, got {y.shape[1]}"
            )
        needed = int(self._grid.num_time_samples)
        if y.shape[-1] is None or y.shape[-1] < needed:
            raise ValueError(
                f"y must have at least the {needed} samples of resource_grid on its last axis, a "
                f"number that is known when a graph is traced, got {y.shape[-1]}"
            )
        return ops.cast(y, self._dtype)
