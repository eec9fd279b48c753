"""Iterative reception: what the decoder is sure of serves as pilots, and detection is repeated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from keras import ops
from sionna.phy import Block
from sionna.phy.fec.ldpc import LDPC5GEncoder
from sionna.phy.mapping import Constellation, Demapper
from sionna.phy.mimo import StreamManagement
from sionna.phy.ofdm import ResourceGrid

from rx_fixedpole import _backend
from rx_fixedpole._backend import Tensor

from . import arguments
from .decoding import SoftDecoder
from .demodulation import demodulate
from .layout import StreamLayout, noise_variance
from .redetection import Redetection
from .soft_symbols import SoftSymbols
from .wiener import WienerEqualizer

# (y_time [B, R, A, T], no) -> x_hat, no_eff [B, num_tx, S, D], or LLRs [B, num_tx, S, D bits]
Equalizer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor] | Tensor]

# LLRs of bits beside a bit, at most: more would not change what the demapper makes of them.
_MOST_KNOWN = 20.0


class IterativeReceiver(Block):
    r"""Receives OFDM slots in passes, each of which takes the decoder's symbols as known.

    The first pass has the pilots alone. Every other one decodes, turns the LLRs of the coded bits
    into means and variances of all symbols, identifies the channel with these as pilots, the less
    sure ones weighing less, makes good what a short cyclic prefix takes away, and detects again
    with interference between symbols, subcarriers and streams cancelled as far as it is known,

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
        first: the first pass, called as ``(y_time, no)``, with ``x_hat, no_eff [B, num_tx, S, D]``
            or LLRs ``[B, num_tx, S, D bits]`` as its result, such as those of
            :class:`AutoReceiver`. None: :class:`WienerEqualizer`, which takes prefixes of any
            length.
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
        self._redetection = Redetection(resource_grid, self._l_min, self._dtype)

    def call(self, y: Tensor, no: Tensor) -> Tensor:
        """Receive every slot."""
        y = ops.cast(_backend.require_complex(y, "y", "B", 1, "A", "T"), self._dtype)
        llr = self._once(y, no)
        shape = (-1, *llr.shape[1:])
        llr = ops.reshape(llr, (-1, self._layout.num_streams, llr.shape[-1]))
        if self._num_passes > 1:
            no = noise_variance(no, tuple(y.shape[:3]), self._real)
            no = no + 0 * ops.real(y[:, 0, 0, 0])
            spectra = demodulate(y[:, 0], self._grid, self._l_min, self._redetection.capture)
            llr = self._repeated(llr, spectra, no)
        return ops.reshape(llr, shape)

    def _once(self, y: Tensor, no: Tensor) -> Tensor:
        """LLRs ``[B, num_tx, S, D bits]`` of the first pass."""
        found = self._first(y, no)
        if isinstance(found, tuple | list):
            return self._demapped(*found)
        return ops.cast(found, self._real)

    def _repeated(self, llr: Tensor, y: Tensor, no: Tensor) -> Tensor:
        """LLRs ``[B, S, D bits]`` of the last pass from those of the first."""
        for _ in range(self._num_passes - 1):
            beliefs, decoded = self._decoder(llr)
            detect = partial(self._detected, llr, beliefs, decoded, y, no)
            llr = ops.cond(ops.any(decoded < 0.5), detect, lambda kept=llr: kept)
        return llr

    def _detected(
        self, kept: Tensor, beliefs: Tensor, decoded: Tensor, y: Tensor, no: Tensor
    ) -> Tensor:
        """LLRs of a further pass, those of decoded codewords left as they are."""
        x_hat, no_eff = self._redetection(y, no, *self._symbols(beliefs))
        x_hat, no_eff = (self._layout.occupied_data(value) for value in (x_hat, no_eff))
        llr = self._demapped(x_hat, no_eff, beliefs - kept)
        words = (-1, *decoded.shape[1:], self._length)
        llr, left = (ops.reshape(value, words) for value in (llr, kept))
        llr = ops.where(decoded[..., None] > 0.5, left, llr)
        return ops.reshape(llr, (-1, *kept.shape[1:]))

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
        self._length = int(encoder.n)
        self._num_codewords, rest = divmod(num_bits, self._length)
        if rest or not self._num_codewords:
            raise ValueError(
                f"encoder must have codewords that fill the {num_bits} bits of a stream, "
                f"got n = {self._length}"
            )
        self._decoder = SoftDecoder(encoder, num_iter, precision)
