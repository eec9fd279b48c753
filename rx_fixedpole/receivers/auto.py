"""The receiver that chooses: all equalizers of this package behind one measure."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.mapping import Constellation
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor
from rx_fixedpole.poles import ring

from . import arguments
from .candidates import GridCandidates, Whitened
from .choice import Candidate, CommonPilots, choose, joint_factor
from .chosen_bits import ChosenBits
from .curvature import Curvature
from .demodulation import demodulate, window_start
from .equalizer import FixedPoleEqualizer
from .estimator import FixedPoleChannelEstimator
from .joint_detection import NUM_PATHS
from .layout import StreamLayout, antenna_noise, noise_variance
from .time_candidates import TimeCandidates
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
    to which the next pilots are nearer, never lack (:mod:`.held_out`). Where pilots stand on two
    symbols alone the estimate tells what a line between them misses (:mod:`.curvature`). The parts
    are

    * ``"lmmse"``: :class:`FixedPoleChannelEstimator`, then linear MMSE on each resource element;
    * ``"detector"``: the same estimate, then the equalizer of :class:`FixedPoleDetector`;
    * ``"wiener"``: :class:`WienerEqualizer`, from the same estimate;
    * ``"trained"``: :class:`FixedPoleEqualizer`;
    * ``"moving"``: the same with ``tracking``.

    Some cannot win and are not run: the detector with one antenna, Wiener filters where ``l_max``
    says that the prefix covers the channel, weights with fewer than two pilots each or moving
    ones without pilots on two symbols. The last three wait until a slot of the batch shows more
    than thermal noise (:mod:`.pilot_noise`); slots that do not are never given to them.

    Told the ``constellation``, it goes on to LLRs, and where several streams are received the first
    two parts detect them together (:mod:`.joint_detection`), which a linear filter cannot match.

    Args:
        resource_grid: Sionna's ``ResourceGrid`` with pilots: any guards, DC null and pattern, with
            resource elements that every stream reserves for pilots.
        stream_management: Sionna's ``StreamManagement``, which tells which receiver detects
            which streams.
        parts: the parts to choose among, the simplest first: of two that are as good the
            earlier one is taken. One of the first two must be among them.
        constellation: Sionna's ``Constellation`` of all streams, for LLRs. None: symbols.
        num_paths: paths that joint detection by K-Best keeps. 0: detection is linear.
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
        llr: in the place of both if there is a ``constellation``, ``[B, num_tx, S, D bits]`` real.

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or range.

    Notes:
        Cost: at most that of its parts, which share one channel estimate (Wiener filters ask for
        a second one), and of joint detection. What neither pilots nor the channel's estimate
        show, no choice can tell.

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
        constellation: Constellation | None = None,
        num_paths: int = NUM_PATHS,
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
        self._bits = self._to_bits(constellation, num_paths)
        taps = (None, None) if l_max is None else (self._l_min, l_max)
        self._estimator = FixedPoleChannelEstimator(
            resource_grid, l_min=taps[0], l_max=taps[1], precision=precision
        )
        self._start = window_start(resource_grid, self._l_min)
        prefix = int(resource_grid.cyclic_prefix_length)
        covered = l_max is not None and int(l_max) - self._l_min <= prefix
        in_time: list[WienerEqualizer | FixedPoleEqualizer] = []
        if "wiener" in parts and not covered:
            in_time.append(
                WienerEqualizer(
                    resource_grid,
                    stream_management,
                    estimator=self._estimator,
                    l_min=self._l_min,
                    precision=precision,
                )
            )
        num_symbols = len(np.unique(self._pilots.elements // int(resource_grid.fft_size)))
        in_time += [
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
        self._in_time = TimeCandidates(
            in_time,
            self._pilots,
            self._layout,
            by_symbol=num_symbols >= FEWEST_SYMBOLS,
            curvature=Curvature(resource_grid, self._pilots.elements, self._layout)
            if num_symbols > 1
            else None,
        )
        self._on_grid = {
            kind: _backend.compile(self._grid_candidates(*kind))
            for kind in itertools.product(
                (False, True) if "detector" in parts else (False,),
                (False, True) if self._bits is not None else (False,),
            )
        }

    def _to_bits(self, constellation: Constellation | None, num_paths: int) -> ChosenBits | None:
        num_paths = arguments.integer(num_paths, "num_paths", at_least=0)
        if constellation is None:
            return None
        if not isinstance(constellation, Constellation):
            raise TypeError(f"constellation must be a Constellation or None, got {constellation!r}")
        return ChosenBits(self._layout, constellation, num_paths, self.precision)

    def _grid_candidates(self, rejecting: bool, joint: bool) -> GridCandidates:
        return GridCandidates(
            self._grid,
            self._pilots,
            self._layout,
            white="lmmse" in self._parts or not rejecting,
            coloured=rejecting,
            joint=joint,
        )

    def call(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor] | Tensor:
        """Run what may win, and take the best of it for every slot."""
        x_hat, no_eff, *rest = self._chosen(y, no)
        return (x_hat, no_eff) if self._bits is None else self._bits(x_hat, no_eff, *rest)

    def chosen(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The choice's symbols, their error variance, and its number among the parts built."""
        return self._chosen(y, no)[:3]

    def _chosen(
        self, y: Tensor, no: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[Whitened], list[Tensor]]:
        """The same, and what :class:`ChosenBits` takes beside it."""
        y = self._checked(y)
        num_ant = int(y.shape[2])
        real = _backend.REAL_OF[self._dtype]
        per_antenna = antenna_noise(no, tuple(y.shape[:3]), real)
        thermal = noise_variance(no, tuple(y.shape[:3]), real)
        thermal = thermal + 0 * ops.reshape(ops.real(y[:, :, 0, 0]), (-1,))
        spectra = demodulate(y, self._grid, self._l_min, self._start)
        h_hat, err_var = self._estimator(spectra, ops.reshape(thermal, (-1, y.shape[1])))
        joint = self._bits is not None and self._bits.detects_jointly(num_ant)
        on_grid = self._on_grid[num_ant > 1 and "detector" in self._parts, joint]
        found, white, excess = on_grid(spectra, h_hat, err_var, per_antenna)
        found = [Candidate(*c) for c in found]
        excess = ops.any(ops.reshape(excess, (-1, self._layout.num_rx)), axis=-1)
        always = ops.ones_like(excess)
        in_time = self._in_time.able(num_ant)
        allowed = [always] * len(found) + [excess] * len(in_time)
        factors = [joint_factor(c) for c in found[: len(white)]]
        if in_time:
            found += self._in_time(in_time, found[0], excess, y, thermal, (h_hat, err_var))
        return *choose(found, allowed), white, factors

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
