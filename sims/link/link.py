"""The link of a scenario: from bits to received samples, and from LLRs to errors."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from sionna.phy import config
from sionna.phy.mapping import BinarySource, Constellation, Demapper, Mapper
from sionna.phy.ofdm import ResourceGridMapper

from sims.impairments import IMPAIRMENTS, link_parameters
from sims.link import ofdm
from sims.link.channel import TimeChannel
from sims.link.interferer import Interferer
from sims.link.layout import lay_out
from sims.link.randomness import own_stream
from sims.scenario import Scenario

# Draws that find the window offset: enough for a power delay profile, from a seed of their own.
OFFSET_DRAWS, OFFSET_SEED = 256, 20_001
DRAWS_AT_ONCE = 64


class Slots(NamedTuple):
    """What one call of `Link.transmit` made; B slots, S streams of a user, M OFDM symbols.

    A PUSCH user has one block, which goes over all its layers: there S = 1 for bits and LLRs.
    """

    bits: tf.Tensor  # [B, num_users, S, k] information bits
    coded_bits: tf.Tensor  # [B, num_users, S, n], the same when uncoded
    x: tf.Tensor  # [B, num_users, S, M, fft_size] transmitted grid, before impairments
    y_time: tf.Tensor  # [B, 1, A, T] received samples, the first one at time l_min
    y: tf.Tensor  # [B, 1, A, M, fft_size] demodulated at the link's FFT window offset
    no: tf.Tensor  # [] noise variance per sample and per resource element
    # [B, 1, A, num_users, S, T or 1, L] true taps, 1 when static; UMi: M, means over FFT windows
    h_time: tf.Tensor


class Link:
    """Simulates slots of a scenario in the time domain.

    Bits -> LDPC code -> QAM -> resource grid -> OFDM with cyclic prefix -> transmitter
    impairments -> channel -> co-channel interferer -> noise -> receiver impairments. All
    randomness comes from ``sionna.phy.config``: setting ``config.seed`` before a call replays it
    exactly. Constructing a link, and all methods but `transmit`, leave that stream where it is.

    Args:
        scenario: what to simulate.
        precision: "single" (default) or "double".

    Raises:
        TypeError: if `scenario` is not a Scenario.
        ValueError: if `precision` is neither.
    """

    def __init__(self, scenario: Scenario, *, precision: str = "single") -> None:
        if not isinstance(scenario, Scenario):
            raise TypeError(f"scenario must be a Scenario, got {scenario!r}")
        if precision not in ("single", "double"):
            raise ValueError(f"precision must be 'single' or 'double', got {precision!r}")
        self.scenario, self.precision = scenario, precision
        self._rdtype = tf.float64 if precision == "double" else tf.float32
        layout = lay_out(scenario, precision)
        self.resource_grid, self.stream_management, self.codec, self._layers = layout[:4]
        self.pusch_transmitter = layout.pusch_transmitter
        self.constellation = Constellation("qam", scenario.num_bits_per_symbol, precision=precision)
        self.l_min, self.l_max = scenario.lags
        self.blocks_per_slot = scenario.num_users * self.codec.blocks_per_user
        self.bits_per_slot = self.blocks_per_slot * scenario.num_info_bits
        self._channel = TimeChannel(
            scenario,
            num_users=scenario.num_users,
            num_tx_ant=scenario.num_tx_ant,
            precision=precision,
        )
        self._source = BinarySource(precision=precision)
        self._mapper = Mapper(constellation=self.constellation, precision=precision)
        self._demapper = Demapper("app", constellation=self.constellation, precision=precision)
        self._grid_mapper = ResourceGridMapper(self.resource_grid, precision=precision)
        self._interferer = None
        if scenario.interferer_sir_db is not None:
            self._interferer = Interferer(
                scenario, scenario.interferer_sir_db, self.resource_grid, precision
            )
        self._transmit = tf.function(self._simulate)
        self._draw = tf.function(self._channel.taps)

    def transmit(self, batch_size: int, ebno_db: float | tf.Tensor) -> Slots:
        """Simulates a batch of slots; one compiled graph serves all Eb/N0 of a batch size.

        Args:
            batch_size: B >= 1, number of slots.
            ebno_db: scalar Eb/N0 in dB.

        Returns:
            The slots.

        Raises:
            ValueError: if `batch_size` is not an integer >= 1.
        """
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be an integer >= 1, got {batch_size!r}")
        return self._transmit(batch_size, tf.cast(ebno_db, self._rdtype))

    @property
    def num_traces(self) -> int:
        """How often the graph traced most was traced: 1 while all slots came in equal batches."""
        return max(self._transmit.experimental_get_tracing_count(), self.codec.num_traces)

    @cached_property
    def fft_offset(self) -> int:
        """The FFT window offset of largest signal to self-interference ratio, from other draws."""
        with tf.init_scope():
            taps = self._draws(OFFSET_DRAWS, OFFSET_SEED)
            powers = np.mean(np.abs(taps) ** 2, axis=tuple(range(taps.ndim - 1)))
        return ofdm.best_offset(powers, self.scenario)

    def demodulate(self, y_time: tf.Tensor, offset: int = 0) -> tf.Tensor:
        """Demodulates received samples ``[B, 1, A, T]``, see `sims.link.ofdm.demodulate`.

        Args:
            y_time: ``[..., T]`` complex samples.
            offset: samples by which the FFT windows stand later than Sionna's; 0 equals
                ``OFDMDemodulator``.

        Returns:
            ``[..., num_ofdm_symbols, fft_size]`` complex grid.

        Raises:
            ValueError: if a window would leave the received samples.
        """
        return ofdm.demodulate(y_time, self.scenario, offset)

    def frequency_response(self, h_time: tf.Tensor) -> tf.Tensor:
        """Returns the true response of every resource element, for genie receivers.

        It is the mean over the FFT window, at `fft_offset`, of the response at every sample:
        the exact gain of a resource element while the taps are within the prefix's reach.
        Impairments are not part of it.

        Args:
            h_time: ``[..., T, L]`` taps of the received samples, ``[..., num_ofdm_symbols, L]``
                of `channel_draws` and of slots of a UMi channel, or ``[..., 1, L]`` static.

        Returns:
            ``[..., num_ofdm_symbols, fft_size]`` complex.
        """
        symbols, steps = self.scenario.num_ofdm_symbols, h_time.shape[-2]
        if steps == self._channel.num_samples:
            means = ofdm.window_means(self.scenario, self.fft_offset, steps)
            h_time = tf.constant(means, h_time.dtype) @ h_time
        elif steps not in (1, symbols):
            raise ValueError(
                f"h_time must have 1, {symbols} or {self._channel.num_samples} steps on its last "
                f"axis but one, got {steps}"
            )
        h = ofdm.frequency_response(h_time, self.scenario)
        shape = tf.concat([tf.shape(h)[:-2], [symbols], tf.shape(h)[-1:]], 0)
        return tf.broadcast_to(h, shape)

    def channel_draws(self, num: int, seed: int) -> tf.Tensor:
        """Draws channels other than those of any slot, for covariances.

        Args:
            num: number of draws.
            seed: of a stream of their own; the first draws do not depend on `num`.

        Returns:
            ``[num, 1, A, num_users, S, M or 1, L]`` complex taps, averaged over the FFT window
            of every OFDM symbol (1: static), for `frequency_response`.
        """
        taps = self._draws(num, seed)
        if self._channel.num_knots > 1:
            taps = self._means_of_knots().astype(taps.dtype) @ taps
        return self._layers.seen(tf.constant(taps))

    def demap(self, x_hat: tf.Tensor, no_eff: tf.Tensor) -> tf.Tensor:
        """Returns exact LLRs ``[B, num_users, S, n]`` of equalized symbols; positive means bit 1.

        Args:
            x_hat: ``[B, num_users, S, D]`` complex.
            no_eff: their error variance, of the same shape or one that broadcasts to it.
        """
        return self.merge(self._demapper(x_hat, tf.cast(no_eff, self._rdtype)))

    def merge(self, llr: tf.Tensor) -> tf.Tensor:
        """Returns LLRs ``[B, num_users, S, n]`` of codewords from those of streams."""
        return self._layers.merge(llr)

    def decode(self, llr: tf.Tensor) -> tf.Tensor:
        """Decides the information bits ``[B, num_users, S, k]`` from LLRs ``[B, num_users, S, n]``.

        Uncoded, a positive LLR is a one.
        """
        return self.codec.decode(llr)

    def count(self, slots: Slots, llr: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Counts the errors of every slot after decoding.

        Args:
            slots: what was sent.
            llr: ``[B, num_users, S, n]``.

        Returns:
            Wrong information bits and wrong blocks, ``[B]`` int64 each; a block is the codeword
            of a stream, or all its bits when uncoded.
        """
        wrong = (self.decode(llr) != slots.bits).numpy()
        return wrong.sum(axis=(1, 2, 3)), wrong.any(axis=3).sum(axis=(1, 2))

    def _simulate(self, batch_size: int, ebno_db: tf.Tensor) -> Slots:
        s = self.scenario
        rate = 1.0 if s.coderate is None else s.coderate
        no = 1 / (10 ** (ebno_db / 10) * s.num_bits_per_symbol * rate)
        bits = self._source([batch_size, s.num_users, self.codec.blocks_per_user, self.codec.k])
        coded_bits = self.codec.encode(bits)
        x = self._grid_mapper(self._layers.split(self._mapper(coded_bits)))
        x_time = self._impair("tx", ofdm.modulate(self._layers.precode(x), s), no)
        taps = self._channel.taps(batch_size)
        y_time = self._channel.apply(x_time, taps)
        if self._interferer is not None:
            y_time += self._interferer(batch_size)
        y_time = self._impair("rx", y_time + self._noise(tf.shape(y_time), no), no)
        return Slots(
            bits,
            coded_bits,
            x,
            y_time,
            self.demodulate(y_time, self.fft_offset),
            no,
            self._layers.seen(self._true_taps(taps)),
        )

    def _true_taps(self, taps: tf.Tensor) -> tf.Tensor:
        """Spreads taps at knots over the samples, or, where these are too many, the symbols."""
        if not self._channel.large or self._channel.num_knots == 1:
            return self._channel.at_samples(taps)
        return tf.constant(self._means_of_knots(), taps.dtype) @ taps

    def _means_of_knots(self) -> np.ndarray:
        """Returns the matrix ``[M, num_knots]`` from taps at knots to means over FFT windows."""
        means = ofdm.window_means(self.scenario, self.fft_offset, self._channel.num_samples)
        return means @ self._channel.weights_of_knots()

    def _noise(self, shape: tf.Tensor, no: tf.Tensor) -> tf.Tensor:
        parts = config.tf_rng.normal(tf.concat([[2], shape], 0), dtype=self._rdtype)
        scale = tf.sqrt(no / 2)
        return tf.complex(scale * parts[0], scale * parts[1])

    def _impair(self, stage: str, samples: tf.Tensor, no: tf.Tensor) -> tf.Tensor:
        """Applies the scenario's impairments of a stage in the order of the registry."""
        s = self.scenario
        for name, (at, function) in IMPAIRMENTS.items():
            if at == stage and name in s.impairments:
                facts = link_parameters(function, s.fft_size, s.sample_rate, no)
                samples = function(samples, config.tf_rng, **s.impairments[name], **facts)
        return samples

    def _draws(self, num: int, seed: int) -> np.ndarray:
        """Draws taps at the channel's knots aside, in whole batches so that one graph serves."""
        with own_stream(seed):
            parts = [self._draw(DRAWS_AT_ONCE).numpy() for _ in range(-(-num // DRAWS_AT_ONCE))]
        return np.concatenate(parts)[:num]
