"""The receiver that chooses: all equalizers of this package behind one measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor
from rx_fixedpole.poles import ring

from . import arguments
from .candidates import GridCandidates, trained_candidate, wiener_candidate
from .choice import Candidate, CommonPilots, choose
from .demodulation import demodulate, window_start
from .equalizer import FixedPoleEqualizer
from .estimator import FixedPoleChannelEstimator
from .frontend import FEWEST_PILOTS_PER_FEATURE
from .layout import StreamLayout, antenna_noise, noise_variance
from .wiener import WienerEqualizer

PARTS = ("lmmse", "detector", "wiener", "trained", "moving")
NUM_POLES = 8
# Pilot symbols from which on trained weights are judged by whole ones too. Without one of two,
# moving weights are not determined, and others must serve a time farther off than any data.
FEWEST_SYMBOLS = 3


class AutoReceiver(Block):
    r"""Equalizes every slot by what its pilots show to be the best of several receivers.

    .. math:: \hat x = \hat x_c, \quad
              \mathrm{no\_eff} = \rho_c\, \mathrm{no\_eff}_c, \quad c = \arg\max_c I_c

    with the rate I and the factor :math:`\rho` that each receiver's errors on pilots it has not
    seen give it (:mod:`rx_fixedpole.receivers.choice`). These errors come in closed form from the
    fits to all pilots, so that nothing is fitted twice: without each pilot and, for trained weights
    where three or more OFDM symbols have pilots, without each of these symbols as well. Weights
    that are constant or a line in time fit pilot symbols better than what is between them; an
    estimate knows the channel's correlation in time, and would lack without a symbol what data,
    to which the next pilots are nearer, never lack (:mod:`.held_out`). The parts are

    * ``"lmmse"``: :class:`FixedPoleChannelEstimator`, then linear MMSE on each resource element;
    * ``"detector"``: the same estimate, then the equalizer of :class:`FixedPoleDetector`;
    * ``"wiener"``: :class:`WienerEqualizer`, from the same estimate;
    * ``"trained"``: :class:`FixedPoleEqualizer`;
    * ``"moving"``: the same with ``tracking``.

    Some cannot win and are not run: the detector with one antenna, Wiener filters where ``l_max``
    says that the prefix covers the channel, weights with fewer than two pilots each or moving
    ones without pilots on two symbols. The last three wait until a slot of the batch shows more
    than thermal noise (:mod:`.pilot_noise`); slots that do not are never given to them.

    Args:
        resource_grid: Sionna's ``ResourceGrid`` with pilots: any guards, DC null and pattern, with
            resource elements that every stream reserves for pilots.
        stream_management: Sionna's ``StreamManagement``, which tells which receiver detects
            which streams.
        parts: the parts to choose among, the simplest first: of two that are as good the
            earlier one is taken. One of the first two must be among them.
        poles: of the trained equalizers, ``|p| < 1``, complex ``[K]``. None: a ring of eight.
        l_min: time of the first received sample relative to the first transmitted one, <= 0, as
            for Sionna's ``OFDMDemodulator``; the first tap if ``l_max`` is given.
        l_max: last tap of a channel that is simulated in time, as for Sionna's ``time_channel``.
            None: not known.
        precision: ``"single"``, ``"double"`` or None for Sionna's default.

    Input:
        y: ``[B, R, A, T]`` complex samples with ``T >= num_time_samples``.
        no: thermal noise variance ``E|w|^2``, scalar or the first axes of ``[B, R, A]``.

    Output:
        x_hat: ``[B, num_tx, S, D]`` complex, unbiased estimates of the data symbols.
        no_eff: ``[B, num_tx, S, D]`` real, their error variance as measured on the pilots; both
            are what Sionna's ``Demapper`` takes.

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or range.

    Notes:
        Cost: at most that of its parts, which share one channel estimate (Wiener filters ask for
        a second one). What no pilot sees, such as how a channel moves between pilot symbols,
        no choice can tell.

    Example:
        >>> import tensorflow as tf
        >>> from sionna.phy.mimo import StreamManagement
        >>> from sionna.phy.ofdm import ResourceGrid
        >>> grid = ResourceGrid(4, 64, 30e3, cyclic_prefix_length=8, pilot_pattern="kronecker",
        ...                     pilot_ofdm_symbol_indices=[1])
        >>> receiver = AutoReceiver(grid, StreamManagement([[1]], 1), l_min=0)
        >>> x_hat, no_eff = receiver(tf.ones([2, 1, 1, 288], tf.complex64), 0.1)
        >>> x_hat.shape.as_list()
        [2, 1, 1, 192]
    """

    def __init__(
        self,
        resource_grid: ResourceGrid,
        stream_management: StreamManagement,
        *,
        parts: Sequence[str] = PARTS,
        poles: np.ndarray | Sequence[complex] | None = None,
        l_min: int = -6,
        l_max: int | None = None,
        precision: str | None = None,
    ) -> None:
        super().__init__(precision=precision)
        arguments.sionna_objects(resource_grid, stream_management)
        parts = tuple(arguments.choice(part, "parts", PARTS) for part in parts)
        if not {"lmmse", "detector"} & set(parts):
            raise ValueError(f"parts must hold 'lmmse' or 'detector', got {parts}")
        self._l_min = arguments.integer(l_min, "l_min")
        if self._l_min > 0:
            raise ValueError(f"l_min must be <= 0, got {l_min}")
        self._dtype = "complex128" if str(self.precision) == "double" else "complex64"
        self._grid, self._parts = resource_grid, parts
        self._pilots = CommonPilots(resource_grid)
        self._layout = StreamLayout(resource_grid, stream_management)
        taps = (None, None) if l_max is None else (self._l_min, l_max)
        self._estimator = FixedPoleChannelEstimator(
            resource_grid, l_min=taps[0], l_max=taps[1], precision=precision
        )
        self._start = window_start(resource_grid, self._l_min)
        prefix = int(resource_grid.cyclic_prefix_length)
        covered = l_max is not None and int(l_max) - self._l_min <= prefix
        self._wiener = None
        if "wiener" in parts and not covered:
            self._wiener = WienerEqualizer(
                resource_grid,
                stream_management,
                estimator=self._estimator,
                l_min=self._l_min,
                precision=precision,
            )
        num_symbols = len(np.unique(self._pilots.elements // int(resource_grid.fft_size)))
        self._by_symbol = num_symbols >= FEWEST_SYMBOLS
        self._trained = [
            FixedPoleEqualizer(
                resource_grid,
                stream_management,
                poles=ring(NUM_POLES) if poles is None else poles,
                tracking=part == "moving",
                l_min=self._l_min,
                precision=precision,
            )
            for part in parts
            if part == "trained" or part == "moving" and num_symbols > 1
        ]
        self._on_grid = {
            rejecting: _backend.compile(self._grid_candidates(rejecting))
            for rejecting in ((False, True) if "detector" in parts else (False,))
        }

    def _grid_candidates(self, rejecting: bool) -> GridCandidates:
        return GridCandidates(
            self._grid,
            self._pilots,
            self._layout,
            white="lmmse" in self._parts or not rejecting,
            coloured=rejecting,
        )

    def call(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Run what may win, and take the best of it for every slot."""
        x_hat, no_eff, _ = self.chosen(y, no)
        return x_hat, no_eff

    def chosen(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As a call, and the number of each slot's choice among the parts that were built."""
        y = self._checked(y)
        num_ant = int(y.shape[2])
        real = _backend.REAL_OF[self._dtype]
        per_antenna = antenna_noise(no, tuple(y.shape[:3]), real)
        thermal = noise_variance(no, tuple(y.shape[:3]), real)
        thermal = thermal + 0 * ops.reshape(ops.real(y[:, :, 0, 0]), (-1,))
        spectra = demodulate(y, self._grid, self._l_min, self._start)
        h_hat, err_var = self._estimator(spectra, ops.reshape(thermal, (-1, y.shape[1])))
        on_grid = self._on_grid[num_ant > 1 and True in self._on_grid]
        found, excess = on_grid(spectra, h_hat, err_var, per_antenna)
        found = [Candidate(*c) for c in found]
        excess = ops.any(ops.reshape(excess, (-1, self._layout.num_rx)), axis=-1)
        always = ops.ones_like(excess)
        in_time = self._in_time(num_ant)
        allowed = [always] * len(found) + [excess] * len(in_time)
        if in_time:
            found += self._run(in_time, found[0], excess, y, thermal, (h_hat, err_var))
        return choose(found, allowed)

    def _in_time(self, num_ant: int) -> list[WienerEqualizer | FixedPoleEqualizer]:
        """Parts that equalize in time and may win with so many antennas."""
        chosen: list[WienerEqualizer | FixedPoleEqualizer] = []
        if self._wiener is not None:
            chosen.append(self._wiener)
        for equalizer in self._trained:
            _, num_features, num_pilots = equalizer.sizes(num_ant)
            if FEWEST_PILOTS_PER_FEATURE * num_features <= num_pilots:
                chosen.append(equalizer)
        return chosen

    def _run(
        self,
        parts: list[WienerEqualizer | FixedPoleEqualizer],
        like: Candidate,
        excess: Tensor,
        y: Tensor,
        no: Tensor,
        first: tuple[Tensor, Tensor],
    ) -> list[Candidate]:
        """Their candidates, or as many that nobody will take if no slot needs them."""
        pilots, layout = self._pilots, self._layout

        def run() -> list[Tensor]:
            found: list[Tensor] = []
            for part in parts:
                if isinstance(part, WienerEqualizer):
                    found += wiener_candidate(part, pilots, layout, y, no, first)
                else:
                    noise = ops.reshape(no, (-1, y.shape[1]))
                    found += trained_candidate(
                        part, pilots, layout, y, noise, by_symbol=self._by_symbol
                    )
            return found

        def skip() -> list[Tensor]:
            return [ops.ones_like(x) for _ in parts for x in like]

        flat = ops.cond(ops.any(excess), run, skip)
        width = len(Candidate._fields)
        return [Candidate(*flat[i : i + width]) for i in range(0, len(flat), width)]

    def _checked(self, y: Tensor) -> Tensor:
        """``y`` in this precision, or an error that names what does not fit."""
        y = _backend.require_complex(y, "y", "B", self._layout.num_rx, "A", "T")
        needed = int(self._grid.num_time_samples)
        if y.shape[-1] is None or y.shape[-1] < needed:
            raise ValueError(
                f"y must have at least the {needed} samples of resource_grid on its last axis, a "
                f"number that is known when a graph is traced, got {y.shape[-1]}"
            )
        return ops.cast(y, self._dtype)
