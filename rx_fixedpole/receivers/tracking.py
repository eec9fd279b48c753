"""The fixed-pole equalizer that follows the channel by its own decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from . import arguments
from .decisions import Decisions, constellation_points
from .equalizer import FixedPoleEqualizer
from .frontend import FEWEST_PILOTS_PER_FEATURE, FrontEnd
from .layout import noise_variance
from .moving_weights import MovingFit, MovingWeights, without_own
from .pilots import PilotGroup, grid_elements
from .symbol_equations import SymbolEquations, symbol_equations, with_targets

# Updates of the prior powers at the first fit; every later one goes on from there with one more.
FIRST_UPDATES = 5
# Delay line by default where two pilots stand behind each weight of the first fit: longer than for
# weights that pilots alone train, as decisions train these too.
SHORTEST_WINDOW = 16
# A pilot whose leverage is higher tells little of the error.
LARGEST_LEVERAGE = 0.95


class _Group(NamedTuple):
    """What is the same for all slots about the streams of one group."""

    known: np.ndarray  # [M, K] where the pilots are
    pilots: np.ndarray  # [M, K, G] complex128, zero elsewhere
    decisions: Decisions
    reaches: np.ndarray  # [passes, M] symbols whose decisions the fit after a pass may use, 0 or 1


class TrackingEqualizer(FixedPoleEqualizer):
    r"""Equalizes OFDM slots with weights that follow the channel by soft decisions.

    .. math:: \hat x_m[k] = f_m[k]\, w_m, \qquad w_m = \sum_{q} \phi_q(m)\, w_q, \qquad
              \min_w \sum_m \rho_m \sum_k E|x_m[k] - f_m[k] w_m|^2
              + \sum_{q,j} \frac{\sigma^2}{g_j\, p_q} |w_{qj}|^2

    with the features :math:`f` of :class:`FixedPoleEqualizer` and four slow functions
    :math:`\phi_q` of time. This is block RLS forwards and backwards at once: normal equations of an
    OFDM symbol, added up with what a symbol tells of another. How much that is is learned from the
    slot, as are the prior powers g of the features: the shares :math:`p_q` are those of Jakes'
    correlation at the speed of largest likelihood.

    The first fit has the pilots alone. Each further one also takes the posterior means of the data
    symbols, from the pilots outwards, an OFDM symbol weighted by
    :math:`\rho_m = \sigma^2 / (\sigma^2 + v_m)` with the mean posterior variance :math:`v_m` of its
    data and the error variance :math:`\sigma^2` of pilots. An OFDM symbol is equalized by weights
    that its own decisions had no part in: their errors would otherwise confirm themselves.

    Args:
        resource_grid: as for :class:`FixedPoleEqualizer`, with pilots on two OFDM symbols.
        stream_management: Sionna's ``StreamManagement``.
        constellation: of all streams, a Sionna ``Constellation`` or its points, complex ``[N]`` of
            unit mean power.
        num_passes: fits with decisions after the first one, >= 0.
        poles, window, delay, basis, l_min, domain, precision: see :class:`FixedPoleEqualizer`; the
            default window is that for ``tracking=True``, but 16 if two pilots a weight allow it.

    Input:
        y, no: as for :class:`FixedPoleEqualizer`.

    Output:
        x_hat: ``[B, num_tx, S, D]`` complex, unbiased estimates of the data symbols.
        no_eff: ``[B, num_tx, S, D]`` real, their error variance: thermal noise, the variance of
            the weights at that OFDM symbol, and what pilots and constellation show beyond these.

    Raises:
        TypeError, ValueError: as :class:`FixedPoleEqualizer`.

    Notes:
        Features are formed at all resource elements: memory is ``M fft_size A F`` complex numbers a
        slot and receiver, some copies of them, and ``M (A F)^2`` for Gram matrices. A pass costs
        two factorisations of size ``4 A F`` and two of ``A F`` for every OFDM symbol. No decoder
        takes part: see :class:`IterativeReceiver` for that.

    Example:
        >>> import tensorflow as tf
        >>> from sionna.phy.mapping import Constellation
        >>> from sionna.phy.mimo import StreamManagement
        >>> from sionna.phy.ofdm import ResourceGrid
        >>> grid = ResourceGrid(4, 64, 30e3, cyclic_prefix_length=8, pilot_pattern="kronecker",
        ...                     pilot_ofdm_symbol_indices=[0, 3])
        >>> equalizer = TrackingEqualizer(grid, StreamManagement([[1]], 1), window=4, l_min=0,
        ...                               constellation=Constellation("qam", 2))
        >>> x_hat, no_eff = equalizer(tf.zeros([2, 1, 1, 288], tf.complex64), 0.1)
        >>> x_hat.shape.as_list()
        [2, 1, 1, 128]
    """

    def __init__(
        self,
        resource_grid: ResourceGrid,
        stream_management: StreamManagement,
        *,
        constellation: Any,
        num_passes: int = 5,
        poles: np.ndarray | Sequence[complex] | None = None,
        window: int | None = None,
        delay: int | None = None,
        basis: str = "orthonormal",
        l_min: int = -6,
        domain: str = "time",
        precision: str | None = None,
    ) -> None:
        super().__init__(
            resource_grid,
            stream_management,
            poles=poles,
            window=window,
            delay=delay,
            basis=basis,
            l_min=l_min,
            domain=domain,
            tracking=True,
            precision=precision,
        )
        self._points = constellation_points(constellation)
        self._num_passes = arguments.integer(num_passes, "num_passes", at_least=0)
        self._elements = grid_elements(resource_grid)
        self._subcarriers = np.asarray(resource_grid.effective_subcarrier_ind)
        self._num_symbols = int(resource_grid.num_ofdm_symbols)
        self._followed = [self._constants(group) for group in self._groups]

    def call(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Train on the pilots and decisions of every slot and equalize its data."""
        front_end = self._front_end(y)
        no = noise_variance(no, tuple(y.shape[:3]), _backend.REAL_OF[self._dtype])
        num_features = int(y.shape[2]) * front_end.num_features
        y = ops.reshape(y, (-1, *y.shape[2:]))
        size = (-1, self._num_symbols, len(self._subcarriers), num_features)
        features = ops.reshape(front_end.features(y, self._elements), size)
        followed = [self._follow(front_end, features, group, no) for group in self._followed]
        outputs, error = (
            ops.take(ops.concatenate(parts, axis=1), self._order, axis=1)
            for parts in zip(*followed, strict=True)
        )
        error = self._layout.occupied_data(error)
        gain = 1.0 - error
        return self._layout.occupied_data(outputs) / ops.cast(gain, self._dtype), error / gain

    def sizes(self, num_ant: int) -> tuple[int, int, int]:
        """Delay line, weights in the first fit and pilots of the scarcest stream."""
        window, num_weights, num_pilots = super().sizes(num_ant)
        if self._window is None:
            num_poles, copies = len(self._poles), num_weights // (window + len(self._poles))
            room = num_pilots // (FEWEST_PILOTS_PER_FEATURE * copies) - num_poles
            window = max(window, min(SHORTEST_WINDOW, room))
            num_weights = copies * (window + num_poles)
        return window, num_weights, num_pilots

    def _follow(
        self, front_end: FrontEnd, features: Tensor, group: _Group, no: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Outputs and their error variance ``[B R, G, M, K]`` of one group of streams."""
        known = group.known
        roles = np.arange(features.shape[-1]) % front_end.num_features
        moving = MovingWeights(self._num_symbols, roles)
        double = ops.cast(features, "complex128")
        targets = _backend.constant(group.pilots[None], "complex128") + 0 * double[..., :1]
        pilots = symbol_equations(double, known, targets)
        decisions = symbol_equations(double, ~known, 0 * targets)
        own = decisions.weighted(0 * pilots.power)
        start = moving.start(no + 0 * ops.real(features[:, 0, 0, 0]))
        fit = moving.fit(pilots.plus(own), *start, FIRST_UPDATES)
        reaches = _backend.constant(group.reaches, "float64")

        def again(n: Tensor, state: tuple[MovingFit, SymbolEquations]) -> tuple[Any, ...]:
            fit, own = state
            _, mean, variance = self._outputs(front_end, features, group, fit, own, no)[1:]
            doubt = group.decisions.average(ops.cast(variance, "float64"))
            mean, variance = (ops.transpose(x, (0, 2, 3, 1)) for x in (mean, variance))
            variance = ops.cast(variance, "float64")
            noise = fit.noise[:, None]
            trust = ops.take(reaches, n, axis=0) * noise / (noise + doubt)
            own = with_targets(decisions, double, ~known, mean, variance).weighted(trust)
            return moving.fit(pilots.plus(own), fit.load, fit.share, 1), own

        # A loop, not one pass after the other in the graph: that takes a minute to trace
        fit, own = ops.fori_loop(0, self._num_passes, again, (fit, own))
        outputs, error, _, _ = self._outputs(front_end, features, group, fit, own, no)
        return outputs, error

    def _outputs(
        self,
        front_end: FrontEnd,
        features: Tensor,
        group: _Group,
        fit: MovingFit,
        own: SymbolEquations,
        no: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Outputs, error variance, posterior means and variances, all ``[B R, G, M, K]``."""
        weights, root = (ops.cast(x, self._dtype) for x in without_own(fit, own))
        outputs = ops.transpose(features @ weights, (0, 3, 1, 2))
        noise = self._thermal(front_end, weights, no)
        variance = ops.sum(_backend.power(features @ root), axis=-1)[:, None]
        errors = self._pilot_errors(features, group, fit)
        return outputs, *group.decisions.error_variance(outputs, noise, variance, errors)

    def _pilot_errors(self, features: Tensor, group: _Group, fit: MovingFit) -> Tensor:
        """Squared errors on the pilots ``[B R, G, P]``, what training on them hides made good.

        With weights of variance L L^H and errors of variance s2, training leaves the share
        ``1 - |f L|^2 / s2`` of a squared error.
        """
        symbols = np.flatnonzero(group.known.any(axis=1))
        places = np.flatnonzero(group.known[symbols])
        seen = ops.take(features, symbols, axis=1)
        weights, root = (
            ops.cast(ops.take(x, symbols, axis=1), self._dtype) for x in (fit.weights, fit.root)
        )
        error = _backend.constant(group.pilots[symbols], self._dtype) - seen @ weights
        leverage = ops.sum(_backend.power(seen @ root), axis=-1)
        leverage = leverage / ops.cast(fit.noise, leverage.dtype)[:, None, None]
        share = _backend.at_least(1.0 - leverage, 1.0 - LARGEST_LEVERAGE)
        squared = ops.transpose(_backend.power(error) / share[..., None], (0, 3, 1, 2))
        size = len(symbols) * len(self._subcarriers)
        return ops.take(ops.reshape(squared, (-1, squared.shape[1], size)), places, axis=-1)

    def _thermal(self, front_end: FrontEnd, weights: Tensor, no: Tensor) -> Tensor:
        """Thermal noise ``[B R, G, M, K]`` in the outputs of weights ``[B R, M, A F, G]``."""
        one = ops.ones((1,), dtype=no.dtype)
        noise = front_end.noise(ops.reshape(weights, (-1, *weights.shape[2:])), one)
        noise = ops.take(noise, self._subcarriers, axis=-1)
        noise = ops.reshape(noise, (-1, self._num_symbols, *noise.shape[1:]))
        return ops.reshape(no, (-1, 1, 1, 1)) * ops.swapaxes(noise, 1, 2)

    def _constants(self, group: PilotGroup) -> _Group:
        known = np.isin(self._elements, group.elements).reshape(self._num_symbols, -1)
        pilots = np.zeros((*known.shape, group.targets.shape[1]), np.complex128)
        pilots[known] = group.targets
        distance = np.flatnonzero(known.any(axis=1)) - np.arange(self._num_symbols)[:, None]
        distance = np.abs(distance).min(axis=1)
        # All decisions count before the last fit but one
        steps = np.arange(1, self._num_passes + 1) / max(1, self._num_passes - 1)
        reaches = distance <= np.ceil(np.minimum(steps, 1.0)[:, None] * distance.max())
        reaches = reaches & ~known.all(axis=1)
        return _Group(known, pilots, Decisions(known, self._points), reaches.astype(np.float64))
