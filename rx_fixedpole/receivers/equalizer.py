"""The fixed-pole equalizer: trained on the pilots of a slot, used on its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor
from rx_fixedpole.poles import validate
from rx_fixedpole.readout import READOUTS, ARDRidge
from rx_fixedpole.readout.solve import leave_block_out
from rx_fixedpole.recurrence import BASES

from . import arguments
from .frontend import FrequencyFrontEnd, FrontEnd, default_delay, default_window
from .layout import StreamLayout, noise_variance
from .pilots import PilotGroup, pilot_groups
from .reliability import Reliability
from .time_frontend import TimeFrontEnd

DOMAINS = ("time", "frequency")


class FixedPoleEqualizer(Block):
    r"""Equalizes OFDM slots with fixed features and a readout trained on the slot's pilots.

    .. math:: \hat x_s[n] = \sum_{a} \Big( \sum_{w=0}^{W-1} c_{s,a,w}\, y_a[n + d - w]
              + \sum_{k=1}^{K} b_{s,a,k}\, \tilde s_{a,k}[n + d - W] \Big), \qquad
              s_{a,k}[n] = \beta_k s_{a,k}[n-1] + y_a[n]

    with the states scaled to unit power for white input: a delay line of W samples, and a bank of
    poles that remembers what leaves it. The output is an estimate of the
    transmitted waveform; its DFT over the FFT window of each OFDM symbol estimates the resource
    elements. All weights are fitted anew for every slot of the batch and every receiver, on the
    pilots of that slot only. Nothing is known of the channel, no cyclic prefix is needed in the
    time domain, and what the pilots see of interference is suppressed.

    Args:
        resource_grid: Sionna's ``ResourceGrid`` with pilots: any guards, DC null and pattern;
            pilots may share OFDM symbols with data and need not be orthogonal.
        stream_management: Sionna's ``StreamManagement``, which tells which receiver detects
            which streams.
        poles: fixed poles, ``|p| < 1``, complex ``[K]``, see :mod:`rx_fixedpole.poles`; None
            for a delay line alone.
        window: length W >= 0 of the delay line in samples. None: 32 or twice the cyclic prefix,
            whichever is longer, cut so that four pilots stand behind each feature, but not below
            the number of poles while there are two pilots a feature.
        delay: decision delay d in samples, the reach into the future of the output. None: half of
            ``window + K``, but within the delay line: poles alone reach the present sample poorly.
        readout: a readout of :mod:`rx_fixedpole.readout`. None: :class:`ARDRidge`.
        basis: basis of the poles, ``"orthonormal"`` (Takenaka-Malmquist) or ``"parallel"``. They
            span the same outputs, but the readout's prior treats all features of the first alike.
        l_min: time of the first received sample relative to the first transmitted one, <= 0, as
            for Sionna's ``OFDMDemodulator``. Not used in the frequency domain.
        domain: ``"time"`` takes received samples. ``"frequency"`` takes the grid of Sionna's
            ``OFDMDemodulator``, where a delay is a phase ramp and a pole is
            ``1 / (1 - beta exp(-j w))``; it needs a cyclic prefix that covers the channel.
        tracking: if True, weights ``w0 + w1 t`` that move from one OFDM symbol to the next; needs
            pilots on two symbols, and twice as many features.
        precision: ``"single"``, ``"double"`` or None for Sionna's default.

    Input:
        y: ``[B, R, A, T]`` complex samples with ``T >= num_time_samples``, or
            ``[B, R, A, M, fft_size]``.
        no: noise variance ``E|w|^2``, scalar or the first axes of ``[B, R, A]``.

    Output:
        x_hat: ``[B, num_tx, S, D]`` complex, unbiased estimates of the data symbols.
        no_eff: ``[B, num_tx, S, D]`` real, their error variance, from leave-one-out errors
            on the pilots; both are what Sionna's ``Demapper`` takes.

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or range; when called, if there
            are fewer pilots than features (the message says how many, and what to reduce).

    Notes:
        Features are formed at pilots alone, so memory grows with pilots x features and with
        samples x antennas of a slot, never with samples x features. Source: arXiv:2602.21454 for
        fixed poles with a readout per slot.

    Example:
        >>> import tensorflow as tf
        >>> from sionna.phy.mimo import StreamManagement
        >>> from sionna.phy.ofdm import ResourceGrid
        >>> grid = ResourceGrid(4, 64, 30e3, cyclic_prefix_length=8, pilot_pattern="kronecker",
        ...                     pilot_ofdm_symbol_indices=[1])
        >>> equalizer = FixedPoleEqualizer(grid, StreamManagement([[1]], 1), window=4, l_min=0)
        >>> x_hat, no_eff = equalizer(tf.zeros([2, 1, 1, 288], tf.complex64), 0.1)
        >>> x_hat.shape.as_list()
        [2, 1, 1, 192]
    """

    def __init__(
        self,
        resource_grid: ResourceGrid,
        stream_management: StreamManagement,
        *,
        poles: np.ndarray | Sequence[complex] | None = None,
        window: int | None = None,
        delay: int | None = None,
        readout: Any = None,
        basis: str = "orthonormal",
        l_min: int = -6,
        domain: str = "time",
        tracking: bool = False,
        precision: str | None = None,
    ) -> None:
        super().__init__(precision=precision)
        arguments.sionna_objects(resource_grid, stream_management)
        self._poles = np.zeros(0, np.complex128) if poles is None else validate(poles)
        self._window = window if window is None else arguments.integer(window, "window", at_least=0)
        self._delay = delay if delay is None else arguments.integer(delay, "delay")
        if self._window == 0 and len(self._poles) == 0:
            raise ValueError("window must be positive when there are no poles, got 0")
        self._readout = ARDRidge() if readout is None else readout
        if not isinstance(self._readout, tuple(READOUTS.values())):
            known = ", ".join(kind.__name__ for kind in READOUTS.values())
            raise TypeError(f"readout must be one of {known}, got {readout!r}")
        self._basis = arguments.choice(basis, "basis", tuple(BASES))
        self._domain = arguments.choice(domain, "domain", DOMAINS)
        self._l_min = arguments.integer(l_min, "l_min")
        if self._l_min > 0:
            raise ValueError(f"l_min must be <= 0, got {l_min}")
        self._tracking = arguments.flag(tracking, "tracking")
        self._dtype = "complex128" if str(self.precision) == "double" else "complex64"
        self._grid = resource_grid
        self._fft_size = int(resource_grid.fft_size)
        self._layout = StreamLayout(resource_grid, stream_management)
        self._groups = pilot_groups(resource_grid)
        self._order = np.argsort(np.concatenate([group.streams for group in self._groups]))
        occupied = np.asarray(resource_grid.effective_subcarrier_ind)
        self._reliability = [
            Reliability(group.elements % self._fft_size, occupied, self._fft_size)
            for group in self._groups
        ]
        symbols = [len(np.unique(group.elements // self._fft_size)) for group in self._groups]
        if self._tracking and min(symbols) < 2:
            raise ValueError(
                "tracking must be False unless pilots stand on two OFDM symbols, got 1"
            )
        # Time of each OFDM symbol, from -1 to 1 over the slot
        self._time = np.linspace(-1.0, 1.0, int(resource_grid.num_ofdm_symbols))

    def call(self, y: Tensor, no: Tensor) -> tuple[Tensor, Tensor]:
        """Train on the pilots of every slot and equalize its data."""
        outputs, error, *_ = self.trained(y, no)
        error = self._layout.subcarriers(error)
        gain = 1.0 - error
        return self._layout.data(outputs) / ops.cast(gain, self._dtype), error / gain

    def trained(
        self, y: Tensor, no: Tensor, *, by_symbol: bool = False
    ) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
        """Outputs on the whole grid, and what the pilots say of them.

        Args:
            y, no: as the Block takes them.
            by_symbol: whether to leave out whole OFDM symbols too.

        Returns:
            Outputs ``[B R, streams, M, fft_size]`` as the readout gives them, with the gain one
            less their error variance; that variance ``[B R, streams, fft_size]``; and for each
            group of :func:`.pilots.pilot_groups` the leave-one-out errors ``[B R, P, G]``, and
            likewise those of weights that no pilot of the OFDM symbol has trained (or nothing).
        """
        front_end = self._front_end(y)
        no = noise_variance(no, tuple(y.shape[:3]), _backend.REAL_OF[self._dtype])
        y = ops.reshape(y, (-1, *y.shape[2:]))
        fits = [self._fit(front_end, y, group, no, by_symbol) for group in self._groups]
        weights = ops.concatenate([weights for weights, *_ in fits], axis=-1)
        outputs, noise = self._apply(front_end, y, ops.take(weights, self._order, axis=-1), no)
        errors = [
            reliability.error_variance(
                errors,
                ops.take(outputs, group.streams, axis=1),
                ops.take(noise, group.streams, axis=1),
            )
            for group, reliability, (_, errors, _) in zip(
                self._groups, self._reliability, fits, strict=True
            )
        ]
        error = ops.take(ops.concatenate(errors, axis=1), self._order, axis=1)
        whole = [left_out for *_, left_out in fits if left_out is not None]
        return outputs, error, [errors for _, errors, _ in fits], whole

    def _fit(
        self, front_end: FrontEnd, y: Tensor, group: PilotGroup, no: Tensor, by_symbol: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Weights ``[B R, F, G]`` and errors ``[B R, P, G]`` without a pilot, or its symbol."""
        symbols = group.elements // front_end.fft_size
        features = front_end.features(y, group.elements)
        products = front_end.products(y, group.elements, group.targets)
        roles = np.tile(np.arange(front_end.num_features), y.shape[1])
        if self._tracking:
            products = None  # those of the features that move are not known
            time = self._time[symbols]
            time = _backend.constant(time[:, None], self._dtype)
            features = ops.concatenate([features, features * time], axis=-1)
            roles = np.concatenate([roles, roles + front_end.num_features])
        targets = _backend.constant(group.targets, self._dtype) + 0 * features[..., :1]
        fit = self._readout.fit(
            features, targets, no, groups=roles, blocks=symbols, products=products
        )
        if not by_symbol:
            return fit.weights, fit.leave_one_out, None
        # Pilots are in the order of their symbols
        rows = [np.flatnonzero(symbols == m) for m in np.unique(symbols)]
        left_out = ops.concatenate([leave_block_out(features, fit, r) for r in rows], axis=1)
        return fit.weights, fit.leave_one_out, left_out

    def _apply(
        self, front_end: FrontEnd, y: Tensor, weights: Tensor, no: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Outputs ``[B R, S, M, fft_size]`` and thermal noise in them ``[B R, S, fft_size]``."""
        if not self._tracking:
            return front_end.apply(y, weights), front_end.noise(weights, no)
        half, num_streams = weights.shape[1] // 2, weights.shape[2]
        constant, slope = weights[:, :half], weights[:, half:]
        outputs = front_end.apply(y, ops.concatenate([constant, slope], axis=-1))
        time = _backend.constant(self._time[:, None], self._dtype)
        outputs = outputs[:, :num_streams] + time * outputs[:, num_streams:]
        noise = front_end.noise(constant, no)
        return outputs, noise + float(np.mean(self._time**2)) * front_end.noise(slope, no)

    def _front_end(self, y: Tensor) -> FrontEnd:
        """Features for this many antennas, or an error that says why there are too many."""
        time_domain = self._domain == "time"
        wanted = "[B, R, A, T]" if time_domain else "[B, R, A, M, fft_size]"
        y = _backend.require_complex(y, "y")
        if len(y.shape) != (4 if time_domain else 5):
            raise ValueError(
                f"y must have shape {wanted} in the {self._domain} domain, got {y.shape}"
            )
        if y.shape[1] != self._layout.num_rx:
            raise ValueError(
                f"y must have the {self._layout.num_rx} receivers of stream_management on its "
                f"second axis, got {y.shape[1]}"
            )
        self._check_size(y)
        window = self._window_for(int(y.shape[2]))
        delay = default_delay(window, len(self._poles)) if self._delay is None else self._delay
        common = (self._grid, self._poles, self._basis, window, delay, self._dtype)
        if time_domain:
            return TimeFrontEnd(*common, l_min=self._l_min)
        return FrequencyFrontEnd(*common)

    def _check_size(self, y: Tensor) -> None:
        """Refuse a slot that is too short, or not of the grid's size."""
        if self._domain == "frequency":
            size = (int(self._grid.num_ofdm_symbols), self._fft_size)
            if tuple(y.shape[3:]) != size:
                raise ValueError(
                    f"y must have {size[0]} OFDM symbols of {size[1]} subcarriers on its last "
                    f"axes, got {tuple(y.shape[3:])}"
                )
            return
        needed = int(self._grid.num_time_samples)
        if y.shape[-1] is None or y.shape[-1] < needed:
            raise ValueError(
                f"y must have at least the {needed} samples of resource_grid on its last axis, a "
                f"number that is known when a graph is traced, got {y.shape[-1]}"
            )

    @property
    def tracking(self) -> bool:
        """Whether weights move from one OFDM symbol to the next."""
        return self._tracking

    def sizes(self, num_ant: int) -> tuple[int, int, int]:
        """Delay line, features in all and pilots of the scarcest stream for this many antennas."""
        num_pilots = min(len(group.elements) for group in self._groups)
        copies = num_ant * (2 if self._tracking else 1)
        window = self._window
        if window is None:
            prefix = int(self._grid.cyclic_prefix_length)
            window = default_window(num_pilots // copies, len(self._poles), prefix)
        return window, copies * (window + len(self._poles)), num_pilots

    def _window_for(self, num_ant: int) -> int:
        """Length of the delay line for this many antennas, checked against the pilots."""
        window, num_features, num_pilots = self.sizes(num_ant)
        if num_features > num_pilots:
            moving = " x 2 for tracking" if self._tracking else ""
            raise ValueError(
                f"{num_pilots} pilot resource elements cannot train {num_features} features "
                f"({num_ant} antennas x ({window} window + {len(self._poles)} poles){moving}): "
                "reduce window or poles, or add pilots"
            )
        return window
