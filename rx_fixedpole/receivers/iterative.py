"""Iterative reception: what the decoder is sure of serves as pilots, and detection is repeated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder
from sionna.phy.mapping import Constellation, Demapper
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from . import arguments
from .cancellation import detect
from .circularity import Circularity
from .demodulation import demodulate
from .doppler import fastest_shift
from .layout import StreamLayout, noise_variance
from .pilots import pilot_groups
from .residual import PilotResidual
from .soft_symbols import SoftSymbols
from .virtual_pilots import Channel, VirtualPilots
from .wiener import FIRST_LAG, WienerEqualizer

# (y_time [B, R, A, T], no) -> x_hat, no_eff [B, num_tx, S, D]
Equalizer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# Updates of the channel from nothing, and once more where the prefix has been made good.
_FIRST_UPDATES, _MORE_UPDATES = 4, 2
# Noise relative to the received power below which the factorisations lose their digits.
_LEAST_NOISE = 1e-10
# LLRs of bits beside a bit, at most: more would not change what the demapper makes of them.
_MOST_KNOWN = 20.0
# An LLR that leaves no doubt.
_CERTAIN = 100.0


class _State(NamedTuple):
    llr: Tensor  # [B, S, D bits] of the last pass
    beliefs: Tensor  # [B, S, D bits] LLRs that the decoder makes of them
    decoded: Tensor  # [B, S, codewords] 1 where the parity checks hold


class IterativeReceiver(Block):
    r"""Receives OFDM slots in passes, each of which takes the decoder's symbols as known.

    The first pass has the pilots alone. Every other one decodes, turns the LLRs of the coded bits
    into means and variances of all symbols, identifies the channel with these as pilots (whose
    uncertainty is noise), makes good what a short cyclic prefix takes away, and detects again with
    interference between symbols, subcarriers and streams cancelled as far as it is known,

    .. math:: \tilde y - \sum_s \bar x_s h_s = \sum_s (x_s - \bar x_s) h_s + w.

    A codeword whose parity checks hold is known from then on, and its LLRs stay as they are, so
    that no pass undoes what an earlier one achieved. When all of them hold, passes end.

    Args:
        resource_grid: Sionna's ``ResourceGrid`` with pilots.
        stream_management: Sionna's ``StreamManagement`` with one receiver.
        encoder: Sionna's ``LDPC5GEncoder`` of every stream's bits, its output interleaver
            included. A stream carries one codeword a slot, or several in a row.
        constellation: Sionna's ``Constellation``. None: QAM with as many bits a symbol as
            ``encoder`` interleaves for.
        first: the first pass, called as ``(y_time, no) -> x_hat, no_eff [B, num_tx, S, D]``.
            None: :class:`WienerEqualizer`, which takes prefixes of any length.
        num_passes: detections of a slot, >= 1; 1 is the first pass alone.
        num_iter: iterations of the decoder between two passes, >= 1. No fewer than those of the
            decoder after the last pass: then no codeword is lost that the first pass decodes.
        l_min: time of the first received sample relative to the first transmitted one, <= 0.
        precision: ``"single"``, ``"double"`` or None for Sionna's default.

    Input:
        y: ``[B, 1, A, T]`` complex samples with ``T >= num_time_samples``.
        no: noise variance ``E|w|^2``, scalar or the first axes of ``[B, 1, A]``.

    Output:
        llr: ``[B, num_tx, S, D bits]`` real, LLRs of the coded bits from the last pass, without
            what the code adds, in the order of the encoder's output: what ``LDPC5GDecoder`` takes.

    Raises:
        TypeError, ValueError: if an argument is of the wrong kind or range.

    Notes:
        Cost of a pass: decoding, and six Cholesky factorisations of at most 64 rows in double
        precision for every stream and function of time. Taps are sought at half as many lags as
        subcarriers, from ``min(l_min, -8)`` on. Source of soft cancellation: Tuchler, Koetter,
        Singer, IEEE Trans. Commun. 50 (2002), 754.

    Example:
        >>> import tensorflow as tf
        >>> from sionna.phy.fec.ldpc import LDPC5GEncoder
        >>> from sionna.phy.mimo import StreamManagement
        >>> from sionna.phy.ofdm import ResourceGrid
        >>> grid = ResourceGrid(4, 64, 30e3, cyclic_prefix_length=2, pilot_pattern="kronecker",
        ...                     pilot_ofdm_symbol_indices=[1])
        >>> encoder = LDPC5GEncoder(192, 384, num_bits_per_symbol=2)
        >>> receiver = IterativeReceiver(grid, StreamManagement([[1]], 1), encoder, l_min=0)
        >>> llr = receiver(tf.ones([2, 1, 1, 264], tf.complex64), 0.1)
        >>> llr.shape.as_list()
        [2, 1, 1, 384]
    """

    def __init__(
        self,
        resource_grid: ResourceGrid,
        stream_management: StreamManagement,
        encoder: LDPC5GEncoder,
        *,
        constellation: Constellation | None = None,
        first: Equalizer | None = None,
        num_passes: int = 2,
        num_iter: int = 20,
        l_min: int = -6,
        precision: str | None = None,
    ) -> None:
        super().__init__(precision=precision)
        arguments.sionna_objects(resource_grid, stream_management)
        if int(stream_management.num_rx) != 1:
            raise ValueError(
                "stream_management must have one receiver, which detects all streams, "
                f"got {int(stream_management.num_rx)}"
            )
        if not isinstance(encoder, LDPC5GEncoder):
            raise TypeError(f"encoder must be an LDPC5GEncoder, got {encoder!r}")
        self._num_passes = arguments.integer(num_passes, "num_passes", at_least=1)
        self._l_min = arguments.integer(l_min, "l_min")
        if self._l_min > 0:
            raise ValueError(f"l_min must be <= 0, got {l_min}")
        if first is None:
            first = WienerEqualizer(
                resource_grid, stream_management, l_min=self._l_min, precision=precision
            )
        if not callable(first):
            raise TypeError(f"first must be None or callable as first(y, no), got {first!r}")
        self._first, self._grid = first, resource_grid
        self._dtype = "complex128" if str(self.precision) == "double" else "complex64"
        self._real = _backend.REAL_OF[self._dtype]
        constellation = self._constellation(constellation, encoder)
        self._demapper = Demapper("app", constellation=constellation, precision=precision)
        points = np.asarray(constellation.points)
        self._symbols = SoftSymbols(resource_grid, points, self._dtype)
        self._set_code(encoder, arguments.integer(num_iter, "num_iter", at_least=1), precision)
        self._layout = StreamLayout(resource_grid, stream_management)
        size, prefix = int(resource_grid.fft_size), int(resource_grid.cyclic_prefix_length)
        lags = min(self._l_min, FIRST_LAG) + np.arange(max(1, size // 2))
        self._capture = -min(prefix // 2, -self._l_min)
        pilots = np.concatenate([group.elements for group in pilot_groups(resource_grid)])
        self._channel = VirtualPilots(resource_grid, lags, fastest_shift(np.unique(pilots // size)))
        self._prefix = Circularity(resource_grid, lags, self._capture)
        self._residual = PilotResidual(resource_grid)
        occupied = np.asarray(resource_grid.effective_subcarrier_ind)
        self._occupied, self._size = occupied, size
        self._ramps = np.exp(-2j * np.pi * np.outer(lags, occupied - size // 2) / size)

    def call(self, y: Tensor, no: Tensor) -> Tensor:
        """Receive every slot."""
        y = ops.cast(_backend.require_complex(y, "y", "B", 1, "A", "T"), self._dtype)
        llr = self._demapped(*self._first(y, no))
        shape = (-1, *llr.shape[1:])
        llr = ops.reshape(llr, (-1, self._layout.num_streams, llr.shape[-1]))
        if self._num_passes > 1:
            no = noise_variance(no, tuple(y.shape[:3]), self._real)
            no = no + 0 * ops.real(y[:, 0, 0, 0])
            spectra = demodulate(y[:, 0], self._grid, self._l_min, self._capture)
            llr = self._repeated(llr, spectra, no)
        return ops.reshape(llr, shape)

    def _repeated(self, llr: Tensor, y: Tensor, no: Tensor) -> Tensor:
        """LLRs of the last pass from those of the first."""
        decoded = ops.zeros((1, 1, self._num_codewords), self._real) + 0 * llr[..., :1]
        state = _State(llr, llr, decoded)
        for _ in range(self._num_passes - 1):
            state = self._decoded(state)
            missing = ops.any(state.decoded < 0.5)
            branches = (partial(self._detected, state, y, no), lambda llr=state.llr: llr)
            llr = ops.cond(missing, *branches)
            state = state._replace(llr=llr)
        return state.llr

    def _decoded(self, state: _State) -> _State:
        """What the decoder makes of the LLRs of a pass."""
        llr = ops.reshape(state.llr, (-1, self._length))
        beliefs, messages = self._soft_decoder(llr)
        bits, _ = self._decoder(llr, num_iter=1, msg_v2c=messages)
        codeword = self._encoder(bits)
        agree = ops.cast(ops.equal(codeword > 0.5, beliefs > 0.0), self._real)
        whole = ops.min(agree, axis=-1, keepdims=True)
        certain = _CERTAIN * (2.0 * codeword - 1.0)
        beliefs = ops.where(whole > 0.5, certain, beliefs)
        beliefs = ops.reshape(beliefs, (-1, *state.llr.shape[1:]))
        decoded = ops.reshape(whole, (-1, *state.decoded.shape[1:]))
        return state._replace(beliefs=beliefs, decoded=decoded)

    def _detected(self, state: _State, y: Tensor, no: Tensor) -> Tensor:
        """LLRs of a further pass, those of decoded codewords left as they are."""
        x, variance = self._symbols(state.beliefs)
        taps, noise, restored = self._identified(y, x, variance, no)
        response = taps @ _backend.constant(self._ramps, self._dtype)
        error = restored - ops.sum(response * x[:, None], axis=2)
        x_hat, no_eff = detect(error, self._prefix.gain(taps), x, variance, noise)
        x_hat, no_eff = (self._layout.occupied_data(value) for value in (x_hat, no_eff))
        llr = self._demapped(x_hat, no_eff, state.beliefs - state.llr)
        llr = ops.reshape(llr, (-1, *state.decoded.shape[1:], self._length))
        kept = ops.reshape(state.llr, (-1, *state.decoded.shape[1:], self._length))
        llr = ops.where(state.decoded[..., None] > 0.5, kept, llr)
        return ops.reshape(llr, (-1, *state.llr.shape[1:]))

    def _identified(
        self, y: Tensor, x: Tensor, variance: Tensor, no: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Taps, the noise of detection ``[B, M, K]``, and the grid with the prefix made good."""
        seen = ops.take(y, self._occupied, axis=-1)
        power = ops.mean(_backend.power(seen), axis=(1, 2, 3))
        no = _backend.at_least(no, _LEAST_NOISE * power + 1e-30)
        power = _backend.at_least(power - no, 0.0)[:, None, None] / x.shape[1]
        noise = no[:, None, None] + power * ops.sum(variance, axis=1)
        channel = self._channel.start(seen, x, noise)
        channel = self._channel.refined(channel, seen, x, noise, updates=_FIRST_UPDATES)
        # The prefix is made good with the taps that were found without, and these found again
        restored = self._prefix.restored(y, channel.taps, x)
        response = ops.mean(_backend.power(self._response(channel)), axis=1)
        unsure = self._prefix.interference(channel.taps, variance)[..., None]
        noise = no[:, None, None] + ops.sum(variance * response, axis=1) + unsure
        seen = ops.take(restored, self._occupied, axis=-1)
        channel = self._channel.refined(channel, seen, x, noise, updates=_MORE_UPDATES)
        restored = self._prefix.restored(y, channel.taps, x)
        unsure = self._prefix.interference(channel.taps, variance)[..., None]
        noise = self._left(restored, channel, no)[:, None, None] + channel.error[..., None] + unsure
        restored = ops.take(restored, self._occupied, axis=-1)
        return channel.taps, noise + ops.zeros_like(variance[:, 0]), restored

    def _response(self, channel: Channel) -> Tensor:
        """The channel ``[B, A, S, M, K]`` on the occupied subcarriers."""
        return channel.taps @ _backend.constant(self._ramps, self._dtype)

    def _left(self, y: Tensor, channel: Channel, no: Tensor) -> Tensor:
        """Noise variance of every slot by what the channel leaves of the pilots, ``[B]``."""
        response = self._response(channel)
        error = channel.error[:, None, None, :, None] / response.shape[2]
        flat = ops.reshape(y, (-1, y.shape[1], y.shape[2] * self._size))
        error = error + ops.zeros_like(ops.real(response))
        left = ops.mean(self._residual.variance(flat, response, error), axis=-1)
        return _backend.at_least(left, no)

    def _demapped(self, x_hat: Tensor, no_eff: Tensor, others: Tensor | None = None) -> Tensor:
        """LLRs of the bits ``[B, num_tx, S, D bits]``, given what is known of those beside them."""
        no_eff = ops.cast(no_eff, self._real)
        if others is None:
            return self._demapper(x_hat, no_eff)
        others = ops.clip(others, -_MOST_KNOWN, _MOST_KNOWN)
        prior = ops.reshape(others, (-1, *x_hat.shape[1:], self._symbols.num_bits))
        llr = self._demapper(x_hat, no_eff, prior)
        return llr - ops.reshape(others, (-1, *llr.shape[1:]))

    def _constellation(
        self, constellation: Constellation | None, encoder: LDPC5GEncoder
    ) -> Constellation:
        if constellation is None:
            if encoder.num_bits_per_symbol is None:
                raise ValueError(
                    "constellation must be given for an encoder without num_bits_per_symbol"
                )
            return Constellation(
                "qam", int(encoder.num_bits_per_symbol), precision=str(self.precision)
            )
        if not isinstance(constellation, Constellation):
            raise TypeError(f"constellation must be a Constellation, got {constellation!r}")
        return constellation

    def _set_code(self, encoder: LDPC5GEncoder, num_iter: int, precision: str | None) -> None:
        """Store the code, and how many of its words a stream carries."""
        num_bits = int(self._grid.num_data_symbols) * self._symbols.num_bits
        self._encoder, self._length = encoder, int(encoder.n)
        self._num_codewords, rest = divmod(num_bits, self._length)
        if rest or not self._num_codewords:
            raise ValueError(
                f"encoder must have codewords that fill the {num_bits} bits of a stream, "
                f"got n = {self._length}"
            )
        self._soft_decoder = LDPC5GDecoder(
            encoder, hard_out=False, return_infobits=False, num_iter=num_iter, return_state=True,
            precision=precision,
        )  # fmt: skip
        # One iteration more tells the information bits, from which follows the whole codeword
        self._decoder = LDPC5GDecoder(
            encoder, return_infobits=True, return_state=True, precision=precision
        )
